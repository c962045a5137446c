// Event time from a field's token: a number (or a string of one) in the source's unit, or RFC 3339 text. Thread: any.
#pragma once
#include <string_view>

#include "agent/base/ids.h"
#include "agent/base/result.h"
#include "agent/config/config.h"

namespace rivulet::pipeline {

// Milliseconds since 1970; finer units are cut towards minus infinity. Errors say what was expected.
result<Timestamp> event_time(std::string_view token, config::TimestampFrom::Unit unit);

}  // namespace rivulet::pipeline
