// A source's `decode`: a codec's name, or a map of it to its settings.
#include <algorithm>

#include "agent/config/sections.h"

namespace rivulet::config {
namespace {

using Kind = Decode::Kind;

constexpr std::size_t kMaxColumns = 4096, kMaxColumnBytes = 1024;

const std::vector<std::string> kCodecs = {"json", "raw", "influx", "cbor", "csv"};

void read_types(const Map& map, Decode& decode) {
  if (auto types = map.get("types"))
    if (auto word = types->choice()) decode.guess = *word == "guess";
}

void read_columns(const Value& value, Decode& decode) {
  for (const Value& column : value.list()) {
    const auto name = column.text();
    if (!name) continue;
    if (name->empty() || name->size() > kMaxColumnBytes) column.error("is no name of a field, expected 1 to " + std::to_string(kMaxColumnBytes) + " bytes");
    else if (std::find(decode.columns.begin(), decode.columns.end(), *name) != decode.columns.end()) column.error("'" + *name + "' stands twice");
    else if (decode.columns.size() == kMaxColumns) return column.error("are more than " + std::to_string(kMaxColumns));
    else decode.columns.push_back(*name);
  }
  if (value.list().empty()) value.error("is empty, expected the names of the fields, such as [device, temperature]");
}

void read_csv(const Value& value, Decode& decode) {
  const Map map(value, schema::csv);
  if (auto columns = map.get("columns")) read_columns(*columns, decode);
  decode.header = !map.has("columns");
  if (auto header = map.get("header")) {
    decode.header = header->boolean().value_or(true);
    if (!decode.header && !map.has("columns")) header->error("is false, and no 'columns' name the fields; expected one of them");
  }
  if (auto separator = map.get("separator"))
    if (auto text = separator->text()) {
      if (text->size() != 1 || text->find_first_of("\"\r\n") != std::string::npos || static_cast<unsigned char>(text->front()) >= 0x80)
        separator->error("'" + *text + "' cannot separate fields, expected one ASCII character such as \";\" or \"\\t\"");
      else decode.separator = text->front();
    }
  read_types(map, decode);
  map.done();
}

void read_raw(const Value& value, Decode& decode) {
  const Map map(value, schema::raw);
  if (auto pattern = map.get("pattern")) {
    decode.pattern = pattern->text().value_or("");
    decode.pattern_at = pattern->at();
    if (decode.pattern.empty()) pattern->error("is empty, expected a regular expression with named groups such as ^(?<level>[A-Z]+) (?<text>.*)$");
  }
  read_types(map, decode);
  if (map.has("types") && !map.has("pattern")) value.error("has 'types' without 'pattern': the whole is text");
  map.done();
}

StreamSettings* stream_settings(Source& source) {
  if (auto* tcp = std::get_if<TcpSource>(&source.type)) return tcp;
  auto* local = std::get_if<UnixSource>(&source.type);
  return local != nullptr && !local->datagrams ? &local->stream : nullptr;
}

bool has_lines(Source& source) {
  const auto* serial = std::get_if<SerialSource>(&source.type);
  if (std::holds_alternative<ExecSource>(source.type) || (serial != nullptr && !serial->fixed)) return true;
  const auto* stream = stream_settings(source);
  const auto* http = std::get_if<HttpSource>(&source.type);
  return std::holds_alternative<FileSource>(source.type) || std::holds_alternative<StdinSource>(source.type) ||
         (stream != nullptr && stream->framing == StreamSettings::Framing::newline) || (http != nullptr && http->framing == HttpSource::Framing::newline);
}

// Sources of lines take the header off themselves: it is the first line of something that only they know.
void tell_source(Source& source) {
  if (auto* file = std::get_if<FileSource>(&source.type)) file->first_line_names = true;
  if (auto* in = std::get_if<StdinSource>(&source.type)) in->first_line_names = true;
  if (auto* exec = std::get_if<ExecSource>(&source.type)) exec->first_line_names = true;
  if (auto* serial = std::get_if<SerialSource>(&source.type)) serial->first_line_names = !serial->fixed;
  if (auto* stream = stream_settings(source)) stream->first_line_names = stream->framing == StreamSettings::Framing::newline;
}

}  // namespace

void read_decode(const Value& value, Source& source) {
  Decode& decode = source.decode;
  std::string name;
  std::optional<Value> settings;
  if (value.is_map()) {
    const Map map(value, schema::decode);
    for (const std::string& codec : kCodecs)
      if (const auto found = map.get(codec)) {
        name = codec;
        settings = found;
      }
    if (map.keys().size() != 1) return value.error("expected one codec with its settings, such as csv: {separator: \";\"}");
    map.done();
    if (name.empty()) return;
  } else {
    name = value.choice().value_or("json");
  }
  decode.kind = static_cast<Kind>(std::find(kCodecs.begin(), kCodecs.end(), name) - kCodecs.begin());
  decode.header = decode.kind == Kind::csv;
  if (settings && decode.kind == Kind::csv) read_csv(*settings, decode);
  else if (settings && decode.kind == Kind::raw) read_raw(*settings, decode);
  else if (settings) Map(*settings, schema::no_keys).done();
  if (decode.header) tell_source(source);
  const bool of_json = decode.kind == Kind::json;
  if (decode.kind == Kind::cbor && has_lines(source)) value.error("cbor is bytes, which lines cannot carry; expected a source of messages (for tcp: framing: length)");
  if (!of_json && std::holds_alternative<IioSource>(source.type)) value.error("an iio source gives JSON; expected json");
  if (const auto* http = std::get_if<HttpSource>(&source.type); decode.header && http != nullptr && http->framing == HttpSource::Framing::newline)
    value.error("csv with a header needs the whole body, which begins with it; expected framing: auto or body");
  if (!of_json && std::holds_alternative<SimulateSource>(source.type)) value.error("a simulate source gives JSON; expected json");
  if (!of_json && std::holds_alternative<ModbusSource>(source.type)) value.error("a modbus source gives JSON; expected json");
  if (!of_json && std::holds_alternative<CanSource>(source.type)) value.error("a can source gives JSON; expected json");
}

}  // namespace rivulet::config
