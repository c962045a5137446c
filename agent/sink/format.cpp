#include "agent/sink/format.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>

#include "agent/base/bytes.h"

namespace rivulet::sink {
namespace {

constexpr std::uint8_t kVersion = 1;

bool reads_as_something_else(std::string_view text) { return text.empty() || text == "true" || text == "false" || text == "null" || codec::is_json_number(text); }

}  // namespace

void Format::append(std::string& to, const store::PackRecord& record) {
  if (settings_.csv) return append_csv(to, record.value);
  if (settings_.whole) {
    to += "{\"key\":";
    if (record.key) codec::append_json_string(to, *record.key);
    else to += "null";
    to += ",\"value\":";
  }
  append_value(to, record.value);
  if (settings_.whole) {
    fmt::format_to(std::back_inserter(to), ",\"ts\":{}", record.timestamp_ms);
    if (record.window) fmt::format_to(std::back_inserter(to), ",\"window\":{{\"start\":{},\"end\":{}}}", record.window->start_ms, record.window->end_ms);
    to += '}';
  }
  to += '\n';
}

void Format::append_value(std::string& to, std::optional<std::string_view> value) {
  if (!value) {
    to += "null";
    return;
  }
  const auto kind = json_.parse(*value);
  if (!kind || *kind == codec::JsonKind::empty) return codec::append_json_string(to, *value);
  const std::size_t begin = to.size();
  to += json_.token();
  std::replace_if(to.begin() + static_cast<std::ptrdiff_t>(begin), to.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
}

void Format::append_csv(std::string& to, std::optional<std::string_view> value) {
  const auto kind = value ? json_.parse(*value) : result<codec::JsonKind>(codec::JsonKind::empty);
  const bool object = kind && *kind == codec::JsonKind::object;
  bool first = true;
  for (const std::string& column : settings_.columns) {
    if (!std::exchange(first, false)) to += settings_.separator;
    if (object) {
      const auto& fields = json_.fields();
      const auto field = std::find_if(fields.begin(), fields.end(), [&](const codec::JsonField& one) { return one.name == column; });
      if (field != fields.end()) append_field(to, field->token);
    } else if (value && column == "value") {  // a value that is no object is the field `value`
      if (kind && *kind == codec::JsonKind::other) append_field(to, json_.token());
      else if (!value->empty()) append_text(to, codec::as_utf8(*value, buffer_), true);
    }
  }
  to += "\r\n";
}

void Format::append_field(std::string& to, std::string_view token) {
  if (token == "null") return;
  const bool text = !token.empty() && token.front() == '"';
  append_text(to, text ? codec::json_text(token, buffer_) : token, text);
}

void Format::append_text(std::string& to, std::string_view text, bool must_stay_text) const {
  const char special[] = {settings_.separator, '"', '\r', '\n'};
  const bool quoted = text.find_first_of(std::string_view(special, sizeof special)) != std::string_view::npos || (must_stay_text && reads_as_something_else(text));
  if (!quoted) {
    to += text;
    return;
  }
  to += '"';
  for (const char c : text) {
    if (c == '"') to += '"';
    to += c;
  }
  to += '"';
}

std::string Format::header() const {
  std::string line;
  if (!settings_.csv || !settings_.header) return line;
  for (std::size_t i = 0; i < settings_.columns.size(); ++i) {
    if (i > 0) line += settings_.separator;
    append_text(line, settings_.columns[i], false);
  }
  return line + "\r\n";
}

std::string Format::description() const {
  std::string bytes;
  put_u8(bytes, kVersion);
  put_u8(bytes, static_cast<std::uint8_t>((settings_.csv ? 1 : 0) | (settings_.header ? 2 : 0) | (settings_.whole ? 4 : 0)));
  put_u8(bytes, static_cast<std::uint8_t>(settings_.separator));
  put_varint(bytes, settings_.columns.size());
  for (const std::string& column : settings_.columns) put_sized(bytes, column);
  return bytes;
}

std::optional<config::FileOutput> Format::described(std::string_view description) {
  Reader reader(description);
  config::FileOutput settings;
  if (reader.u8() != kVersion) return std::nullopt;
  const std::uint8_t flags = reader.u8();
  settings.csv = (flags & 1) != 0;
  settings.header = (flags & 2) != 0;
  settings.whole = (flags & 4) != 0;
  settings.separator = static_cast<char>(reader.u8());
  for (std::uint64_t left = reader.varint(); reader.ok() && left > 0; --left) settings.columns.emplace_back(reader.sized());
  if (!reader.ok() || !reader.at_end()) return std::nullopt;
  return settings;
}

}  // namespace rivulet::sink
