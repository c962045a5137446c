#include "agent/config/config.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include "tests/support/catch.h"
#include "tests/unit/config/problems.h"

using namespace rivulet::config;

namespace {

struct Folder {
  std::string path;
  Folder() {
    std::string pattern = std::filesystem::temp_directory_path() / "rivulet-config-XXXXXX";
    path = ::mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(path + "/" + name).parent_path());
    std::ofstream(path + "/" + name) << text;
  }
};

}  // namespace

TEST_CASE("a whole configuration is read with every value in its unit") {
  const Loaded loaded = load_text(R"(
agent: {id: gateway-042, state: /tmp/x, commit_interval: 250ms, memory: 8MiB, storage: {max: 2GiB, when_full: drop-oldest}}
kafka:
  brokers: [kafka-1:9092, "[::1]:9093"]
  transaction: {interval: 2s, max: 1MiB, timeout: 1m}
  sasl: {mechanism: SCRAM-SHA-512, username: u, password: secret}
  librdkafka: {socket.keepalive.enable: true}
status: {listen: "unix:/run/rivulet/status.sock"}
sources:
  machines:
    mqtt: {url: mqtts://broker, topics: ["plant/+/t", "a/#"], qos: 2, version: 3.1.1}
    decode: json
    key: device
    timestamp: {field: ts, unit: s}
pipelines:
  second: {from: first, to: {topic: out, key: device}}
  first:
    from: machines
    steps:
      - where: temperature IS NOT NULL
      - set: {f: "t * 1.8"}
      - drop: [a, b]
      - rename: {x: y}
      - log: seen
)", "r.yaml");
  INFO(all(loaded));
  REQUIRE(loaded.ok());
  const Config& config = loaded.config;
  CHECK(config.agent.id == "gateway-042");
  CHECK(config.agent.commit_interval_ms == 250);
  CHECK(config.agent.memory_bytes == 8U << 20);
  CHECK(config.agent.storage_max_bytes == 2ULL << 30);
  CHECK(config.agent.drop_oldest);
  CHECK(config.kafka->transaction_timeout_ms == 60'000);
  CHECK(config.kafka->sasl->password.reveal() == "secret");
  CHECK(config.kafka->librdkafka.at("socket.keepalive.enable") == "true");
  const auto& mqtt = std::get<MqttSource>(config.sources.at(0).type);
  CHECK(mqtt.host == "broker");
  CHECK(mqtt.port == 8883);
  CHECK(mqtt.version == 3);
  CHECK(config.pipelines.at(0).name == "first");  // what is read from comes first
  CHECK(config.pipelines.at(0).steps.size() == 5);
  CHECK(config.pipelines.at(0).steps[1].at.line == 21);
  CHECK(config.pipelines.at(1).to.at(0).key->sql == "device");
}

TEST_CASE("every problem is reported in one pass with its place and a suggestion") {
  const Loaded loaded = load_text(R"(agent:
  id: g 1
  comit_interval: 1s
  memory: 8 MB
kafka:
  brokers: [":9092"]
  delivery: exactly-onse
  librdkafka: {transactional.id: mine}
sources:
  a: {mqtt: {url: "http://x", topics: ["a/#/b"]}, tcp: {listen: "x:1"}}
  b: {mqqt: {}}
  c: {file: {path: /x/*/y, start: middle}}
  d: {udp: {listen: "gateway:5514"}}
  c: {stdin: {}}
pipelines:
  p: {from: aa, steps: [{wher: x}], to: "bad topic"}
  q: {from: r}
  r: {from: q, steps: [{where: " "}]}
)", "r.yaml");
  const std::string text = all(loaded);
  INFO(text);
  CHECK_FALSE(loaded.ok());
  for (const char* expected : {
           "r.yaml:2:7: agent.id: 'g 1' is not a name",
           "r.yaml:3:3: agent.comit_interval: is not a known key, did you mean 'commit_interval'?",
           "r.yaml:4:11: agent.memory: '8 MB' is not a size",
           "r.yaml:6:13: kafka.brokers[0]: ':9092' is not an address",
           "r.yaml:7:13: kafka.delivery: 'exactly-onse' is not known, expected exactly-once | at-least-once, did you mean 'exactly-once'?",
           "r.yaml:8:34: kafka.librdkafka.transactional.id: is set by rivulet itself",
           "sources.a: has two types (mqtt and tcp)",
           "sources.b: has no type, expected exactly one of: mqtt tcp udp unix http file stdin simulate kafka exec serial iio modbus can, did you mean 'mqtt'?",
           "sources.c.file.path: * ? [ may stand in the last part of the path only",
           "sources.c.file.start: 'middle' is not known",
           "sources.d.udp.listen: 'gateway' is no IP address",
           "r.yaml:14:3: sources.c: stands twice",
           "there is no source or pipeline 'aa', did you mean 'a'?",
           "pipelines.p.steps[0].wher: is not a known step, did you mean 'where'?",
           "pipelines.p.to: 'bad topic' is not a Kafka topic",
           "reads from itself: q -> r -> q",
           "pipelines.r.steps[0].where: is empty, expected an expression"})
    CHECK_THAT(text, ContainsSubstring(expected));
}

TEST_CASE("a kafka source needs the cluster, and a topic that this agent does not write") {
  const std::string sources = "sources: {s: {kafka: {topic: t}}}\npipelines: {p: {from: s, to: t}}\n";
  CHECK_THAT(all(load_text("agent: {id: g}\n" + sources, "r.yaml")), ContainsSubstring("sources.s.kafka: needs the kafka section, which is missing"));
  CHECK_THAT(all(load_text("agent: {id: g}\nkafka: {brokers: [b]}\n" + sources, "r.yaml")), ContainsSubstring("r.yaml:3:30: sources.s.kafka.topic: is the topic that pipeline 'p' writes to"));
  CHECK_THAT(all(load_text("agent: {id: g}\nkafka: {brokers: [b]}\nsources: {s: {kafka: {bootstrap: maybe}}}\n", "r.yaml")), ContainsSubstring("sources.s.kafka: 'topic' is missing"));
  const Loaded good = load_text("agent: {id: g}\nkafka: {brokers: [b]}\nsources: {s: {kafka: {topic: t, bootstrap: true}}}\npipelines: {p: {from: s, steps: [table: {}]}, q: {from: s, to: u}}\n", "r.yaml");
  INFO(all(good));
  REQUIRE(good.ok());
  CHECK(std::get<KafkaSource>(good.config.sources[0].type).bootstrap);
}

TEST_CASE("fragments in pipelines.d are merged in order and a name used twice names both places") {
  Folder folder;
  folder.write("rivulet.yaml", "agent: {id: g}\nsources: {in: {stdin: {}}}\npipelines: {p: {from: in, to: t}}\n");
  folder.write("pipelines.d/10-more.yaml", "pipelines: {q: {from: p, to: u}}\n");
  folder.write("pipelines.d/20-again.yaml", "pipelines: {p: {from: in, to: v}}\n");
  folder.write("pipelines.d/ignored.txt", "nonsense: [");
  const Loaded loaded = load(folder.path + "/rivulet.yaml");
  CHECK(loaded.config.pipelines.size() == 3);
  CHECK_THAT(all(loaded), ContainsSubstring("20-again.yaml:1:16: pipelines.p: this name is taken (" + folder.path + "/rivulet.yaml:3)"));
}

TEST_CASE("pipelines.d that cannot be read is an error: there may be pipelines in it") {
  Folder folder;
  folder.write("rivulet.yaml", "agent: {id: g}\nsources: {in: {stdin: {}}}\npipelines: {p: {from: in, to: t}}\n");
  CHECK(load(folder.path + "/rivulet.yaml").ok());
  folder.write("pipelines.d", "a file");  // as root no mode keeps us out of a folder
  const Loaded loaded = load(folder.path + "/rivulet.yaml");
  CHECK_FALSE(loaded.ok());
  CHECK_THAT(all(loaded), ContainsSubstring("pipelines.d:1:1: cannot be read: Not a directory"));
}

TEST_CASE("settings of the agent in pipelines.d are refused with their place, and a .yml file is said not to be read") {
  Folder folder;
  folder.write("rivulet.yaml", "agent: {id: g}\nsources: {in: {stdin: {}}}\npipelines: {p: {from: in, to: t}}\n");
  folder.write("pipelines.d/10-settings.yaml", "agent: {memory: 8MiB}\nkafka: {brokers: [b]}\nstatus: {listen: \"127.0.0.1:8686\"}\nlog: {level: debug}\nextensions: [/x.so]\n");
  folder.write("pipelines.d/20-table.yaml", "tables: {t: {file: {path: /t.csv, key: id}}}\n");
  folder.write("pipelines.d/30-other.yml", "pipelines: {q: {from: p, to: u}}\n");
  const Loaded loaded = load(folder.path + "/rivulet.yaml");
  INFO(all(loaded));
  CHECK_FALSE(loaded.ok());
  for (const char* expected : {"10-settings.yaml:1:8: agent: belongs into the configuration itself", "10-settings.yaml:2:8: kafka: belongs", "10-settings.yaml:3:9: status: belongs",
                               "10-settings.yaml:4:6: log: belongs", "10-settings.yaml:5:13: extensions: belongs", "30-other.yml:1:1: warning: is not read"})
    CHECK_THAT(all(loaded), ContainsSubstring(expected));
  CHECK(loaded.config.tables.size() == 1);
}

TEST_CASE("a second YAML document is refused with its place") {
  const std::string one = "agent: {id: g}\nsources: {in: {stdin: {}}}\n";
  CHECK_THAT(all(load_text(one + "---\npipelines: {p: {from: in, to: t}}\n", "r.yaml")), ContainsSubstring("r.yaml:3:1: begins a second document after ---"));
  CHECK_FALSE(load_text(one + "---\nnonsense: [\n", "r.yaml").ok());
  CHECK(load_text("---\n" + one, "r.yaml").ok());
  CHECK(load_text("# a comment\n---\n" + one + "...\n", "r.yaml").ok());
}

TEST_CASE("a list that is needed is not empty") {
  const std::string text = all(load_text(R"(agent: {id: g}
kafka: {brokers: []}
sources: {m: {mqtt: {url: "mqtt://h", topics: []}}, e: {exec: {command: []}}}
pipelines: {p: {from: [], to: t}, q: {from: m, to: t, steps: [{route: {cases: []}}]}}
)", "r.yaml"));
  INFO(text);
  for (const char* expected : {"r.yaml:2:18: kafka.brokers: is empty, expected a list such as [kafka-1:9092, kafka-2:9092]", "r.yaml:3:47: sources.m.mqtt.topics: is empty, expected a list of topic filters",
                               "sources.e.exec.command: is empty, expected a list", "pipelines.p.from: is empty, expected a source", "pipelines.q.steps[0].route.cases: is empty, expected a list"}) {
    CHECK_THAT(text, ContainsSubstring(expected));
  }
  std::size_t empty = 0;
  for (auto at = text.find("is empty"); at != std::string::npos; at = text.find("is empty", at + 1)) ++empty;
  CHECK(empty == 5);
}

TEST_CASE("a step that would lose values or do nothing is refused") {
  const auto step = [](const std::string& one) { return all(load_text("agent: {id: g}\nsources: {s: {stdin: {}}}\npipelines: {p: {from: s, to: t, steps: [" + one + "]}}\n", "r.yaml")); };
  CHECK_THAT(step("{rename: {a: b, c: b}}"), ContainsSubstring("r.yaml:3:60: pipelines.p.steps[0].rename.c: 'b' is the new name of 'a' as well"));
  CHECK_THAT(step("{drop: []}"), ContainsSubstring("r.yaml:3:48: pipelines.p.steps[0].drop: is empty, expected at least one field"));
  CHECK_THAT(step("{rename: {}}"), ContainsSubstring("pipelines.p.steps[0].rename: is empty, expected at least one old: new"));
}

TEST_CASE("a source and a pipeline of one name are one problem") {
  const Loaded loaded = load_text("agent: {id: g}\nsources: {h: {stdin: {}}}\npipelines: {h: {from: h, to: {stdout: {}}}}\n", "r.yaml");
  INFO(all(loaded));
  REQUIRE(loaded.problems.size() == 1);
  CHECK_THAT(all(loaded), ContainsSubstring("r.yaml:3:16: pipelines.h: this name is taken (r.yaml:2)"));
}

TEST_CASE("what is no configuration at all is one clear problem") {
  for (const std::string& text : {std::string(""), std::string("a: [b"), std::string("\xff\xfe"), std::string("just words"), std::string("a\0b", 3), "a: " + std::string(10'000, '[')}) {
    const Loaded loaded = load_text(text, "r.yaml");
    INFO(text.substr(0, 20));
    CHECK_FALSE(loaded.ok());
    CHECK(loaded.problems.front().at.line >= 1);
  }
}

TEST_CASE("every configuration that comes with rivulet is valid") {
  std::size_t seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(RIVULET_SOURCE_DIR) + "/config")) {
    if (entry.path().extension() != ".yaml") continue;
    const Loaded loaded = load(entry.path().string());
    INFO(all(loaded));
    CHECK(loaded.ok());
    ++seen;
  }
  CHECK(seen >= 2);
}

TEST_CASE("a librdkafka setting that the kafka room sets itself is refused") {
  // Read from its code, so that one more setting there cannot be forgotten here.
  std::set<std::string> owned;
  const std::regex required("require\\(\"([a-z_.]+)\""), quoted("\"([a-z_.]+)\"");
  for (const auto& file : std::filesystem::directory_iterator(RIVULET_SOURCE_DIR "/agent/kafka")) {
    if (file.path().extension() != ".cpp") continue;
    std::ifstream in(file.path());
    const std::string code((std::istreambuf_iterator<char>(in)), {});
    for (std::sregex_iterator it(code.begin(), code.end(), required), end; it != end; ++it) owned.insert((*it)[1]);
    const std::size_t list = code.find("constexpr std::array owned{");
    if (list == std::string::npos) continue;
    const std::string names = code.substr(list, code.find('}', list) - list);
    for (std::sregex_iterator it(names.begin(), names.end(), quoted), end; it != end; ++it) owned.insert((*it)[1]);
  }
  REQUIRE(owned.size() > 30);
  for (const char* known : {"log_level", "log.queue", "queue.buffering.max.messages", "transactional.id", "error_cb"}) CHECK(owned.count(known) == 1);
  for (const std::string& key : owned) {
    const Loaded loaded = load_text("kafka: {brokers: [b:9092], librdkafka: {" + key + ": x}}\n", "r.yaml");
    INFO(key << "\n" << all(loaded));
    CHECK_THAT(all(loaded), ContainsSubstring("kafka.librdkafka." + key + ": is set by rivulet itself"));
  }
}

TEST_CASE("a librdkafka setting that is the user's is passed through") {
  const Loaded loaded = load_text("agent: {id: a}\nkafka: {brokers: [b:9092], librdkafka: {linger.ms: 50, statistics.interval.ms: 0}}\n", "r.yaml");
  INFO(all(loaded));
  REQUIRE(loaded.ok());
  CHECK(loaded.config.kafka->librdkafka.at("linger.ms") == "50");
}

TEST_CASE("an error is not lost among more warnings than are kept") {
  std::string text = "agent: {id: a}\nsources:\n";
  for (int i = 0; i < 300; ++i) text += "  s" + std::to_string(i) + ": {stdin: {}}\n";  // nobody reads them
  const Loaded loaded = load_text(text + "pipelines:\n  p: {from: q}\n  q: {from: p}\n", "r.yaml");
  CHECK_FALSE(loaded.ok());
  CHECK(loaded.problems.size() == 200);
  CHECK_THAT(all(loaded), ContainsSubstring("reads from itself"));
}

TEST_CASE("what a problem says is bounded and ends with a whole character") {
  std::string word = "x";
  for (int i = 0; i < 50'000; ++i) word += "\xC3\xA9";
  const Loaded loaded = load_text("agent: {id: a}\nkafka: {brokers: [\"" + word + "/\"]}\n? " + word + "\n: 1\n", "r.yaml");
  REQUIRE(loaded.problems.size() == 2);
  for (const Problem& problem : loaded.problems) {
    CHECK(problem.text().size() < 1500);
    const std::size_t end = problem.message.rfind("...");
    if (end != std::string::npos) CHECK((end > 1 && problem.message.substr(end - 2, 2) == "\xC3\xA9"));
  }
}

TEST_CASE("a chain of thousands of pipelines is put in order", "[slow]") {
  std::string text = "agent: {id: a}\nsources: {s: {stdin: {}}}\npipelines:\n";
  for (int i = 0; i < 6000; ++i) text += " p" + std::to_string(i) + ": {from: " + (i == 5999 ? std::string("s") : "p" + std::to_string(i + 1)) + "}\n";
  const Loaded loaded = load_text(text, "r.yaml");
  INFO(all(loaded));
  REQUIRE(loaded.ok());
  CHECK(loaded.config.pipelines.front().name == "p5999");
  CHECK(loaded.config.pipelines.back().name == "p0");
}

namespace {

std::string problems_of_step(const std::string& step, const std::string& more = "") {
  return all(load_text("kafka: {brokers: [k:9092]}\nsources:\n  s: {stdin: {}}\npipelines:\n  p: {from: s, " + more + "to: t, steps: [" + step + "]}\n", "a.yaml"));
}

}  // namespace

TEST_CASE("a window that cannot be is one clear error") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{grace: 5s}", "window: has no size, expected one of tumbling: 10s"},
      {"{tumbling: 0ms}", "window.tumbling: '0ms' is out of range, expected 1ms"},
      {"{tumbling: 10s, grace: -5s}", "window.grace: '-5s' is not a duration"},
      {"{tumbling: 10s, session: 5s}", "window.session: is a second kind of window"},
      {"{hopping: {size: 10s, advance: 0s}}", "window.hopping.advance: '0s' is out of range"},
      {"{hopping: {size: 10s, advance: 11s}}", "window.hopping.advance: is longer than the size"},
      {"{hopping: {size: 1h, advance: 2ms}}", "window.hopping.advance: puts each record into 1800000 windows, expected at most 10000"},
      {"{hopping: {size: 10s}}", "window.hopping: 'advance' is missing"},
      {"{tumblin: 10s}", "did you mean 'tumbling'?"},
      {"5s", "window: expected a map such as {tumbling: 10s, grace: 5s}"}};
  for (const auto& [window, expected] : cases) {
    INFO(window);
    const std::string found = problems_of_step("{aggregate: {window: " + window + ", select: {n: count(*)}}}");
    CHECK_THAT(found, ContainsSubstring(expected));
  }
}

TEST_CASE("an aggregate and what stands beside it are checked against each other") {
  const std::string tumbling = "window: {tumbling: 1s}, ", select = "select: {n: count(*)}";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{aggregate: {" + tumbling + "}}", "'select' is missing"},
      {"{aggregate: {" + select + ", emit: closed}}", "emit: closed needs a window that can close"},
      {"{aggregate: {" + select + ", late: drop}}", "late: without a window no record is late"},
      {"{aggregate: {" + tumbling + select + ", emit: sometimes}}", "emit: 'sometimes'"},
      {"{aggregate: {" + tumbling + select + "}}, {aggregate: {" + tumbling + select + "}}", "is one of 2 aggregate steps here, expected a name"},
      {"{aggregate: {name: x, " + tumbling + select + "}}, {aggregate: {name: x, " + tumbling + select + "}}", "'x' is the name of another step"},
      {"{suppress: {limit: 1s}}", "expected directly after an aggregate step"},
      {"{aggregate: {" + tumbling + select + ", emit: closed}}, {suppress: {limit: 1s}}", "emits a closed window once"},
      {"{aggregate: {" + select + "}}, {suppress: {until: closed}}", "until: closed needs an aggregate with a window"},
      {"{aggregate: {" + tumbling + select + "}}, {suppress: {}}", "expected either until: closed or limit: 10s"}};
  for (const auto& [steps, expected] : cases) {
    INFO(steps);
    CHECK_THAT(problems_of_step(steps), ContainsSubstring(expected));
  }
  CHECK_THAT(problems_of_step("{where: a}", "time: {scope: world, idle: 0s}, "), ContainsSubstring("time.scope: 'world'"));
}

TEST_CASE("an aggregate is read with every value, and a step's name is its kind unless it has one") {
  const Loaded loaded = load_text(
      "kafka: {brokers: [k:9092]}\nsources:\n  s: {stdin: {}, time: {scope: key, idle: 30s, future: never}}\npipelines:\n  p:\n    from: s\n    steps:\n"
      "      - aggregate: {window: {hopping: {size: 10s, advance: 5s}, grace: 1s}, by: a, select: {n: count(*)}, having: n > 1, emit: every-change, late: {topic: tardy}}\n"
      "      - suppress: {name: calm, limit: 2s}\n    to: {topic: t, key_format: windowed}\n", "a.yaml");
  REQUIRE(loaded.ok());
  const Pipeline& pipeline = loaded.config.pipelines[0];
  const auto& aggregate = std::get<Aggregate>(pipeline.steps[0].what);
  CHECK(aggregate.window.kind == WindowSpec::Kind::hopping);
  CHECK(aggregate.window.size_ms == 10'000);
  CHECK(aggregate.window.advance_ms == 5'000);
  CHECK(aggregate.window.grace_ms == 1'000);
  CHECK(aggregate.by->sql == "a");
  CHECK(aggregate.having->sql == "n > 1");
  CHECK(aggregate.emit == EmitWhen::every_change);
  CHECK(aggregate.late_topic == "tardy");
  CHECK(pipeline.steps[0].name == "aggregate");
  CHECK(pipeline.steps[1].name == "calm");
  CHECK(std::get<Suppress>(pipeline.steps[1].what).limit_ms == 2'000);
  CHECK(pipeline.to.at(0).windowed_key);
  CHECK(loaded.config.sources[0].time == Time{Time::Scope::key, 30'000, 0});
}

TEST_CASE("a file source's compression is read, and does not go with start: end") {
  const auto loaded = load_text("agent: {id: g}\nsources:\n  a: {file: {path: \"/in/*.gz\", compression: auto}}\n", "r.yaml");
  REQUIRE(loaded.ok());
  CHECK(std::get<FileSource>(loaded.config.sources[0].type).compression == FileSource::Compression::automatic);
  const auto wrong = load_text("agent: {id: g}\nsources:\n  a: {file: {path: \"/in/*.gz\", compression: gzip, start: end}}\n", "r.yaml");
  CHECK_FALSE(wrong.ok());
}

TEST_CASE("unix and http sources: what cannot be is named with its place") {
  const auto said = [](const std::string& source) { return all(load_text("agent: {id: g}\nkafka: {brokers: [b]}\nsources: {s: {" + source + "}}\npipelines: {p: {from: s, to: t}}\n", "r.yaml")); };
  CHECK(said("unix: {path: /run/x.sock, mode: 0622, framing: length}").empty());
  CHECK(said("unix: {path: /run/x.sock, type: datagram, framing: newline, max_frame: 1KiB}").empty());
  CHECK_THAT(said("unix: {path: /run/x.sock, mode: 0888}"), ContainsSubstring("r.yaml:3:") && ContainsSubstring("sources.s.unix.mode: '0888' are no permissions"));
  CHECK_THAT(said("unix: {path: /run/x.sock, mode: 0022}"), ContainsSubstring("are no permissions"));
  CHECK_THAT(said("unix: {path: /run/" + std::string(120, 'x') + "}"), ContainsSubstring("a socket's path has at most 107"));
  CHECK_THAT(said("unix: {path: /run/x.sock, framing: datagram}"), ContainsSubstring("datagram goes with type: datagram"));
  CHECK_THAT(said("unix: {path: /run/x.sock, type: datagram, acknowledge: true}"), ContainsSubstring("acknowledge: goes with type: stream"));
  CHECK_THAT(said("unix: {path: /run/x.sock}, decode: cbor"), ContainsSubstring("cbor is bytes"));
  CHECK(said("http: {listen: '127.0.0.1:80', path: /a/b, token: abc, framing: body, idempotency: {window: 1h, max: 5}}, decode: cbor").empty());
  CHECK(said("tcp: {listen: 'localhost:80'}").empty());
  CHECK(said("tcp: {listen: '[fe80::1%eth0]:80'}").empty());
  CHECK_THAT(said("tcp: {listen: 'gateway.example.com:80'}"), ContainsSubstring("'gateway.example.com' is no IP address"));
  CHECK_THAT(said("http: {listen: 'gateway.example.com:80'}"), ContainsSubstring("is no IP address"));
  CHECK_THAT(said("http: {listen: '127.0.0.1:80', path: records}"), ContainsSubstring("'records' is no path of a URL"));
  CHECK_THAT(said("http: {listen: '127.0.0.1:80', token: ''}"), ContainsSubstring("is no token"));
  CHECK_THAT(said("http: {listen: '127.0.0.1:80', token: 'hid den'}"), ContainsSubstring("is no token") && !ContainsSubstring("hid den"));
  CHECK_THAT(said("http: {listen: '127.0.0.1:80', max_body: 2MiB, max_bodies: 1MiB}"), ContainsSubstring("'max_bodies' is less than 'max_body'"));
  CHECK_THAT(said("http: {listen: '127.0.0.1:80', tls: true}"), ContainsSubstring("a server needs 'certificate' and 'key'"));
  CHECK_THAT(said("http: {listen: '127.0.0.1:80', framing: newline}, decode: csv"), ContainsSubstring("csv with a header needs the whole body"));
  CHECK_THAT(said("http: {listen: '127.0.0.1:80', idempotency: {window: 1ms}}"), ContainsSubstring("idempotency.window"));
}
