#include "agent/source/scaled.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "agent/codec/json.h"

namespace rivulet::source {
namespace {

// digits * 10^-places, where places > 0 with at least one decimal and no zeros after it.
void append_decimal(std::string& to, bool negative, std::uint64_t digits, unsigned places) {
  std::string text = std::to_string(digits);
  if (places > 0) {
    if (text.size() <= places) text.insert(0, places + 1 - text.size(), '0');
    text.insert(text.size() - places, 1, '.');
    while (text.back() == '0' && text[text.size() - 2] != '.') text.pop_back();
  }
  if (negative && digits != 0) to += '-';
  to += text;
}

std::uint64_t magnitude(std::int64_t number) { return number < 0 ? ~static_cast<std::uint64_t>(number) + 1 : static_cast<std::uint64_t>(number); }

void append_real(std::string& to, double value) {
  if (std::isfinite(value)) codec::append_json_double(to, value);
  else to += "null";
}

double in_doubles(const config::Linear& linear, double raw) { return raw * linear.scale + linear.offset; }

// False: it does not fit.
bool append_exact(std::string& to, const config::Linear& linear, std::int64_t raw) {
  std::int64_t number = 0;
  if (!linear.exact || __builtin_mul_overflow(raw, linear.factor, &number) || __builtin_add_overflow(number, linear.summand, &number)) return false;
  append_decimal(to, number < 0, magnitude(number), linear.places);
  return true;
}

}  // namespace

void append_scaled(std::string& to, const config::Linear& linear, std::int64_t raw) {
  if (!append_exact(to, linear, raw)) append_real(to, in_doubles(linear, static_cast<double>(raw)));
}

void append_scaled(std::string& to, const config::Linear& linear, std::uint64_t raw) {
  if (raw <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return append_scaled(to, linear, static_cast<std::int64_t>(raw));
  if (linear.exact && linear.factor == 1 && linear.summand == 0) return append_decimal(to, false, raw, linear.places);
  append_real(to, in_doubles(linear, static_cast<double>(raw)));
}

void append_scaled(std::string& to, const config::Linear& linear, double raw) {
  if (linear.identity()) return append_real(to, raw);
  const auto whole = static_cast<double>(std::int64_t{1} << 53);
  // A scale such as 0.1 is a division, which rounds once: 0.1 is no double, 10 is one.
  if (linear.exact && linear.places > 0 && std::abs(static_cast<double>(linear.factor)) < whole && std::abs(static_cast<double>(linear.summand)) < whole)
    return append_real(to, (raw * static_cast<double>(linear.factor) + static_cast<double>(linear.summand)) / std::pow(10.0, linear.places));
  append_real(to, in_doubles(linear, raw));
}

void append_scaled(std::string& to, const config::Linear& linear, float raw) {
  if (!std::isfinite(raw)) {
    to += "null";
    return;
  }
  // The double of the float's own digits: 0.1f is 0.1, and not 0.10000000149011612.
  std::array<char, 64> text{};
  const auto written = std::to_chars(text.data(), text.data() + text.size(), raw);
  double value = 0;
  std::from_chars(text.data(), written.ptr, value);
  append_scaled(to, linear, value);
}

}  // namespace rivulet::source
