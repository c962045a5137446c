#include "agent/source/modbus/schedule.h"

#include <algorithm>

#include "agent/base/check.h"

namespace rivulet::source::modbus {

Schedule::Schedule(std::vector<Job> jobs, std::int64_t now_ms) : jobs_(std::move(jobs)), due_ms_(jobs_.size(), now_ms) { RV_CHECK(!jobs_.empty(), "a connection has something to poll"); }

std::int64_t Schedule::next_ms() const { return *std::min_element(due_ms_.begin(), due_ms_.end()); }

std::optional<Schedule::Turn> Schedule::take(std::int64_t now_ms) {
  const auto due = std::min_element(due_ms_.begin(), due_ms_.end());
  if (*due > now_ms) return std::nullopt;
  Turn turn;
  turn.job = static_cast<std::size_t>(due - due_ms_.begin());
  const Job& job = jobs_[turn.job];
  const std::int64_t missed = (now_ms - *due) / job.interval_ms;
  turn.missed = static_cast<std::uint64_t>(missed);
  *due += (missed + 1) * job.interval_ms;
  turn.paused = silent(connection_, now_ms) || std::any_of(job.units.begin(), job.units.end(), [&](std::uint8_t unit) { return silent(units_[unit], now_ms); });
  return turn;
}

void Schedule::answered(std::uint8_t unit) { units_[unit] = {}; }

std::int64_t Schedule::failed(std::uint8_t unit, std::int64_t now_ms, bool at_once) { return fail(units_[unit], now_ms, at_once); }

std::int64_t Schedule::fail(Silence& of, std::int64_t now_ms, bool at_once) {
  ++of.failures;
  const std::uint32_t doublings = std::min(of.failures - 1, 10U);
  const std::int64_t pause_ms = at_once && of.failures == 1 ? 0 : std::min(kFirstPauseMs << doublings, kLongestPauseMs);
  of.until_ms = now_ms + pause_ms;
  return pause_ms;
}

}  // namespace rivulet::source::modbus
