#include "agent/app/demo/show.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>

namespace rivulet::app {
namespace {

constexpr std::chrono::milliseconds kTick{5};  // fine enough to hit the pause between two transactions
constexpr std::chrono::milliseconds kTerminalEvery{200}, kPlainEvery{1000};
constexpr double kCutLasts = 0.1;  // of the whole time

double seconds_of(std::chrono::steady_clock::duration time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

DemoShow::DemoShow(Service& service, kafka::MockCluster* cluster, std::int64_t seconds, std::function<std::uint64_t()> read_back)
    : service_(service), cluster_(cluster), seconds_(static_cast<double>(seconds)), read_back_(std::move(read_back)),
      terminal_(::isatty(STDOUT_FILENO) == 1), timer_(service.io()), began_(std::chrono::steady_clock::now()) {}

void DemoShow::start() {
  began_ = std::chrono::steady_clock::now();
  tick();
}

void DemoShow::tick() {
  const auto now = std::chrono::steady_clock::now();
  const double elapsed_s = seconds_of(now - began_);
  if (cluster_ != nullptr) drive_link(elapsed_s);
  if (!finishing_ && !cut_ && elapsed_s >= seconds_) {
    finishing_ = true;
    say("the sensors stop; what is stored is sent");
    service_.finish("demo");
  }
  if (now - printed_ >= (terminal_ ? kTerminalEvery : kPlainEvery)) {
    printed_ = now;
    print(elapsed_s);
  }
  timer_.expires_after(kTick);
  timer_.async_wait([this](boost::system::error_code error) {
    if (!error) tick();
  });
}

void DemoShow::drive_link(double elapsed_s) {
  if (cut_ && elapsed_s >= restore_at_s_) {
    cluster_->restore_link();
    cut_ = false;
    say("link restored");
  }
  const double next_cut_s = seconds_ * (0.15 + 0.25 * cuts_);
  if (cut_ || finishing_ || cuts_ >= kCuts || elapsed_s < next_cut_s || !between_transactions()) return;
  cluster_->cut_link();
  cut_ = true;
  ++cuts_;
  restore_at_s_ = elapsed_s + seconds_ * kCutLasts;
  say(fmt::format("link cut ({} of {})", cuts_, kCuts));
}

// Just after one was settled: the next begins only after kafka.transaction.interval.
bool DemoShow::between_transactions() {
  const auto status = service_.look().forward;
  if (!status) return false;
  const bool fresh = status->transactions > transactions_seen_ && transactions_seen_ > 0;
  transactions_seen_ = status->transactions;
  return fresh && status->phase == "idle";
}

void DemoShow::print(double elapsed_s) {
  const Snapshot now = service_.look();
  const std::uint64_t forwarded = now.forward ? now.forward->forwarded_records : 0;
  const std::string line = fmt::format("{:5.1f} s  records in {:>7}  stored {:>7}  forwarded {:>7}  read back {:>7}  backlog {:>6}  link {}", elapsed_s,
                                       now.totals.in, now.stored, forwarded, read_back_(), now.store.outbox_records,
                                       cut_ ? "CUT" : now.forward && now.forward->link == forward::Link::up ? "up" : "down");
  if (terminal_) fmt::print("\r\033[K{}", line);
  else fmt::print("{}\n", line);
  std::fflush(stdout);
}

void DemoShow::say(const std::string& text) {
  fmt::print("{}         -- {}\n", terminal_ ? "\r\033[K" : "", text);
  std::fflush(stdout);
}

void DemoShow::end_line() const {
  if (terminal_) fmt::print("\r\033[K");
}

}  // namespace rivulet::app
