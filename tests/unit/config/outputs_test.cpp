// Where records go: topics, files, MQTT servers, the standard output.
#include "agent/config/config.h"
#include "tests/support/catch.h"

using namespace rivulet::config;

namespace {

Loaded load_to(const std::string& to, const std::string& more = "", const std::string& source = "simulate: {}") {
  return load_text("agent: {id: g, state: /var/lib/rivulet}\nsources: {s: {" + source + "}}\npipelines:\n  p: {from: s, to: " + to + "}\n" + more, "r.yaml");
}

std::vector<Output> outputs(const std::string& to) {
  const Loaded loaded = load_to(to);
  for (const Problem& problem : loaded.problems) UNSCOPED_INFO(problem.text());
  REQUIRE(loaded.ok());
  return loaded.config.pipelines.at(0).to;
}

std::string problem(const Loaded& loaded) {
  std::string all;
  for (const Problem& one : loaded.problems)
    if (!one.warning) all += one.text() + "\n";
  return all;
}

}  // namespace

TEST_CASE("a pipeline's output is a topic, a file, an MQTT server, the standard output, or a list of them") {
  CHECK(outputs("t").at(0).topic == "t");
  const auto all = outputs("[t, {topic: u, key: a}, {file: {path: /out/a.json}}, {mqtt: {url: \"mqtts://host\", topic: \"it's\"}}, {stdout: {record: whole}}]");
  REQUIRE(all.size() == 5);
  CHECK(all[1].key->sql == "a");
  CHECK(all[2].topic == "file:/out/a.json");
  CHECK_FALSE(all[2].key);
  CHECK(all[3].topic == "mqtts://host:8883");
  CHECK(all[3].key->sql == "'it''s'");
  CHECK(all[4].topic == "stdout:");
  CHECK(std::get<StdoutOutput>(*all[4].local).whole);
  CHECK_FALSE(all[0].local);
}

TEST_CASE("a file output's settings are read, and their defaults are those of the table") {
  const auto plain = std::get<FileOutput>(*outputs("{file: {path: /out//x/./a.json}}").at(0).local);
  CHECK(plain.path == "/out/x/a.json");
  CHECK_FALSE((plain.csv || plain.whole || plain.rotate_bytes != 0 || plain.rotate_ms != 0 || plain.keep != 0));
  const auto csv = std::get<FileOutput>(*outputs("{file: {path: /out/a.csv, format: csv, columns: [a, b], separator: \";\", header: false, rotate: {size: 1MiB, interval: 1h, keep: 5}}}").at(0).local);
  CHECK(csv.columns == std::vector<std::string>{"a", "b"});
  CHECK(csv.separator == ';');
  CHECK_FALSE(csv.header);
  CHECK(csv.rotate_bytes == 1 << 20);
  CHECK(csv.rotate_ms == 3'600'000);
  CHECK(csv.keep == 5);
}

TEST_CASE("an MQTT output's settings are read, and its topic is the output's key") {
  const auto output = outputs("{mqtt: {url: \"mqtt://h:99\", topic_from: \"'plant/' || d\", retain: true, version: 3.1.1, username: u, password: p, client_id: c, in_flight: 7, keep_alive: 5s}}").at(0);
  CHECK(output.key->sql == "'plant/' || d");
  const auto mqtt = std::get<MqttOutput>(*output.local);
  CHECK(mqtt.host == "h");
  CHECK(mqtt.port == 99);
  CHECK((mqtt.retain && mqtt.version == 3 && mqtt.in_flight == 7 && mqtt.keep_alive_ms == 5'000 && mqtt.client_id == "c"));
  CHECK(mqtt.login->password.reveal() == "p");
  const auto standard = std::get<MqttOutput>(*outputs("{mqtt: {url: \"mqtt://h\", topic: t}}").at(0).local);
  CHECK((standard.port == 1883 && standard.version == 5 && standard.in_flight == 100 && standard.keep_alive_ms == 30'000 && !standard.retain));
}

TEST_CASE("what an output cannot be is said, with what to do") {
  const auto fails = [](const std::string& to) { return problem(load_to(to)); };
  CHECK_THAT(fails("{key: a}"), ContainsSubstring("expected one of topic, file, mqtt, stdout"));
  CHECK_THAT(fails("{topic: t, stdout: {}}"), ContainsSubstring("expected a list of outputs"));
  CHECK_THAT(fails("[]"), ContainsSubstring("is empty"));
  CHECK_THAT(fails("\"file:/x\""), ContainsSubstring("topic"));
  CHECK_THAT(fails("{topic: \"a:b\"}"), ContainsSubstring("topic"));
  CHECK_THAT(fails("[t, {topic: t, key: a}]"), ContainsSubstring("stands twice"));
  CHECK_THAT(fails("{file: {path: x.json}}"), ContainsSubstring("absolute path"));
  CHECK_THAT(fails("{file: {path: /out/}}"), ContainsSubstring("names no file"));
  CHECK_THAT(fails("{file: {path: /out/..}}"), ContainsSubstring("names no file"));
  CHECK_THAT(fails("{file: {path: /var/lib/rivulet/rivulet.db}}"), ContainsSubstring("agent.state"));
  CHECK_THAT(fails("{file: {path: /var/lib/x/../rivulet/rivulet.db}}"), ContainsSubstring("agent.state"));
  CHECK(fails("{file: {path: /var/lib/rivulet/out/x.json}}").empty());
  CHECK_THAT(fails("{file: {path: /x, format: csv}}"), ContainsSubstring("columns"));
  CHECK_THAT(fails("{file: {path: /x, columns: [a]}}"), ContainsSubstring("goes with format: csv"));
  CHECK_THAT(fails("{file: {path: /x, format: csv, columns: [a, a]}}"), ContainsSubstring("stands twice"));
  CHECK_THAT(fails("{file: {path: /x, format: csv, columns: [a], separator: \"ab\"}}"), ContainsSubstring("one ASCII character"));
  CHECK_THAT(fails("{file: {path: /x, rotate: {keep: 3}}}"), ContainsSubstring("size or interval"));
  CHECK_THAT(fails("{file: {path: /x}, key_format: windowed}"), ContainsSubstring("goes with a topic"));
  CHECK_THAT(fails("{mqtt: {url: \"mqtt://h\"}}"), ContainsSubstring("neither topic nor topic_from"));
  CHECK_THAT(fails("{mqtt: {url: \"mqtt://h\", topic: a, topic_from: b}}"), ContainsSubstring("both"));
  CHECK_THAT(fails("{mqtt: {url: \"mqtt://h\", topic: \"a/#\"}}"), ContainsSubstring("no topic to publish to"));
  CHECK_THAT(fails("{mqtt: {url: \"mqtt://h\", topic: a}, key: b}"), ContainsSubstring("has no key"));
  CHECK_THAT(fails("{mqtt: {url: \"mqtt://h\", topic: a, tls: true}}"), ContainsSubstring("mqtts://"));
}

TEST_CASE("outputs that would meet each other, or what a source reads, are refused") {
  CHECK_THAT(problem(load_to("{file: {path: /out/x}}", "  q: {from: s, to: {file: {path: /out/./x}}}\n")), ContainsSubstring("as well"));
  CHECK_THAT(problem(load_to("{file: {path: /in/x.json}}", "", "file: {path: \"/in/*.json\"}")), ContainsSubstring("go round"));
  CHECK_THAT(problem(load_to("{file: {path: /in/x.json}}", "", "file: {path: \"/in/x.0*.json\"}")), ContainsSubstring("go round"));
  CHECK(problem(load_to("{file: {path: /out/x.json}}", "", "file: {path: \"/in/*.json\"}")).empty());
  const auto mqtt = [](const std::string& filter, const std::string& topic) {
    return problem(load_to("{mqtt: {url: \"mqtt://h\", topic: " + topic + "}}", "", "mqtt: {url: \"mqtt://h\", topics: [\"" + filter + "\"]}"));
  };
  for (const auto& [filter, topic] : {std::pair<std::string, std::string>{"plant/#", "plant"}, {"plant/#", "plant/a/b"}, {"+/a", "x/a"}, {"#", "x"}, {"a/b", "a/b"}}) CHECK_THAT(mqtt(filter, topic), ContainsSubstring("go round"));
  for (const auto& [filter, topic] : {std::pair<std::string, std::string>{"plant/#", "plants"}, {"+", "x/a"}, {"a/+", "a"}, {"#", "$SYS/x"}, {"a/b", "a/b/c"}}) CHECK(mqtt(filter, topic).empty());
  CHECK_THAT(problem(load_to("{mqtt: {url: \"mqtt://h\", topic: a, client_id: c}}", "  q: {from: s, to: {mqtt: {url: \"mqtt://h\", topic: b, client_id: c}}}\n")), ContainsSubstring("close the one for the other"));
}

TEST_CASE("a configuration with local outputs only needs no kafka section") {
  CHECK(load_to("{stdout: {}}").problems.empty());
  const auto with_topic = load_to("[{stdout: {}}, t]");
  REQUIRE(with_topic.problems.size() == 1);
  CHECK(with_topic.problems[0].warning);
}
