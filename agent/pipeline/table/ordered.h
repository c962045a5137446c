// Names of state rows whose byte order is the order of what is in them: numbers, then keys, then numbers.
//
// A number is its length in bytes and those bytes, big endian: a time of today takes 7 bytes, a small number 2. A key is its bytes with 00 as
// 00 FF, and ends with 00 00: no key is the beginning of another, and the order is that of the keys' bytes. Thread: any.
#pragma once
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "agent/base/ids.h"

namespace rivulet::pipeline {

inline constexpr char kAfterNumbers = 9;  // a name that begins with it comes after all that begin with a number

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

// Reads such a name from its begin. What does not read gives zeros, and ok() is false from then on.
class OrderedReader {
 public:
  explicit OrderedReader(std::string_view name) : rest_(name) {}

  std::uint64_t number() {
    const std::size_t bytes = rest_.empty() ? kMaxBytes + 1 : static_cast<unsigned char>(rest_[0]);
    if (bytes > kMaxBytes || rest_.size() <= bytes) return fail(), 0;
    std::uint64_t number = 0;
    for (std::size_t i = 1; i <= bytes; ++i) number = number << 8 | static_cast<unsigned char>(rest_[i]);
    rest_.remove_prefix(bytes + 1);
    return number;
  }
  Timestamp time() { return static_cast<Timestamp>(number()); }
  std::string key() {
    std::string key;
    for (std::size_t i = 0; i + 1 < rest_.size(); ++i) {
      if (rest_[i] != '\0') {
        key += rest_[i];
        continue;
      }
      if (rest_[++i] == '\0') {
        rest_.remove_prefix(i + 1);
        return key;
      }
      key += '\0';
    }
    return fail(), std::string();
  }
  std::string_view rest() const { return rest_; }
  bool ok() const { return ok_; }
  bool whole() const { return ok_ && rest_.empty(); }

 private:
  static constexpr std::size_t kMaxBytes = 8;
  void fail() {
    ok_ = false;
    rest_ = {};
  }
  std::string_view rest_;
  bool ok_ = true;
};

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
