#include "agent/app/quarantine_retry.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdio>
#include <limits>
#include <map>

#include "agent/app/agent.h"
#include "agent/app/checked_config.h"
#include "agent/app/store_access.h"

namespace rivulet::app {
namespace {

constexpr std::size_t kAtOnce = 100;  // records in memory
constexpr std::chrono::milliseconds kAskAgain{20};
constexpr std::size_t kReasonsShown = 10;

class Retry {
 public:
  Retry(boost::asio::io_context& io, store::Store& store, std::int64_t first, std::int64_t last) : io_(io), store_(store), timer_(io), next_id_(first), last_id_(last) {}

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
  bool no_room() const { return no_room_; }
  bool any() const { return any_; }

 private:
  void go_on() {
    for (;;) {
      if (at_ == batch_.size() && !more()) return agent_->stop([this] { io_.stop(); });
      const auto& record = batch_[at_];
      const auto done = agent_->retry(record);
      if (done && !*done) return wait();
      if (done) ++taken_;
      else kept_[done.error().message].push_back(record.id);
      ++at_;
    }
  }

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

  // Nobody empties the outbox now.
  void wait() {
    if (agent_->settled() && !store_.has_room()) {
      no_room_ = true;
      return agent_->stop([this] { io_.stop(); });
    }
    timer_.expires_after(kAskAgain);
    timer_.async_wait([this](boost::system::error_code error) {
      if (!error) go_on();
    });
  }

  boost::asio::io_context& io_;
  store::Store& store_;
  boost::asio::steady_timer timer_;
  Agent* agent_ = nullptr;
  std::int64_t next_id_, last_id_;
  std::vector<store::Store::Quarantined> batch_;
  std::size_t at_ = 0;
  std::uint64_t taken_ = 0;
  std::map<std::string, std::vector<std::int64_t>> kept_;
  bool no_room_ = false, any_ = false;
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
  CheckedConfig checked = check_config(options.config, clock);
  if (!checked.ok()) {
    print_problems(checked);
    return kNotInOrder;
  }
  auto store = open_store_alone(checked.config, clock);
  if (!store) return failed(store.error());
  boost::asio::io_context io;
  const bool all = options.first == 0;
  Retry retry(io, **store, all ? 1 : options.first, all ? std::numeric_limits<std::int64_t>::max() : options.last);
  auto agent = Agent::create({io, checked.config, **store, clock, std::move(checked.topology), {}, [&retry](const Error& error) { retry.lost(error); }});
  if (!agent) return failed(agent.error());
  if (auto begun = retry.begin(**agent); !begun) return failed(begun.error());
  const auto until_durable = boost::asio::make_work_guard(io);  // the store's thread is no work of io's
  io.run();
  if (retry.failure()) return failed(*retry.failure());
  if (!retry.any()) {
    fmt::print("{}\n", all ? "quarantine is empty" : "no record with this id in quarantine; `rivulet quarantine list` shows what is there");
    return all ? kDone : kNotInOrder;
  }
  Snapshot after;
  (*agent)->describe(after);
  fmt::print("{} records went on from where they failed; what comes of them is sent when the agent runs\n", retry.taken());
  if (after.quarantined > 0) fmt::print("of these {} failed again: `rivulet quarantine list` shows them with new ids\n", after.quarantined);
  print_kept(retry);
  if (retry.no_room()) fmt::print("the store has no room for more: let the agent run until it has sent some of what waits, then try the rest again\n");
  return after.quarantined == 0 && retry.kept().empty() && !retry.no_room() ? kDone : kNotInOrder;
}

}  // namespace rivulet::app
