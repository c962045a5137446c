#include "agent/app/quarantine_retry.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>

#include "agent/app/agent.h"
#include "agent/app/checked_config.h"
#include "agent/app/store_access.h"

namespace rivulet::app {
namespace {

constexpr std::size_t kAtOnce = 100;  // records in memory
constexpr std::chrono::milliseconds kAskAgain{20};
constexpr std::int64_t kPatienceMs = 10'000;  // without a step forward
constexpr std::size_t kReasonsShown = 10;

class Retry {
 public:
  Retry(boost::asio::io_context& io, store::Store& store, const Clock& clock, std::int64_t first, std::int64_t last, std::uint64_t bound)
      : io_(io), store_(store), clock_(clock), timer_(io), next_id_(first), last_id_(last), bound_(bound), forward_ms_(clock.steady_ms()) {}

  // What fails again gets a higher id than any that is there now, and is not for this time.
  result<void> begin(Agent& agent) {
    std::int64_t newest = 0;
    for (;;) {
      const auto found = store_.quarantined(newest, kAtOnce);
      if (!found) return found.error();
      if (found->empty()) break;
      newest = found->back().id;
    }
    last_id_ = std::min(last_id_, newest);
    held_ = store_.stats().quarantine_records;
    agent_ = &agent;
    agent.start();
    go_on();
    return {};
  }
  void lost(const Error& error) {
    failure_ = error;
    io_.stop();
  }

  const std::optional<Error>& failure() const { return failure_; }
  std::uint64_t taken() const { return taken_; }
  const std::map<std::string, std::vector<std::int64_t>>& kept() const { return kept_; }  // by reason
  const std::string& ended_early() const { return ended_early_; }  // why; empty: all had their turn
  bool any() const { return any_; }

 private:
  void go_on() {
    for (;;) {
      if (at_ == batch_.size() && !more()) return end();
      // One record may come back as several. The bound is the agent's, which would drop the oldest.
      if (held_ + failed_again() - taken_ > bound_) return end("the quarantine is full: put more of what fails right, or drop what is not wanted, before the agent runs, which drops the oldest beyond its bound");
      const auto& record = batch_[at_];
      const auto done = agent_->retry(record);
      if (done && !*done) return wait();
      if (done) ++taken_;
      else kept_[done.error().message].push_back(record.id);
      ++at_;
      forward_ms_ = clock_.steady_ms();
    }
  }

  std::uint64_t failed_again() const { return agent_->quarantined(); }

  bool more() {
    batch_.clear();
    at_ = 0;
    if (next_id_ > last_id_) return false;
    auto found = store_.quarantined(next_id_ - 1, kAtOnce);
    if (!found) return failure_ = found.error(), false;
    for (auto& record : *found)
      if (record.id <= last_id_) batch_.push_back(std::move(record));
    if (batch_.empty()) return false;
    any_ = true;
    next_id_ = batch_.back().id + 1;
    return true;
  }

  // Nobody empties the outbox now, and a disk that is full or a table that cannot be read may stay so.
  void wait() {
    if (agent_->settled() && !store_.has_room() && !store_.stats().disk_full)
      return end("the store has no room for more: let the agent run until it has sent some of what waits, then try the rest again");
    if (clock_.steady_ms() - forward_ms_ > kPatienceMs) {
      Snapshot now;
      agent_->describe(now);
      for (const auto& table : now.tables)
        if (!table.ready) return end("the table " + table.name + " is not there: " + table.text);
      if (store_.stats().disk_full) return lost({ErrorCode::full, "the disk is full: what was not committed stays in quarantine; make room and try again"});
    }
    timer_.expires_after(kAskAgain);
    timer_.async_wait([this](boost::system::error_code error) {
      if (!error) go_on();
    });
  }

  void end(std::string early = {}) {
    ended_early_ = std::move(early);
    agent_->stop([this] { io_.stop(); });
  }

  boost::asio::io_context& io_;
  store::Store& store_;
  const Clock& clock_;
  boost::asio::steady_timer timer_;
  Agent* agent_ = nullptr;
  std::int64_t next_id_, last_id_;
  const std::uint64_t bound_;
  std::int64_t forward_ms_;
  std::vector<store::Store::Quarantined> batch_;
  std::size_t at_ = 0;
  std::uint64_t held_ = 0, taken_ = 0;
  std::map<std::string, std::vector<std::int64_t>> kept_;
  std::string ended_early_;
  bool any_ = false;
  std::optional<Error> failure_;
};

int failed(const Error& error) {
  fmt::print(stderr, "{}\n", error.message);
  return kCannot;
}

void print_kept(const Retry& retry) {
  std::size_t shown = 0;
  for (const auto& [reason, ids] : retry.kept()) {
    if (shown++ == kReasonsShown) return fmt::print("... and {} other reasons\n", retry.kept().size() - kReasonsShown);
    fmt::print("{} stay ({}{}): {}\n", ids.size(), ids.front(), ids.size() > 1 ? fmt::format(" to {}", ids.back()) : "", reason);
  }
}

}  // namespace

int retry_quarantined(const QuarantineOptions& options) {
  const SystemClock clock;
  CheckedConfig checked = check_config(options.config, clock, config::Secrets::unused);
  if (!checked.ok()) {
    print_problems(checked);
    return kNotInOrder;
  }
  store::Options store_settings = store_options(checked.config.agent);
  const std::uint64_t bound = std::exchange(store_settings.quarantine.records, 0);
  auto store = open_store_alone(store_settings, clock);
  if (!store) return failed(store.error());
  boost::asio::io_context io;
  const bool all = options.first == 0;
  Retry retry(io, **store, clock, all ? 1 : options.first, all ? std::numeric_limits<std::int64_t>::max() : options.last, bound);
  auto agent = Agent::create({io, checked.config, **store, clock, std::move(checked.topology), {}, [&retry](const Error& error) { retry.lost(error); }});
  if (!agent) return failed(agent.error());
  if (auto begun = retry.begin(**agent); !begun) return failed(begun.error());
  const auto until_durable = boost::asio::make_work_guard(io);  // the store's thread is no work of io's
  io.run();
  if (retry.failure()) {
    failed(*retry.failure());
    std::fflush(stderr);
    std::_Exit(kCannot);  // a commit that cannot be done is not waited for
  }
  if (!retry.any()) {
    fmt::print("{}\n", all ? "quarantine is empty" : "no record with this id in quarantine; `rivulet quarantine list` shows what is there");
    return all ? kDone : kNotInOrder;
  }
  Snapshot after;
  (*agent)->describe(after);
  fmt::print("{} records were taken up from where they failed; what comes of them is sent when the agent runs\n", retry.taken());
  if (after.quarantined > 0) fmt::print("{} failed again: `rivulet quarantine list` shows them with new ids\n", after.quarantined);
  if (after.totals.late > 0) fmt::print("{} times a record was too late for a window that is closed (`late` of the step can name a topic for them)\n", after.totals.late);
  if (after.totals.dropped > 0) fmt::print("{} were left out by a step on purpose, such as dedupe, or had no key\n", after.totals.dropped);
  print_kept(retry);
  if (!retry.ended_early().empty()) fmt::print("not all had their turn: {}\n", retry.ended_early());
  return after.quarantined == 0 && after.totals.late == 0 && retry.kept().empty() && retry.ended_early().empty() ? kDone : kNotInOrder;
}

}  // namespace rivulet::app
