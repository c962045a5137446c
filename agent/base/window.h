// Window: of a windowed result. Thread: any. Units: ms since 1970 UTC.
#pragma once
#include "agent/base/ids.h"

namespace rivulet {

// The end is exclusive for tumbling and hopping, inclusive for sliding and session windows, as in Kafka Streams.
struct Window {
  Timestamp start_ms = 0, end_ms = 0;
  bool session = false;  // Kafka Streams writes a session's key differently
  bool operator==(const Window&) const = default;
};

}  // namespace rivulet
