// Keys of state rows whose byte order is the order of what is in them: numbers, then keys, then numbers.
//
// A number is its length in bytes and those bytes, big endian: a time of today takes 7 bytes, a small number 2. A key is its bytes with 00 as
// 00 FF, and ends with 00 00: no key is the beginning of another, and the order is that of the keys' bytes. Thread: any.
#pragma once
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "agent/base/check.h"
#include "agent/base/ids.h"

namespace rivulet::pipeline {

inline void put_ordered(std::string& to, std::uint64_t number) {
  int bytes = 0;
  for (std::uint64_t rest = number; rest != 0; rest >>= 8) ++bytes;
  to += static_cast<char>(bytes);
  while (bytes-- > 0) to += static_cast<char>(number >> (8 * bytes));
}

inline void put_ordered_time(std::string& to, Timestamp time_ms) { put_ordered(to, time_ms < 0 ? 0 : static_cast<std::uint64_t>(time_ms)); }

inline void put_ordered_key(std::string& to, std::string_view key) {
  for (const char c : key) {
    to += c;
    if (c == '\0') to += '\xff';
  }
  to.append(2, '\0');
}

inline std::uint64_t take_ordered(std::string_view& from) {
  RV_CHECK(!from.empty() && static_cast<unsigned char>(from[0]) <= 8 && from.size() > static_cast<unsigned char>(from[0]), "a row of the state begins with a number");
  const auto bytes = static_cast<std::size_t>(from[0]);
  std::uint64_t number = 0;
  for (std::size_t i = 1; i <= bytes; ++i) number = number << 8 | static_cast<unsigned char>(from[i]);
  from.remove_prefix(bytes + 1);
  return number;
}

inline Timestamp take_ordered_time(std::string_view& from) { return static_cast<Timestamp>(take_ordered(from)); }

inline std::string take_ordered_key(std::string_view& from) {
  std::string key;
  for (std::size_t i = 0; i + 1 < from.size(); ++i) {
    if (from[i] != '\0') {
      key += from[i];
      continue;
    }
    if (from[++i] == '\0') {
      from.remove_prefix(i + 1);
      return key;
    }
    key += '\0';
  }
  RV_CHECK(false, "a key in a row of the state has its end");
}

// The end of a scan over what begins with `prefix`, which is not all FF.
inline std::string after_prefix(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
  RV_CHECK(!prefix.empty(), "a prefix has an end");
  prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

// Timestamps come from outside and may be anywhere: these stay at the ends instead of running over.
inline Timestamp plus(Timestamp time_ms, std::int64_t by_ms) {
  Timestamp sum = 0;
  if (!__builtin_add_overflow(time_ms, by_ms, &sum)) return sum;
  return by_ms > 0 ? std::numeric_limits<Timestamp>::max() : std::numeric_limits<Timestamp>::min();
}
inline Timestamp minus(Timestamp time_ms, std::int64_t by_ms) {
  Timestamp difference = 0;
  if (!__builtin_sub_overflow(time_ms, by_ms, &difference)) return difference;
  return by_ms > 0 ? std::numeric_limits<Timestamp>::min() : std::numeric_limits<Timestamp>::max();
}

}  // namespace rivulet::pipeline
