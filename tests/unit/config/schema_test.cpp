// The table of settings: what is printed from it is what the repository holds, and its defaults are those of the structs.
#include "agent/config/schema.h"

#include <fstream>
#include <set>
#include <sstream>

#include "agent/config/document.h"
#include "agent/config/reader.h"
#include "tests/support/catch.h"

using namespace rivulet::config;

namespace {

std::string file_text(const std::string& name) {
  std::ifstream file(std::string(RIVULET_SOURCE_DIR) + "/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void each(const Section& section, std::set<const Section*>& seen, const std::function<void(const Setting&)>& visit) {
  if (!seen.insert(&section).second) return;
  for (const Setting& setting : section.settings) {
    visit(setting);
    if (setting.section != nullptr) each(*setting.section, seen, visit);
  }
}

template <class Type>
Type source(const std::string& text) {
  const Loaded loaded = load_text("agent: {id: a}\nkafka: {brokers: b}\nsources: {s: {" + text + "}}\npipelines: {p: {from: s}}\n", "r.yaml");
  for (const Problem& problem : loaded.problems) UNSCOPED_INFO(problem.text());
  REQUIRE(loaded.ok());
  return std::get<Type>(loaded.config.sources.at(0).type);
}

}  // namespace

TEST_CASE("the reference and the JSON Schema in config are what the table says") {
  CHECK(file_text("config/README.md").find(reference()) != std::string::npos);
  CHECK(file_text("config/schema.json") == json_schema());
}

TEST_CASE("every default of the table is one that its own row allows, and every row has a sentence") {
  std::set<const Section*> seen;
  std::size_t defaults = 0;
  each(schema::root, seen, [&](const Setting& setting) {
    INFO(setting.name);
    CHECK_FALSE(setting.meaning.empty());
    CHECK((setting.type != Type::none || setting.section != nullptr));
    CHECK((setting.type != Type::word || !setting.words.empty()));
    if (setting.standard.empty()) return;
    ++defaults;
    CHECK_FALSE(setting.required);
    std::vector<Problem> problems;
    Report report(problems);
    const Value value(YAML::Load(std::string(setting.standard)), "it", "r.yaml", report, &setting);
    switch (setting.type) {
      case Type::boolean: CHECK(value.boolean()); break;
      case Type::integer: CHECK(value.integer()); break;
      case Type::duration: CHECK(value.duration()); break;
      case Type::size: CHECK(value.size()); break;
      case Type::rate: CHECK(value.rate()); break;
      case Type::word: CHECK(value.choice()); break;
      case Type::topic: CHECK(value.topic()); break;
      case Type::name: CHECK(value.name()); break;
      default: CHECK(value.text());
    }
    CHECK(problems.empty());
  });
  CHECK(defaults > 40);
}

TEST_CASE("what is left out is what the structs say") {
  const Loaded loaded = load_text("agent: {id: a}\nkafka: {brokers: b}\nsources: {s: {stdin: {}, time: {}}}\npipelines: {p: {from: s}}\n", "r.yaml");
  REQUIRE(loaded.ok());
  const Agent agent;
  CHECK(loaded.config.agent.state == agent.state);
  CHECK(loaded.config.agent.commit_interval_ms == agent.commit_interval_ms);
  CHECK(loaded.config.agent.memory_bytes == agent.memory_bytes);
  CHECK(loaded.config.agent.storage_max_bytes == agent.storage_max_bytes);
  CHECK(loaded.config.agent.drop_oldest == agent.drop_oldest);
  CHECK(loaded.config.agent.restore == agent.restore);
  CHECK(loaded.config.agent.compression == agent.compression);
  const Kafka kafka;
  CHECK(loaded.config.kafka->exactly_once == kafka.exactly_once);
  CHECK(loaded.config.kafka->headers == kafka.headers);
  CHECK(loaded.config.kafka->progress_topic == kafka.progress_topic);
  CHECK(loaded.config.kafka->transaction_interval_ms == kafka.transaction_interval_ms);
  CHECK(loaded.config.kafka->transaction_max_bytes == kafka.transaction_max_bytes);
  CHECK(loaded.config.kafka->transaction_timeout_ms == kafka.transaction_timeout_ms);
  CHECK(loaded.config.log.level == Log().level);
  CHECK(loaded.config.sources.at(0).time == Time());
  CHECK(loaded.config.sources.at(0).decode.kind == Decode().kind);
}

TEST_CASE("what is left out of a source is what its struct says") {
  const auto mqtt = source<MqttSource>("mqtt: {url: mqtt://h, topics: t}");
  const MqttSource mqtt_default;
  CHECK(mqtt.port == mqtt_default.port);
  CHECK(mqtt.qos == mqtt_default.qos);
  CHECK(mqtt.version == mqtt_default.version);
  CHECK(mqtt.receive_maximum == mqtt_default.receive_maximum);
  CHECK(mqtt.keep_alive_ms == mqtt_default.keep_alive_ms);
  CHECK(mqtt.session_expiry_ms == mqtt_default.session_expiry_ms);
  CHECK(mqtt.max_packet_bytes == mqtt_default.max_packet_bytes);
  const auto tcp = source<TcpSource>("tcp: {listen: '127.0.0.1:1'}");
  const TcpSource tcp_default;
  CHECK(tcp.framing == tcp_default.framing);
  CHECK(tcp.acknowledge == tcp_default.acknowledge);
  CHECK(tcp.max_frame_bytes == tcp_default.max_frame_bytes);
  CHECK(tcp.max_clients == tcp_default.max_clients);
  CHECK(tcp.idle_ms == tcp_default.idle_ms);
  CHECK(tcp.max_sessions == tcp_default.max_sessions);
  const auto udp = source<UdpSource>("udp: {listen: '0.0.0.0:1'}");
  const UdpSource udp_default;
  CHECK(udp.lines == udp_default.lines);
  CHECK(udp.max_datagram_bytes == udp_default.max_datagram_bytes);
  CHECK(udp.receive_buffer_bytes == udp_default.receive_buffer_bytes);
  const auto local = source<UnixSource>("unix: {path: /x}");
  const UnixSource local_default;
  CHECK(local.mode == local_default.mode);
  CHECK(local.datagrams == local_default.datagrams);
  CHECK(local.stream.framing == local_default.stream.framing);
  CHECK(local.stream.max_frame_bytes == local_default.stream.max_frame_bytes);
  CHECK(local.stream.max_clients == local_default.stream.max_clients);
  const auto datagram = source<UnixSource>("unix: {path: /x, type: datagram}");
  CHECK(datagram.datagrams);
  CHECK(datagram.datagram.lines == local_default.datagram.lines);
  CHECK(datagram.datagram.max_datagram_bytes == local_default.datagram.max_datagram_bytes);
  const auto http = source<HttpSource>("http: {listen: '127.0.0.1:1'}");
  const HttpSource http_default;
  CHECK(http.path == http_default.path);
  CHECK(http.token.empty());
  CHECK(http.framing == http_default.framing);
  CHECK(http.max_body_bytes == http_default.max_body_bytes);
  CHECK(http.max_bodies_bytes == http_default.max_bodies_bytes);
  CHECK(http.max_clients == http_default.max_clients);
  CHECK(http.timeout_ms == http_default.timeout_ms);
  CHECK(http.idle_ms == http_default.idle_ms);
  CHECK(http.idempotency.window_ms == http_default.idempotency.window_ms);
  CHECK(http.idempotency.max == http_default.idempotency.max);
  const auto file = source<FileSource>("file: {path: x}");
  const FileSource file_default;
  CHECK(file.from_end == file_default.from_end);
  CHECK(file.max_line_bytes == file_default.max_line_bytes);
  CHECK(file.poll_ms == file_default.poll_ms);
  CHECK(file.compression == file_default.compression);
  const auto simulate = source<SimulateSource>("simulate: {}");
  const SimulateSource simulate_default;
  CHECK(simulate.devices == simulate_default.devices);
  CHECK(simulate.rate_per_s == simulate_default.rate_per_s);
  CHECK(simulate.seed == simulate_default.seed);
  CHECK(simulate.count == simulate_default.count);
  CHECK(source<StdinSource>("stdin: {}").max_line_bytes == StdinSource().max_line_bytes);
  CHECK(source<KafkaSource>("kafka: {topic: t}").bootstrap == KafkaSource().bootstrap);
}
