#include "agent/pipeline/event_time.h"

#include <charconv>
#include <cmath>
#include <string>

#include "agent/codec/json.h"

namespace rivulet::pipeline {
namespace {

using Unit = config::TimestampFrom::Unit;

Error refused(std::string_view text, const char* expected) {
  return {ErrorCode::invalid, "'" + std::string(text.substr(0, 40)) + "' is no time, expected " + expected};
}

bool two_digits(std::string_view text, std::size_t at, int& to) {
  if (at + 2 > text.size()) return false;
  const auto parsed = std::from_chars(text.data() + at, text.data() + at + 2, to);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + at + 2 && text[at] != '-';
}

// Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant's days_from_civil).
std::int64_t days_from_civil(std::int64_t year, int month, int day) {
  year -= month <= 2 ? 1 : 0;
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const std::int64_t of_era = year - era * 400;
  const std::int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146'097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719'468;
}

// RFC 3339 section 5.6: 2026-01-31T23:59:60.5Z, +01:00; a space for the T (its note) and lower case are taken.
result<Timestamp> rfc3339(std::string_view text) {
  static constexpr const char* expected = "RFC 3339 such as 2026-01-31T12:00:00Z";
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[13] != ':' || text[16] != ':' || (text[10] != 'T' && text[10] != 't' && text[10] != ' ')) return refused(text, expected);
  const auto parsed = std::from_chars(text.data(), text.data() + 4, year);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + 4 || !two_digits(text, 5, month) || !two_digits(text, 8, day) || !two_digits(text, 11, hour) ||
      !two_digits(text, 14, minute) || !two_digits(text, 17, second))
    return refused(text, expected);
  static constexpr int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  if (month < 1 || month > 12 || day < 1 || day > days[month - 1] || (month == 2 && day == 29 && !leap) || hour > 23 || minute > 59 || second > 60) return refused(text, expected);
  std::size_t at = 19;
  std::int64_t ms = 0;
  if (text[at] == '.') {
    int scale = 100;
    std::size_t digits = 0;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, ++digits) {
      ms += (text[at] - '0') * scale;
      scale /= 10;
    }
    if (digits == 0) return refused(text, expected);
  }
  std::int64_t offset_minutes = 0;
  if (at < text.size() && (text[at] == 'Z' || text[at] == 'z')) {
    ++at;
  } else {
    int hours = 0, minutes = 0;
    if (at + 6 != text.size() || (text[at] != '+' && text[at] != '-') || text[at + 3] != ':' || !two_digits(text, at + 1, hours) || !two_digits(text, at + 4, minutes) || hours > 23 || minutes > 59)
      return refused(text, expected);
    offset_minutes = (text[at] == '-' ? -1 : 1) * (hours * 60 + minutes);
    at += 6;
  }
  if (at != text.size()) return refused(text, expected);
  const std::int64_t seconds = days_from_civil(year, month, day) * 86'400 + hour * 3600 + minute * 60 + second - offset_minutes * 60;
  return seconds * 1000 + ms;
}

}  // namespace

result<Timestamp> event_time(std::string_view token, Unit unit) {
  std::string buffer;
  const std::string_view text = codec::json_text(token, buffer);
  if (unit == Unit::rfc3339) return rfc3339(text);
  std::int64_t whole = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, whole);
  if (parsed.ec == std::errc() && parsed.ptr == end) {
    const auto floor_div = [&](std::int64_t by) { return whole / by - (whole % by < 0 ? 1 : 0); };
    switch (unit) {
      case Unit::s:
        if (whole > INT64_MAX / 1000 || whole < INT64_MIN / 1000) break;
        return whole * 1000;
      case Unit::us: return floor_div(1000);
      case Unit::ns: return floor_div(1'000'000);
      default: return whole;
    }
  }
  double real = 0;
  const auto read = std::from_chars(text.data(), end, real);
  const double ms = unit == Unit::s ? real * 1e3 : unit == Unit::us ? real / 1e3 : unit == Unit::ns ? real / 1e6 : real;
  if (read.ec != std::errc() || read.ptr != end || text.empty() || !(std::fabs(ms) < 9e18)) return refused(text, "a number in the source's unit");
  return static_cast<Timestamp>(std::floor(ms));
}

}  // namespace rivulet::pipeline
