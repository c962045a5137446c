// Value: what an aggregate is given for one record: a JSON token, and what it says.
//
// Number keeps integers exact; comparing an integer with a real is exact too (SQLite's order). Thread: any. Lifetime: views of a Value
// live as long as what it was read from.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/bytes.h"
#include "agent/base/result.h"
#include "agent/pipeline/row.h"

namespace rivulet::pipeline::aggregate {

// Sums of 1e18 such numbers stay finite, so that a sum never has to fail: the number does, at its record.
inline constexpr double kMaxNumber = 1e280;
inline constexpr double kMaxSquared = 1e140;  // the same for sums of squares

struct Number {
  bool real = false;
  union {
    std::int64_t integer = 0;
    double floating;
  };
  static Number of(std::int64_t value);
  static Number of(double value);
  double as_double() const { return real ? floating : static_cast<double>(integer); }
  std::uint64_t bits() const;  // with `real`: all of it
  static Number of_bits(bool real, std::uint64_t bits);
};
int compare(const Number& a, const Number& b);
void append_number(std::string& to, const Number& number);  // JSON
void put_number(std::string& to, const Number& number);
bool get_number(Reader& from, Number& number);  // false: damaged

// What a function asks of its argument.
enum Need : unsigned {
  kPresence = 0,  // only whether it is null
  kNumber = 1,    // number is set; text that is no number fails
  kSquare = 2,    // with kNumber: its square can be summed
  kOrder = 4,     // a number or text; objects and arrays fail
  kToken = 8,     // token is set and within kMaxKeptBytes
};

struct Value {
  bool null = true;
  bool is_text = false;    // kOrder: text, else number
  Number number;           // kNumber, kOrder
  std::string_view text;   // kOrder, of text
  std::string_view token;  // kToken, JSON
};

// Memory of the views of one Value.
struct ValueBuffers {
  std::string text, token;
};
// `field` null: a missing field. true and false count as 1 and 0. Error: why the value cannot be what is needed.
result<void> read_value(const Field* field, unsigned needs, Value& value, ValueBuffers& buffers);

// What makes two values the same in collect_set and count_distinct, as bytes: 1, 1.0 and true are the same, 1 and "1" are not.
std::string_view identity_of(std::string_view token, std::string& buffer);

}  // namespace rivulet::pipeline::aggregate
