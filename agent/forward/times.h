// The times of records that a topic takes: Kafka refuses a batch for one record whose timestamp is too far from the broker's
// clock (message.timestamp.after.max.ms, 1 h since Kafka 4; message.timestamp.before.max.ms).
//
// Pure. Units: ms; `ahead` is the record's timestamp less this device's clock.
#pragma once
#include <cstdint>
#include <limits>
#include <map>
#include <string>

#include "agent/base/ids.h"

namespace rivulet::forward {

struct TimeLimits {
  static constexpr std::int64_t none = std::numeric_limits<std::int64_t>::max();
  std::int64_t after_ms = 3'600'000;  // Kafka 4's own, where nobody may ask
  std::int64_t before_ms = none;

  bool too_late(std::int64_t ahead_ms) const { return ahead_ms > after_ms; }
  bool too_early(std::int64_t ahead_ms) const { return before_ms != none && ahead_ms < -before_ms; }
  bool refuse(std::int64_t ahead_ms) const { return too_late(ahead_ms) || too_early(ahead_ms); }
};

// From the topic's settings. Before Kafka 3.6 one setting was for both sides; a topic with times of the broker's own takes any.
TimeLimits time_limits(const std::map<std::string, std::string>& settings);

// librdkafka takes its own clock for a record without a timestamp.
inline std::int64_t ahead_ms(Timestamp timestamp_ms, std::int64_t now_ms) { return timestamp_ms > 0 ? timestamp_ms - now_ms : 0; }

// For a person and for the quarantine: what is the matter, and what to do.
std::string refused_for_time(const std::string& topic, const TimeLimits& limits, bool too_late);

}  // namespace rivulet::forward
