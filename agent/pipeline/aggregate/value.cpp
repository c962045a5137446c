#include "agent/pipeline/aggregate/value.h"

#include <fmt/core.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "agent/codec/json.h"
#include "agent/pipeline/aggregate/aggregates.h"

namespace rivulet::pipeline::aggregate {
namespace {

// A whole text as a JSON-like number. Integers beyond int64 are the nearest double; what is beyond a double is infinite.
bool parse_number(std::string_view text, Number& number) {
  const char* end = text.data() + text.size();
  std::int64_t integer = 0;
  const auto whole = std::from_chars(text.data(), end, integer);
  if (whole.ec == std::errc() && whole.ptr == end) {
    number = Number::of(integer);
    return true;
  }
  // inf and nan, which from_chars would take, begin with a letter
  if (text.empty() || text.find_first_not_of("0123456789+-.eE") != std::string_view::npos) return false;
  double real = 0;
  const auto parsed = std::from_chars(text.data(), end, real);
  if (parsed.ptr != end || parsed.ec == std::errc::invalid_argument) return false;
  if (parsed.ec != std::errc()) real = std::strtod(std::string(text).c_str(), nullptr);  // too large or too small: strtod says which
  number = Number::of(real);
  return true;
}

// As SQLite takes it: spaces around and a plus before.
std::string_view number_in(std::string_view text) {
  static constexpr const char* space = " \t\n\v\f\r";
  const std::size_t begin = text.find_first_not_of(space);
  if (begin == std::string_view::npos) return {};
  text = text.substr(begin, text.find_last_not_of(space) - begin + 1);
  return text.size() > 1 && text[0] == '+' && text[1] != '-' ? text.substr(1) : text;
}

Error refused(std::string_view token, const char* expected) {
  return {ErrorCode::invalid, fmt::format("{}{} is {}", token.substr(0, 40), token.size() > 40 ? "..." : "", expected)};
}

result<void> fits(const Number& number, std::string_view token, unsigned needs) {
  const double magnitude = std::fabs(number.as_double());
  if (!(magnitude <= kMaxNumber)) return refused(token, "beyond what is summed without overflow, 1e280");
  if ((needs & kSquare) != 0 && !(magnitude <= kMaxSquared)) return refused(token, "beyond what is squared and summed without overflow, 1e140");
  return {};
}

}  // namespace

Number Number::of(std::int64_t value) {
  Number number;
  number.integer = value;
  return number;
}
Number Number::of(double value) {
  Number number;
  number.real = true;
  number.floating = value;
  return number;
}
std::uint64_t Number::bits() const { return real ? std::bit_cast<std::uint64_t>(floating) : static_cast<std::uint64_t>(integer); }
Number Number::of_bits(bool real, std::uint64_t bits) { return real ? of(std::bit_cast<double>(bits)) : of(static_cast<std::int64_t>(bits)); }

int compare(const Number& a, const Number& b) {
  const auto sign = [](const auto& x, const auto& y) { return x < y ? -1 : y < x ? 1 : 0; };
  if (a.real && b.real) return sign(a.floating, b.floating);
  if (!a.real && !b.real) return sign(a.integer, b.integer);
  if (a.real) return -compare(b, a);
  // An integer and a real: beyond int64 the real decides, else its whole part, then what is after the point.
  if (b.floating >= 9223372036854775808.0) return -1;
  if (b.floating < -9223372036854775808.0) return 1;
  const auto whole = static_cast<std::int64_t>(b.floating);
  if (a.integer != whole) return sign(a.integer, whole);
  return sign(static_cast<double>(whole), b.floating);
}

void append_number(std::string& to, const Number& number) {
  char digits[24];
  if (number.real) codec::append_json_double(to, number.floating);
  else to.append(digits, std::to_chars(digits, digits + sizeof digits, number.integer).ptr);
}

void put_number(std::string& to, const Number& number) {
  put_u8(to, number.real ? 1 : 0);
  if (number.real) put_u64_be(to, number.bits());
  else put_zigzag(to, number.integer);
}

bool get_number(Reader& from, Number& number) {
  const std::uint8_t kind = from.u8();
  number = kind == 1 ? Number::of_bits(true, from.u64_be()) : Number::of(from.zigzag());
  return from.ok() && kind <= 1 && (!number.real || std::fabs(number.floating) <= kMaxNumber);
}

result<void> read_value(const Field* field, unsigned needs, Value& value, ValueBuffers& buffers) {
  value.null = field == nullptr || (!field->text && field->token.front() == 'n');
  if (value.null || needs == kPresence) return {};
  const char first = field->text ? '"' : field->token.front();
  const std::string_view token = field->token;
  value.is_text = first == '"';
  if ((needs & (kOrder | kNumber)) != 0) {
    if (first == '{' || first == '[') return refused(token, "an object or an array, expected a number; a value inside is x ->> '$.name'");
    if (value.is_text) {
      value.text = field->text ? codec::as_utf8(token, buffers.text) : codec::json_text(token, buffers.text);
      if ((needs & kOrder) != 0 && value.text.size() > kMaxKeptBytes) return refused(token, "longer than the 64 KiB that an aggregate keeps of a value");
      if ((needs & kNumber) != 0 && !parse_number(number_in(value.text), value.number)) return refused(token, "text, expected a number");
    } else if (first == 't' || first == 'f') {
      value.number = Number::of(static_cast<std::int64_t>(first == 't' ? 1 : 0));
    } else {
      static_cast<void>(parse_number(token, value.number));  // JSON that was checked
    }
    if (!value.is_text || (needs & kNumber) != 0)
      if (auto good = fits(value.number, token, needs); !good) return good;
  }
  if ((needs & kToken) == 0) return {};
  value.token = token;
  if (field->text) {
    buffers.token.clear();
    codec::append_json_string(buffers.token, token);
    value.token = buffers.token;
  }
  if (value.token.size() > kMaxKeptBytes) return refused(token, "longer than the 64 KiB that an aggregate keeps of a value");
  return {};
}

std::string_view identity_of(std::string_view token, std::string& buffer) {
  Number number;
  switch (token.front()) {
    case 't': return "1";
    case 'f': return "0";
    case '{':
    case '[': return token;
    case '"': {  // as text, however it is escaped
      std::string text;
      const std::string_view plain = codec::json_text(token, text);
      buffer = '"';
      buffer += plain;
      return buffer;
    }
    default: break;
  }
  if (!parse_number(token, number) || !number.real) return number.integer == 0 ? std::string_view("0") : token;  // -0
  if (token.find_first_of(".eE") == std::string_view::npos) return token;  // an integer beyond int64 is itself, to the last digit
  buffer.clear();
  if (std::fabs(number.floating) < 9007199254740992.0 && number.floating == std::floor(number.floating)) number = Number::of(static_cast<std::int64_t>(number.floating));
  if (number.real && !std::isfinite(number.floating)) return token;
  append_number(buffer, number);
  return buffer;
}

}  // namespace rivulet::pipeline::aggregate
