// Events for the protocol's tests.
#pragma once
#include <cstdint>

#include "agent/forward/protocol.h"

namespace rivulet::forward {

inline Event event(Event::Kind kind, std::int64_t now_ms = 0) {
  Event e;
  e.kind = kind;
  e.now_ms = now_ms;
  return e;
}

}  // namespace rivulet::forward
