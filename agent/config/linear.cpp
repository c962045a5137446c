#include "agent/config/linear.h"

#include <charconv>
#include <cmath>
#include <string>

#include "agent/config/sections.h"

namespace rivulet::config {
namespace {

// digits * 10^-places, with as few places as can be.
struct Decimal {
  std::int64_t digits = 0;
  int places = 0;
};

bool times_ten(std::int64_t& number) { return !__builtin_mul_overflow(number, std::int64_t{10}, &number); }

std::optional<double> real(std::string_view text) {
  double number = 0;
  if (text.substr(0, 1) == "+") text.remove_prefix(1);
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || !std::isfinite(number)) return std::nullopt;
  return number;
}

// None: more digits than an int64 has. `text` was read by real().
std::optional<Decimal> decimal(std::string_view text) {
  Decimal to;
  int exponent = 0;
  bool point = false;
  if (text.substr(0, 1) == "+") text.remove_prefix(1);
  const bool negative = text.substr(0, 1) == "-";
  if (negative) text.remove_prefix(1);
  if (const std::size_t e = text.find_first_of("eE"); e != std::string_view::npos) {
    std::string_view power = text.substr(e + 1);
    if (power.substr(0, 1) == "+") power.remove_prefix(1);
    if (std::from_chars(power.data(), power.data() + power.size(), exponent).ec != std::errc()) return std::nullopt;
    text = text.substr(0, e);
  }
  for (const char c : text) {
    if (c == '.') {
      point = true;
      continue;
    }
    if (c < '0' || c > '9' || !times_ten(to.digits) || __builtin_add_overflow(to.digits, c - '0', &to.digits)) return std::nullopt;
    to.places += point ? 1 : 0;
  }
  if (exponent > 1000 || exponent < -1000) return std::nullopt;
  to.places -= exponent;
  for (; to.places > 0 && to.digits % 10 == 0; --to.places) to.digits /= 10;
  for (; to.places < 0; ++to.places)
    if (!times_ten(to.digits)) return std::nullopt;
  if (negative) to.digits = -to.digits;
  return to;
}

}  // namespace

std::optional<Linear> linear_of(std::string_view scale, std::string_view offset) {
  const auto scale_number = real(scale), offset_number = real(offset);
  if (!scale_number || !offset_number) return std::nullopt;
  Linear linear;
  linear.scale = *scale_number;
  linear.offset = *offset_number;
  auto factor = decimal(scale), summand = decimal(offset);
  linear.exact = factor && summand && factor->places <= static_cast<int>(kMaxPlaces) && summand->places <= static_cast<int>(kMaxPlaces);
  for (; linear.exact && factor->places < summand->places; ++factor->places) linear.exact = times_ten(factor->digits);
  for (; linear.exact && summand->places < factor->places; ++summand->places) linear.exact = times_ten(summand->digits);
  if (!linear.exact) return linear;
  linear.factor = factor->digits;
  linear.summand = summand->digits;
  linear.places = static_cast<unsigned>(factor->places);
  return linear;
}

Linear read_linear(const Map& map) {
  std::string scale = "1", offset = "0";
  bool good = true;
  const auto take = [&](const char* key, std::string& into) {
    const auto value = map.get(key);
    const auto text = value ? value->text() : std::nullopt;
    good = good && text.has_value();
    if (!text) return;
    into = *text;
    if (linear_of(into, "0")) return;
    value->error("'" + into.substr(0, 60) + "' is not a number, expected one such as 0.1 or -40");
    good = false;
  };
  take("scale", scale);
  take("offset", offset);
  if (!good) return {};
  const Linear linear = linear_of(scale, offset).value_or(Linear());
  if (linear.scale == 0) map.get("scale")->error("is 0: every value would be the offset; expected another number");
  return linear;
}

}  // namespace rivulet::config
