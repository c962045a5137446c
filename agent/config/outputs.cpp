#include <algorithm>
#include <filesystem>

#include "agent/config/sections.h"

namespace rivulet::config {
namespace {

constexpr std::size_t kMaxColumns = 1000;
constexpr std::size_t kMaxPath = 4000;  // below PATH_MAX, with what rotation puts in
constexpr std::size_t kMaxTopic = 65'535;

std::string absolute_path(const Value& value) {
  const auto text = value.text();
  if (!text) return {};
  const std::filesystem::path path(*text);
  if (text->find('\0') != std::string::npos || text->size() > kMaxPath) value.error("is no path, expected one of at most " + std::to_string(kMaxPath) + " bytes");
  else if (!path.is_absolute()) value.error("'" + *text + "' depends on the folder that the agent is started in, expected an absolute path");
  else if (!path.has_filename() || path.filename() == "." || path.filename() == "..") value.error("'" + *text + "' names no file");
  else return path.lexically_normal().string();
  return {};
}

void read_csv(const Map& map, FileOutput& file) {
  const auto columns = map.get("columns");
  if (!columns) return map.value().error("'columns' is missing, expected the fields, in order, such as [device, temperature]");
  for (const Value& column : columns->list()) {
    auto text = column.text();
    if (!text) continue;
    if (std::find(file.columns.begin(), file.columns.end(), *text) != file.columns.end()) column.error("'" + *text + "' stands twice");
    file.columns.push_back(std::move(*text));
  }
  if (file.columns.empty()) columns->error("is empty, expected at least one field");
  if (file.columns.size() > kMaxColumns) columns->error("has more than " + std::to_string(kMaxColumns) + " fields");
}

FileOutput read_file(const Value& value) {
  FileOutput file;
  const Map map(value, schema::file_output);
  if (auto path = map.need("path", "an absolute path such as /var/lib/rivulet/out/readings.json")) file.path = absolute_path(*path);
  if (auto format = map.get("format")) file.csv = format->choice().value_or("ndjson") == "csv";
  if (file.csv) read_csv(map, file);
  for (const char* key : {"columns", "separator", "header"})
    if (!file.csv && map.has(key)) map.get(key)->error("goes with format: csv");
  if (file.csv && map.has("record")) map.get("record")->error("goes with format: ndjson");
  if (auto separator = map.get("separator"))
    if (auto text = separator->text()) {
      const auto c = text->empty() ? '\0' : text->front();
      if (text->size() != 1 || static_cast<unsigned char>(c) >= 0x80 || c == '"' || c == '\r' || c == '\n' || c == '\0') separator->error("'" + *text + "' is not one ASCII character (nor a quote or a line end)");
      else file.separator = c;
    }
  if (auto header = map.get("header")) file.header = header->boolean().value_or(true);
  if (auto record = map.get("record")) file.whole = record->choice().value_or("value") == "whole";
  if (auto rotate = map.get("rotate")) {
    const Map when(*rotate, schema::rotate);
    if (auto size = when.get("size")) file.rotate_bytes = size->size().value_or(0);
    if (auto interval = when.get("interval")) file.rotate_ms = interval->duration().value_or(0);
    if (auto keep = when.get("keep")) file.keep = static_cast<std::uint32_t>(keep->integer().value_or(0));
    if (!when.has("size") && !when.has("interval")) rotate->error("says not when, expected size or interval, or both");
    when.done();
  }
  map.done();
  return file;
}

std::string sql_text(const std::string& text) {
  std::string sql = "'";
  for (const char c : text) sql += c == '\'' ? std::string("''") : std::string(1, c);
  return sql + "'";
}

// Its message's topic is the output's key.
MqttOutput read_mqtt(const Value& value, std::optional<Expression>& key) {
  MqttOutput mqtt;
  const Map map(value, schema::mqtt_output);
  if (auto url = map.need("url", "mqtt://host:1883 or mqtts://host:8883")) read_mqtt_url(*url, mqtt.host, mqtt.port, mqtt.tls_on);
  if (map.has("topic") == map.has("topic_from")) value.error(map.has("topic") ? "has both topic and topic_from, expected one" : "has neither topic nor topic_from, expected one");
  if (auto topic = map.get("topic"))
    if (auto text = topic->text()) {
      if (text->empty() || text->size() > kMaxTopic || text->find_first_of(std::string_view("+#\0", 3)) != std::string::npos) topic->error("'" + *text + "' is no topic to publish to: it may not be empty, nor hold + or #");
      mqtt.topic = *text;
      mqtt.topic_at = topic->at();
      key = Expression{sql_text(*text), topic->at()};
    }
  if (auto topic = map.get("topic_from")) key = read_expression(*topic);
  if (auto retain = map.get("retain")) mqtt.retain = retain->boolean().value_or(false);
  if (auto version = map.get("version"))
    if (auto word = version->choice()) mqtt.version = *word == "3.1.1" ? 3 : 5;
  mqtt.login = read_mqtt_login(map);
  if (auto id = map.get("client_id")) mqtt.client_id = id->text().value_or("");
  if (auto most = map.get("in_flight")) mqtt.in_flight = static_cast<std::uint16_t>(most->integer().value_or(mqtt.in_flight));
  if (auto alive = map.get("keep_alive")) mqtt.keep_alive_ms = alive->duration().value_or(mqtt.keep_alive_ms);
  if (auto tls = map.get("tls")) {
    if (auto read = read_tls(*tls)) mqtt.tls = *read;
    if (!mqtt.tls_on) tls->error("goes with an address that begins with mqtts://");
  }
  map.done();
  return mqtt;
}

StdoutOutput read_stdout(const Value& value) {
  StdoutOutput output;
  const Map map(value, schema::stdout_output);
  if (auto record = map.get("record")) output.whole = record->choice().value_or("value") == "whole";
  map.done();
  return output;
}

// What the store's stream is for; no topic of Kafka's may have a colon.
std::string destination(const LocalOutput& local) {
  if (const auto* file = std::get_if<FileOutput>(&local)) return "file:" + file->path;
  if (const auto* mqtt = std::get_if<MqttOutput>(&local)) return (mqtt->tls_on ? "mqtts://" : "mqtt://") + mqtt->host + ":" + std::to_string(mqtt->port);
  return "stdout:";
}

}  // namespace

Output read_output(const Value& value) {
  Output output;
  output.at = value.at();
  if (value.is_scalar()) {
    output.topic = value.topic().value_or("");
    return output;
  }
  const Map map(value, schema::output);
  if (auto key = map.get("key")) output.key = read_expression(*key);
  int kinds = 0;
  for (const std::string& kind : alternatives_of(schema::output)) {
    if (!map.has(kind)) continue;
    if (++kinds > 1) continue;
    const Value body = *map.get(kind);
    if (kind == "topic") output.topic = body.topic().value_or("");
    else if (kind == "file") output.local = read_file(body);
    else if (kind == "stdout") output.local = read_stdout(body);
    else if (map.has("key")) value.error("a message of MQTT has no key, expected mqtt without key (its topic may be an expression: topic_from)");
    else output.local = read_mqtt(body, output.key);
  }
  if (kinds != 1) value.error(kinds == 0 ? "says not where to, expected one of topic, file, mqtt, stdout" : "says more than one of topic, file, mqtt, stdout; expected a list of outputs");
  if (output.local) output.topic = destination(*output.local);
  if (auto format = map.get("key_format")) output.windowed_key = format->choice().value_or("plain") == "windowed";
  if (output.local && map.has("key_format")) map.get("key_format")->error("goes with a topic");
  map.done();
  return output;
}

std::vector<Output> read_outputs(const Value& value) {
  std::vector<Output> outputs;
  for (const Value& one : value.list()) outputs.push_back(read_output(one));
  if (outputs.empty()) value.error("is empty, expected an output, or no `to`");
  return outputs;
}

}  // namespace rivulet::config
