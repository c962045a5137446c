// RunningClock: how long agents of this store have run, in ms: it never runs backwards and does not know the date.
//
// Why: a gateway's wall clock may jump by years when it hears of the time, and keys that are remembered for a day would be forgotten at once, or never.
// It is a position of the source, written into the same epoch as what is dated by it. What passed between its last writing and a crash does not
// count: something lives longer than it was asked to, never shorter. Thread: io.
#pragma once
#include <algorithm>
#include <cstdint>

#include "agent/base/clock.h"

namespace rivulet::source {

class RunningClock {
 public:
  explicit RunningClock(const Clock& clock) : clock_(clock), began_ms_(clock.steady_ms()) {}
  std::int64_t now_ms() const { return base_ms_ + std::max<std::int64_t>(clock_.steady_ms() - began_ms_, 0); }
  // Goes on from what was written; at the start.
  void go_on_from(std::int64_t written_ms) { base_ms_ = std::max(base_ms_, written_ms); }

 private:
  const Clock& clock_;
  const std::int64_t began_ms_;
  std::int64_t base_ms_ = 0;
};

}  // namespace rivulet::source
