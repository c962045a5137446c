// Record: one fact on its way through the agent; the unit of Kafka.
//
// Plain data, owned by whoever holds it. Thread: any. Units: timestamp_ms is event time, ms since 1970 UTC.
#pragma once
#include <optional>
#include <string>

#include "agent/base/ids.h"

namespace rivulet {

// The window of a windowed result. Ends are exclusive for tumbling and hopping, inclusive for sliding and session windows.
struct Window {
  Timestamp start_ms = 0, end_ms = 0;
  bool session = false;  // Kafka Streams writes a session's key differently
  bool operator==(const Window&) const = default;
};

struct Record {
  std::optional<std::string> key;    // absent = null key
  std::optional<std::string> value;  // absent = null (a tombstone); bytes as they came as long as no step changed them
  Timestamp timestamp_ms = 0;
  std::optional<Window> window;
};

}  // namespace rivulet
