#include "agent/pipeline/values.h"

#include <sqlite3.h>

#include <charconv>
#include <cmath>
#include <cstdlib>

#include "agent/codec/json.h"

namespace rivulet::pipeline {
namespace {

constexpr unsigned kJsonSubtype = 74;     // sqlite.org/json1.html: the subtype of JSON values is 'J'
constexpr double kMaxTimestampMs = 9e15;  // doubles count every millisecond up to here; the year 287,000

std::string_view text_of(sqlite3_value* value) {
  const unsigned char* text = sqlite3_value_text(value);
  return text == nullptr ? std::string_view() : std::string_view(reinterpret_cast<const char*>(text), static_cast<std::size_t>(sqlite3_value_bytes(value)));
}

struct Parsed {
  std::optional<std::int64_t> integer;
  double real = 0;
};
Parsed number_of(std::string_view token, std::string& buffer) {
  const char* end = token.data() + token.size();
  std::int64_t integer = 0;
  const auto whole = std::from_chars(token.data(), end, integer);
  if (whole.ec == std::errc() && whole.ptr == end) return {integer, 0};
  Parsed parsed;
  if (std::from_chars(token.data(), end, parsed.real).ec != std::errc()) {  // too large or too small: strtod says which
    buffer.assign(token);
    parsed.real = std::strtod(buffer.c_str(), nullptr);
  }
  return parsed;
}

int bind_number(sqlite3_stmt* statement, int slot, std::string_view token, std::string& buffer) {
  const Parsed number = number_of(token, buffer);
  return number.integer ? sqlite3_bind_int64(statement, slot, *number.integer) : sqlite3_bind_double(statement, slot, number.real);
}

result<void> append(std::string& to, sqlite3_value* value, bool boolean, bool quote) {
  switch (sqlite3_value_type(value)) {
    case SQLITE_NULL:
      if (quote) to += "null";
      return {};
    case SQLITE_INTEGER: {
      const std::int64_t number = sqlite3_value_int64(value);
      char digits[24];
      if (boolean) to += number != 0 ? "true" : "false";
      else to.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
      return {};
    }
    case SQLITE_FLOAT: {
      const double number = sqlite3_value_double(value);
      if (!std::isfinite(number)) return Error{ErrorCode::invalid, "the result is infinite, which JSON cannot say"};
      codec::append_json_double(to, number);
      return {};
    }
    case SQLITE_TEXT:
      if (!quote || sqlite3_value_subtype(value) == kJsonSubtype) to += text_of(value);
      else codec::append_json_string(to, text_of(value));
      return {};
    default: return Error{ErrorCode::invalid, "the result is a blob; hex() makes it text"};
  }
}

}  // namespace

int bind_field(sqlite3_stmt* statement, int slot, const Field* field, std::string& buffer) {
  if (field == nullptr) return sqlite3_bind_null(statement, slot);
  const std::string_view token = field->token;
  const auto text = [&](std::string_view what) { return sqlite3_bind_text64(statement, slot, what.data() == nullptr ? "" : what.data(), what.size(), SQLITE_STATIC, SQLITE_UTF8); };
  if (field->text) return text(codec::as_utf8(token, buffer));
  switch (token.front()) {
    case '"': return text(codec::json_text(token, buffer));
    case '{':
    case '[': return text(token);
    case 'n': return sqlite3_bind_null(statement, slot);
    case 't': return sqlite3_bind_int(statement, slot, 1);
    case 'f': return sqlite3_bind_int(statement, slot, 0);
    default: return bind_number(statement, slot, token, buffer);
  }
}

void result_token(sqlite3_context* context, std::string_view token) {
  std::string buffer;
  const auto text = [&](std::string_view what) { sqlite3_result_text64(context, what.data() == nullptr ? "" : what.data(), what.size(), SQLITE_TRANSIENT, SQLITE_UTF8); };
  switch (token.empty() ? 'n' : token.front()) {
    case '"': return text(codec::json_text(token, buffer));
    case '{':
    case '[': return text(token);
    case 'n': return sqlite3_result_null(context);
    case 't': return sqlite3_result_int(context, 1);
    case 'f': return sqlite3_result_int(context, 0);
    default: break;
  }
  const Parsed number = number_of(token, buffer);
  if (number.integer) sqlite3_result_int64(context, *number.integer);
  else sqlite3_result_double(context, number.real);
}

result<void> append_json(std::string& to, sqlite3_value* value, bool boolean) { return append(to, value, boolean, true); }
result<void> append_text(std::string& to, sqlite3_value* value, bool boolean) { return append(to, value, boolean, false); }

result<Timestamp> as_timestamp(sqlite3_value* value) {
  const int type = sqlite3_value_type(value);
  if (type == SQLITE_INTEGER && sqlite3_value_int64(value) >= 0) return sqlite3_value_int64(value);
  if (type == SQLITE_FLOAT && sqlite3_value_double(value) >= 0 && sqlite3_value_double(value) < kMaxTimestampMs) return static_cast<Timestamp>(std::floor(sqlite3_value_double(value)));
  const std::string shown = type == SQLITE_NULL ? "null" : type == SQLITE_BLOB ? "a blob" : "'" + std::string(text_of(value).substr(0, 40)) + "'";
  return Error{ErrorCode::invalid, "the result is " + shown + ", expected milliseconds since 1970 as a number"};
}

}  // namespace rivulet::pipeline
