// PollPace: when files are looked at next. A gateway whose files are quiet should sleep: after a minute in which nothing changed
// they are looked at once a second at most, and at the configured pace again from the first change on.
//
// Thread: io. Units: milliseconds.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>

namespace rivulet::source {

class PollPace {
 public:
  explicit PollPace(std::int64_t poll_ms) : poll_ms_(std::max<std::int64_t>(poll_ms, 1)) {}

  void looked(bool changed) { quiet_ms_ = changed ? 0 : quiet_ms_ + pause().count(); }
  std::chrono::milliseconds pause() const { return std::chrono::milliseconds(quiet_ms_ < quiet_after_ms ? poll_ms_ : std::max(poll_ms_, slow_ms)); }

 private:
  static constexpr std::int64_t quiet_after_ms = 60'000, slow_ms = 1'000;
  std::int64_t poll_ms_, quiet_ms_ = 0;
};

}  // namespace rivulet::source
