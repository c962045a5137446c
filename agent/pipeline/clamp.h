// Clamp: a timestamp that lies further ahead of the clock than is allowed becomes the clock's time, or as far ahead as is allowed.
//
// Only a clock that can be trusted says what lies ahead: before that, records go on as they are. A replay's clock counts from the first
// {"advance"} on: it stands wherever these have moved it, so that the same input gives the same output. Thread: io.
#pragma once
#include <cstdint>

#include "agent/base/clock.h"
#include "agent/base/ids.h"
#include "agent/config/config.h"

namespace rivulet::pipeline {

struct WallClock {
  const Clock& clock;
  bool counts = false;  // it may be compared with records' timestamps
};

class Clamp {
 public:
  Clamp(const config::Clamp& config, const WallClock& clock) : config_(config), clock_(clock) {}

  void run(Timestamp& timestamp_ms) {
    if (!clock_.counts) return;
    const Timestamp now_ms = clock_.clock.wall_ms();
    if (now_ms < 0 || timestamp_ms <= now_ms || timestamp_ms - now_ms <= config_.future_ms) return;
    timestamp_ms = config_.to_limit ? now_ms + config_.future_ms : now_ms;
    ++clamped_;
  }
  std::uint64_t clamped() const { return clamped_; }

 private:
  const config::Clamp config_;
  const WallClock& clock_;
  std::uint64_t clamped_ = 0;
};

}  // namespace rivulet::pipeline
