#include <arpa/inet.h>

#include <algorithm>

#include "agent/config/sections.h"

namespace rivulet::config {

void read_mqtt_url(const Value& url, std::string& host, std::uint16_t& port, bool& tls_on) {
  const auto text = url.text();
  if (!text) return;
  if (text->find('@') != std::string::npos) return url.error("a login does not belong into the address, expected the keys username and password");
  tls_on = text->rfind("mqtts://", 0) == 0;
  if (!tls_on && text->rfind("mqtt://", 0) != 0) return url.error("'" + *text + "' is not an MQTT address, expected mqtt://host:1883 or mqtts://host:8883");
  std::string rest = text->substr(tls_on ? 8 : 7);
  if (!rest.empty() && rest.back() == '/') rest.pop_back();
  read_host_port(url, rest, host, port, tls_on ? 8883 : 1883);
}

std::optional<Login> read_mqtt_login(const Map& map) {
  std::optional<Login> login;
  if (auto user = map.get("username")) {
    login.emplace();
    login->username = user->text().value_or("");
  }
  if (auto password = map.get("password")) {
    if (!login) map.value().error("'password' stands without 'username'");
    else login->password = password->secret().value_or(Secret());
  }
  return login;
}

namespace {

// MQTT 5.0 section 4.7: # only last and alone in its level, + alone in its level.
bool legal_filter(const std::string& filter) {
  if (filter.empty() || filter.size() > 65'535 || filter.find('\0') != std::string::npos) return false;
  std::size_t begin = 0;
  while (begin <= filter.size()) {
    const std::size_t end = std::min(filter.find('/', begin), filter.size());
    const std::string level = filter.substr(begin, end - begin);
    if (level.find('#') != std::string::npos && (level != "#" || end != filter.size())) return false;
    if (level.find('+') != std::string::npos && level != "+") return false;
    begin = end + 1;
  }
  return true;
}

MqttSource read_mqtt(const Value& value) {
  MqttSource mqtt;
  const Map map(value, schema::mqtt);
  if (auto url = map.need("url", "mqtt://host:1883 or mqtts://host:8883")) read_mqtt_url(*url, mqtt.host, mqtt.port, mqtt.tls_on);
  if (auto topics = map.need("topics", "a list of topic filters such as [\"plant/+/temperature\"]"))
    for (const Value& topic : topics->list())
      if (auto text = topic.text()) {
        if (legal_filter(*text)) mqtt.topics.push_back(*text);
        else topic.error("'" + *text + "' is not an MQTT topic filter: # stands last and alone between slashes, + alone");
      }
  if (auto qos = map.get("qos")) mqtt.qos = static_cast<int>(qos->integer().value_or(1));
  if (auto version = map.get("version"))
    if (auto word = version->choice()) mqtt.version = *word == "3.1.1" ? 3 : 5;
  mqtt.login = read_mqtt_login(map);
  if (auto id = map.get("client_id")) mqtt.client_id = id->text().value_or("");
  if (auto max = map.get("receive_maximum")) mqtt.receive_maximum = static_cast<std::uint16_t>(max->integer().value_or(1000));
  if (auto alive = map.get("keep_alive")) mqtt.keep_alive_ms = alive->duration().value_or(mqtt.keep_alive_ms);
  if (auto expiry = map.get("session_expiry")) mqtt.session_expiry_ms = expiry->duration().value_or(mqtt.session_expiry_ms);
  if (auto max = map.get("max_packet")) mqtt.max_packet_bytes = max->size().value_or(mqtt.max_packet_bytes);
  if (auto tls = map.get("tls")) {
    if (auto read = read_tls(*tls)) mqtt.tls = *read;
    if (!mqtt.tls_on) tls->error("goes with an address that begins with mqtts://");
  }
  map.done();
  return mqtt;
}

}  // namespace

void read_stream(const Map& map, StreamSettings& stream) {
  if (auto acknowledge = map.get("acknowledge")) stream.acknowledge = acknowledge->boolean().value_or(false);
  if (auto max = map.get("max_frame")) stream.max_frame_bytes = max->size().value_or(stream.max_frame_bytes);
  if (auto max = map.get("max_clients")) stream.max_clients = static_cast<std::uint32_t>(max->integer().value_or(64));
  if (auto idle = map.get("idle")) stream.idle_ms = idle->duration().value_or(0);
  if (auto max = map.get("max_sessions")) stream.max_sessions = static_cast<std::uint32_t>(max->integer().value_or(10'000));
}

std::optional<Tls> read_server_tls(const Value& value) {
  auto tls = read_tls(value);
  if (tls && tls->certificate.empty()) value.error("a server needs 'certificate' and 'key'");
  return tls;
}

namespace {

TcpSource read_tcp(const Value& value) {
  TcpSource tcp;
  const Map map(value, schema::tcp);
  if (auto listen = map.need("listen", "an address such as 0.0.0.0:5000"))
    if (auto text = listen->text()) read_listen(*listen, *text, tcp.listen_host, tcp.listen_port);
  if (auto framing = map.get("framing"))
    if (auto word = framing->choice()) tcp.framing = *word == "length" ? TcpSource::Framing::length : TcpSource::Framing::newline;
  if (auto tls = map.get("tls")) tcp.tls = read_server_tls(*tls);
  read_stream(map, tcp);
  map.done();
  return tcp;
}

UdpSource read_udp(const Value& value) {
  UdpSource udp;
  const Map map(value, schema::udp);
  if (auto listen = map.need("listen", "an address such as 0.0.0.0:5514"))
    if (auto text = listen->text(); text && read_host_port(*listen, *text, udp.listen_host, udp.listen_port)) {
      in6_addr any{};
      if (::inet_pton(AF_INET, udp.listen_host.c_str(), &any) != 1 && ::inet_pton(AF_INET6, udp.listen_host.c_str(), &any) != 1)
        listen->error("'" + udp.listen_host + "' is no IP address, expected one such as 0.0.0.0, or a multicast group");
    }
  if (auto framing = map.get("framing"))
    if (auto word = framing->choice()) udp.lines = *word == "newline";
  if (auto max = map.get("max_datagram")) udp.max_datagram_bytes = max->size().value_or(udp.max_datagram_bytes);
  if (auto buffer = map.get("receive_buffer")) udp.receive_buffer_bytes = buffer->size().value_or(udp.receive_buffer_bytes);
  map.done();
  return udp;
}

FileSource read_file(const Value& value) {
  FileSource file;
  const Map map(value, schema::file);
  if (auto path = map.need("path", "a path, with * and ? in its last part if wanted"))
    if (auto text = path->text()) {
      file.path = *text;
      const std::size_t slash = text->rfind('/');
      if (text->empty() || text->back() == '/') path->error("'" + *text + "' names no file");
      else if (slash != std::string::npos && text->substr(0, slash).find_first_of("*?[") != std::string::npos)
        path->error("* ? [ may stand in the last part of the path only");
    }
  if (auto start = map.get("start"))
    if (auto word = start->choice()) file.from_end = *word == "end";
  if (auto max = map.get("max_line")) file.max_line_bytes = max->size().value_or(file.max_line_bytes);
  if (auto poll = map.get("poll")) file.poll_ms = poll->duration().value_or(file.poll_ms);
  if (auto compression = map.get("compression"))
    if (auto word = compression->choice()) {
      using Compression = FileSource::Compression;
      file.compression = *word == "gzip" ? Compression::gzip : *word == "zstd" ? Compression::zstd : *word == "auto" ? Compression::automatic : Compression::none;
      if (file.compression != Compression::none && file.from_end) compression->error("goes with files that are read whole, expected no 'start: end'");
    }
  map.done();
  return file;
}

StdinSource read_stdin(const Value& value) {
  StdinSource source;
  const Map map(value, schema::stdin_lines);
  if (auto max = map.get("max_line")) source.max_line_bytes = max->size().value_or(source.max_line_bytes);
  map.done();
  return source;
}

SimulateSource read_simulate(const Value& value) {
  SimulateSource simulate;
  const Map map(value, schema::simulate);
  if (auto devices = map.get("devices")) simulate.devices = static_cast<std::uint32_t>(devices->integer().value_or(10));
  if (auto rate = map.get("rate")) simulate.rate_per_s = rate->rate().value_or(100);
  if (auto seed = map.get("seed")) simulate.seed = seed->integer().value_or(1);
  if (auto count = map.get("count")) simulate.count = count->integer();
  map.done();
  return simulate;
}

KafkaSource read_kafka_source(const Value& value) {
  KafkaSource kafka;
  const Map map(value, schema::kafka_topic);
  if (auto topic = map.need("topic", "the topic to read")) {
    kafka.topic = topic->topic().value_or("");
    kafka.topic_at = topic->at();
  }
  if (auto bootstrap = map.get("bootstrap")) kafka.bootstrap = bootstrap->boolean().value_or(false);
  map.done();
  return kafka;
}

std::optional<std::string> read_type(const Map& map, const Value& value, Source& source) {
  const std::vector<std::string> types = alternatives_of(schema::source);
  std::vector<std::string> found;
  for (const std::string& type : types)
    if (map.get(type)) found.push_back(type);
  if (found.empty()) {
    std::string hint, all;
    for (const std::string& type : types) all += " " + type;
    for (const std::string& key : map.keys())
      if (hint.empty() && schema::source.find(key) == nullptr) hint = suggestion(key, types);
    value.error("has no type, expected exactly one of:" + all + hint);
    return std::nullopt;
  }
  if (found.size() > 1) {
    value.error("has two types (" + found[0] + " and " + found[1] + "), expected exactly one");
    return std::nullopt;
  }
  const Value setting = *map.get(found[0]);
  if (found[0] == "mqtt") source.type = read_mqtt(setting);
  if (found[0] == "tcp") source.type = read_tcp(setting);
  if (found[0] == "file") source.type = read_file(setting);
  if (found[0] == "stdin") source.type = read_stdin(setting);
  if (found[0] == "simulate") source.type = read_simulate(setting);
  if (found[0] == "udp") source.type = read_udp(setting);
  if (found[0] == "unix") source.type = read_unix(setting);
  if (found[0] == "http") source.type = read_http(setting);
  if (found[0] == "kafka") source.type = read_kafka_source(setting);
  if (found[0] == "exec") source.type = read_exec(setting);
  if (found[0] == "serial") source.type = read_serial(setting);
  if (found[0] == "iio") source.type = read_iio(setting);
  if (found[0] == "modbus") source.type = read_modbus(setting);
  if (found[0] == "can") source.type = read_can(setting);
  return found[0];
}

}  // namespace

void read_sources(const Value& value, std::vector<Source>& sources) {
  for (const auto& [name, entry] : value.entries()) {
    Source source;
    source.name = name;
    source.at = entry.at();
    check_name(name, entry);
    const Map map(entry, schema::source);
    read_type(map, entry, source);
    if (auto decode = map.get("decode")) read_decode(*decode, source);
    if (auto key = map.get("key")) {
      source.key = key->text().value_or("");
      source.key_at = key->at();
      if (source.key.empty()) key->error("is empty, expected an expression such as device");
    }
    if (auto timestamp = map.get("timestamp")) {
      const Map inner(*timestamp, schema::timestamp);
      TimestampFrom from;
      if (auto field = inner.need("field", "the field that holds the event time")) from.field = field->text().value_or("");
      if (auto unit = inner.get("unit"))
        if (auto word = unit->choice()) {
          using Unit = TimestampFrom::Unit;
          from.unit = *word == "s" ? Unit::s : *word == "ms" ? Unit::ms : *word == "us" ? Unit::us : *word == "ns" ? Unit::ns : Unit::rfc3339;
        }
      inner.done();
      source.timestamp = from;
    }
    if (auto topic = map.get("undecodable")) source.undecodable = topic->topic();
    if (auto time = map.get("time")) source.time = read_time(*time);
    if (auto field = map.get("topic_field")) source.topic_field = field->text().value_or("");
    map.done();
    sources.push_back(std::move(source));
  }
}

}  // namespace rivulet::config
