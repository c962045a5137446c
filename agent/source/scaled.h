// A raw number of a register or signal as the JSON number that its scale and offset make of it.
//
// Whole numbers stay exact: with a scale and an offset of few digits the result is computed in whole numbers, and written with all its
// digits ("230.1"; a field whose scale has decimals has at least one, "230.0"). What does not fit 64 bits is computed in doubles. Floats are the shortest text
// that reads back the same. What is no number (NaN, infinity) is null. Thread: any.
#pragma once
#include <cstdint>
#include <string>

#include "agent/config/linear.h"

namespace rivulet::source {

void append_scaled(std::string& to, const config::Linear& linear, std::uint64_t raw);
void append_scaled(std::string& to, const config::Linear& linear, std::int64_t raw);
void append_scaled(std::string& to, const config::Linear& linear, double raw);
void append_scaled(std::string& to, const config::Linear& linear, float raw);

}  // namespace rivulet::source
