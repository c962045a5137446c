// Record: one fact on its way through the agent; the unit of Kafka.
//
// Plain data, owned by whoever holds it. Thread: any. Units: timestamp_ms is event time, ms since 1970 UTC.
#pragma once
#include <optional>
#include <string>

#include "agent/base/ids.h"
#include "agent/base/window.h"

namespace rivulet {

struct Record {
  std::optional<std::string> key;    // absent = null key
  std::optional<std::string> value;  // absent = null (a tombstone); bytes as they came as long as no step changed them
  Timestamp timestamp_ms = 0;
  std::optional<Window> window;
};

}  // namespace rivulet
