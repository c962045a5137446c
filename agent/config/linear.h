// Linear: what a raw number of a device becomes, raw * scale + offset; of a Modbus register, of a CAN signal.
//
// Both are read as decimals, so that 2301 with the scale 0.1 is 230.1, and not 230.10000000000002: where their digits are few enough, `exact`,
// the value is (raw * factor + summand) / 10^places in whole numbers. Else it is computed in doubles. Thread: any (plain data).
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace rivulet::config {

struct Linear {
  double scale = 1, offset = 0;
  bool exact = true;
  std::int64_t factor = 1, summand = 0;
  unsigned places = 0;  // at most kMaxPlaces
  bool identity() const { return scale == 1 && offset == 0; }
};

inline constexpr unsigned kMaxPlaces = 18;

// From numbers as they are written: "0.1", "-40", "1e-3". None: one is not a finite number.
std::optional<Linear> linear_of(std::string_view scale, std::string_view offset);

}  // namespace rivulet::config
