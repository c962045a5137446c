// Wide: a sum of int64 numbers in 128 bits, exact: no number of records that fits a counter can overflow it. (Not __int128, which
// 32-bit targets do not have.)
//
// Thread: any (a value).
#pragma once
#include <cstdint>
#include <string>

namespace rivulet::pipeline::aggregate {

struct Wide {
  std::uint64_t low = 0;
  std::int64_t high = 0;

  void add(const Wide& other) {
    const std::uint64_t sum = low + other.low;
    high = static_cast<std::int64_t>(static_cast<std::uint64_t>(high) + static_cast<std::uint64_t>(other.high) + (sum < low ? 1 : 0));
    low = sum;
  }
  void add(std::int64_t value) { add(of(value)); }
  void subtract(std::int64_t value) {
    Wide negative{~static_cast<std::uint64_t>(value), value < 0 ? 0 : -1};  // of(-value) would overflow for the least
    negative.add(of(1));
    add(negative);
  }
  static Wide of(std::int64_t value) { return {static_cast<std::uint64_t>(value), value < 0 ? -1 : 0}; }
  bool fits() const { return high == (static_cast<std::int64_t>(low) < 0 ? -1 : 0); }  // an int64
  std::int64_t narrow() const { return static_cast<std::int64_t>(low); }
  double as_double() const;
  void append(std::string& to) const;  // decimal
};

}  // namespace rivulet::pipeline::aggregate
