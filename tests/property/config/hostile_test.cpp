// Hostile configurations: whatever the text, load_text answers in bounded time, with bounded problems, or with a configuration that holds together.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "agent/config/config.h"
#include "tests/support/seeds.h"

using namespace rivulet::config;
using rivulet::test::Random;

namespace {

// What a text of at most 1 MiB may take and say. A slow machine with a sanitizer needs a tenth of the time; what is quadratic needs minutes.
constexpr auto kTime = std::chrono::seconds(20);
constexpr std::size_t kProblems = 200, kProblemBytes = 2048;

const std::vector<std::string>& valid_texts() {
  static const std::vector<std::string> texts = [] {
    std::vector<std::string> all{R"(
agent: {id: gateway-042, state: /tmp/x, commit_interval: 250ms, memory: 8MiB, storage: {max: 2GiB, when_full: drop-oldest}}
kafka:
  brokers: [kafka-1:9092, "[::1]:9093"]
  transaction: {interval: 2s, max: 1MiB, timeout: 1m}
  tls: {ca: /a, certificate: /b, key: /c}
  sasl: {mechanism: SCRAM-SHA-512, username: u, password: secret}
  librdkafka: {socket.keepalive.enable: true}
status: {listen: "unix:/run/rivulet/status.sock"}
sources:
  machines:
    mqtt: {url: mqtts://broker, topics: ["plant/+/t", "a/#"], qos: 2, version: 3.1.1}
    decode: json
    key: device
    timestamp: {field: ts, unit: s}
  lines: {tcp: {listen: "127.0.0.1:5000", framing: length, acknowledge: true, idle: 5m}, undecodable: bad}
  made: {simulate: {devices: 3, rate: 10/s, seed: 7, count: 100}}
pipelines:
  second: {from: [first, made], to: {topic: out, key: device}}
  first:
    from: machines
    steps:
      - where: temperature IS NOT NULL
      - set: {f: "t * 1.8"}
      - drop: [a, b]
      - rename: {x: y}
      - log: seen
)",
                                 R"(
agent: {id: g}
sources: {a: {stdin: {}, time: {scope: key, idle: 5s}}, b: {stdin: {}}}
pipelines:
  sites: {from: b, steps: [{table: {history: 1h}}]}
  l: {from: a, steps: [{key: k}, {table: {}}]}
  counts: {from: l, steps: [{aggregate: {by: site, select: {n: count(*)}, emit: every-change}}, {suppress: {limit: 1s}}], to: n}
  named:
    from: l
    steps:
      - join: {name: site, with: sites, kind: left, on: left.site, select: {v: left.v, name: right.name}}
    to: o
  late: {from: a, steps: [{join: {with: sites, grace: 5s}}], to: p}
  pairs: {from: a, time: {scope: stream}, steps: [{join: {with: b, kind: outer, within: {before: -1s, after: 5s, grace: 1m}, late: {topic: q}}}, {table: {name: last}}], to: r}
  silent: {from: [a, b], time: {idle: 10s}, steps: [{absence: {after: 30s}}], to: s}
)"};
    for (const auto& file : std::filesystem::directory_iterator(RIVULET_SOURCE_DIR "/config")) {
      if (file.path().extension() != ".yaml") continue;
      std::ifstream in(file.path());
      all.emplace_back((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    }
    return all;
  }();
  return texts;
}

// Every promise that load_text makes of a text, whatever it is.
bool load_and_check(const std::string& text) {
  const auto begin = std::chrono::steady_clock::now();
  const Loaded loaded = load_text(text, "hostile.yaml");  // an exception fails the test
  REQUIRE(std::chrono::steady_clock::now() - begin < kTime);
  REQUIRE(loaded.problems.size() <= kProblems);
  for (const Problem& problem : loaded.problems) {
    REQUIRE(problem.text().size() <= kProblemBytes);
    REQUIRE_FALSE(problem.message.empty());
    REQUIRE((problem.at.file == "hostile.yaml" && problem.at.line >= 1 && problem.at.column >= 1));
  }
  if (!loaded.ok()) return false;
  const Config& config = loaded.config;
  const auto names_id = [](const Problem& problem) { return problem.warning && problem.message.find("'id' is missing") != std::string::npos; };
  REQUIRE(config.agent.id.empty() == std::any_of(loaded.problems.begin(), loaded.problems.end(), names_id));
  REQUIRE((config.agent.commit_interval_ms >= 1 && config.agent.commit_interval_ms <= 60'000));
  if (config.kafka) REQUIRE_FALSE(config.kafka->brokers.empty());
  std::set<std::string> there;  // what a pipeline may read from: sources and the pipelines before it
  for (const Source& source : config.sources) REQUIRE((!source.name.empty() && source.name.size() <= 64 && there.insert(source.name).second));
  for (const Pipeline& pipeline : config.pipelines) {
    REQUIRE_FALSE(pipeline.from.empty());
    std::set<std::string> once;
    for (const std::string& from : pipeline.from) REQUIRE((there.count(from) == 1 && once.insert(from).second));
    REQUIRE((!pipeline.name.empty() && pipeline.name.size() <= 64 && there.insert(pipeline.name).second));
    for (const Step& step : pipeline.steps)
      if (const auto* where = std::get_if<Where>(&step.what)) REQUIRE_FALSE(where->condition.sql.empty());
    for (const Output& to : pipeline.to) REQUIRE_FALSE(to.topic.empty());
  }
  return true;
}

const std::vector<std::string> kPieces = {
    "\n", "  ", "\t", ": ", "- ", "? ", "[", "]", "{", "}", ",", "&a ", "*a", "&a", "*a ", "<<: *a\n", "!!binary ", "!!str ", "!<x> ", "|\n", ">-\n", "'", "\"", "#", "---\n", "...\n", "%YAML 1.2\n",
    "%TAG ! !\n", "~", "null", "\\x", "\\u12", "${env:HOME}", "${env:", "${file:/nonexistent}", "${file:/}", "$${", "from", "pipelines", "sources", "kafka", "steps", "where", "1e999", "-1", "99999999999999999999",
    "0x10", "\xEF\xBB\xBF", "\xFF", "\xC0\x80", "\x01", "\r", "\r\n", "\xE2\x80\xA8", "\xC2\x85", "@", "`", "agent: {id: a}\n", "stdin: {}"};

std::string random_bytes(Random& random) {
  std::string text;
  for (auto left = random.below(400); left > 0; --left) {
    if (random.one_in(3)) text += random.pick(kPieces);
    else text += static_cast<char>(random.one_in(4) ? random.below(256) : 32 + random.below(95));
  }
  return text;
}

std::string mutated(Random& random) {
  std::string text = random.pick(valid_texts());
  for (auto left = 1 + random.below(6); left > 0 && !text.empty(); --left) {
    const auto at = random.below(text.size()), length = random.below(std::min<std::uint64_t>(text.size() - at, 60) + 1);
    switch (random.below(7)) {
      case 0: text[at] = static_cast<char>(random.below(256)); break;
      case 1: text.erase(at, length); break;
      case 2: text.insert(at, text.substr(at, length)); break;
      case 3: text.insert(at, random.pick(kPieces)); break;
      case 4: text.insert(at, random.pick(valid_texts()).substr(random.below(300), length)); break;
      case 5: text.resize(at); break;
      default: {  // a line moves
        const auto line = text.rfind('\n', at);
        const auto from = line == std::string::npos ? 0 : line + 1, to = std::min(text.find('\n', from), text.size() - 1) + 1;
        const std::string moved = text.substr(from, to - from);
        text.erase(from, to - from);
        const auto place = text.find('\n', random.below(text.size() + 1));
        text.insert(place == std::string::npos ? text.size() : place + 1, moved);
      }
    }
  }
  return text;
}

std::string deep(Random& random) {
  static const std::vector<std::string> openers = {"[", "{a: ", "- ", "? ", "-\t", "[[", "{? ", "!!x [", "&a [", "- - ", "{[", "'", "\"", "- ? ", "a: [", "!", "&", "*"};
  const std::string opener = random.pick(openers), other = random.pick(openers);
  std::string text = random.pick(std::vector<std::string>{"", "pipelines: ", "kafka: {librdkafka: ", "sources: {a: {stdin: "});
  const auto depth = random.one_in(5) ? 200'000 : random.below(3000);
  for (std::uint64_t i = 0; i < depth && text.size() < 1'000'000; ++i) text += random.one_in(50) ? other : opener;
  if (random.one_in(4)) {
    text.clear();
    for (std::uint64_t i = 0; i < std::min<std::uint64_t>(depth, 1300) && text.size() < 1'000'000; ++i) text += std::string(i, ' ') + (random.one_in(2) ? "a:\n" : "? a\n");
  }
  return text;
}

std::string huge_scalar(Random& random) {
  static const std::vector<std::string> places = {
      "agent: {id: X}", "agent: {id: a, memory: X}", "agent: {id: a, commit_interval: X}", "agent: {id: a, X: 1}", "X: 1", "kafka: {brokers: [X]}", "kafka: {brokers: [b], delivery: X}",
      "kafka: {brokers: [b], librdkafka: {X: 1, linger.ms: X}}", "kafka: {brokers: [b], sasl: {mechanism: X, username: X, password: X}}", "status: {listen: X}", "status: {listen: 'unix:X'}", "sources: {X: {stdin: {}}}",
      "sources: {a: {X: {}}}", "sources: {a: {mqtt: {url: X, topics: [X]}}}", "sources: {a: {mqtt: {url: 'mqtt://X:99', topics: [t], client_id: X}}}", "sources: {a: {tcp: {listen: X, max_frame: X}}}",
      "sources: {a: {file: {path: X}}}", "sources: {a: {simulate: {rate: X, devices: X}}}", "sources: {a: {stdin: {}, decode: X, key: X, timestamp: {field: X, unit: X}, undecodable: X}}",
      "pipelines: {X: {from: X, to: X}}", "sources: {a: {stdin: {}}}\npipelines: {p: {from: a, steps: [{X: X}, {where: X}, {set: {X: X}}, {drop: [X]}, {rename: {X: X}}], to: X}}", "a: &X 1", "a: *X", "a: !<X> 1"};
  std::string word;
  const auto size = random.one_in(10) ? 900'000 / 6 : random.below(20'000);
  const std::string unit = random.pick(std::vector<std::string>{"x", "9", "a.", "${", "${env:", "'${env:A}'", "\xC3\xA9", "/", "+/", "é:", "1e", "[::1]:", "\\", "%"});
  while (word.size() < size) word += unit;
  std::string text = random.pick(places);
  const std::string quoted = random.one_in(2) && word.find('\'') == std::string::npos ? word : "\"" + (word.find('\\') == std::string::npos && word.find('"') == std::string::npos ? word : std::string(size, 'y')) + "\"";
  for (std::size_t at = 0; (at = text.find('X', at)) != std::string::npos; at += quoted.size()) text.replace(at, 1, quoted);
  return text;
}

std::string aliases(Random& random) {
  const auto levels = 2 + random.below(30), width = 2 + random.below(9);
  const bool maps = random.one_in(2);
  std::string text = "a0: &a0 " + random.pick(std::vector<std::string>{"x", "[x]", "{k: x}", "&b y", "[*a0]", "{k: *a0}"}) + "\n";
  for (std::uint64_t level = 1; level < levels; ++level) {
    const std::string name = "a" + std::to_string(level), below = "*a" + std::to_string(level - 1);
    text += name + ": &" + name + (maps ? " {" : " [");
    for (std::uint64_t i = 0; i < width; ++i) text += (i > 0 ? ", " : "") + (maps ? "k" + std::to_string(i) + ": " : std::string()) + below;
    text += maps ? "}\n" : "]\n";
  }
  const std::string top = "*a" + std::to_string(levels - 1);
  static const std::vector<std::string> users = {"pipelines: TOP\n", "sources: TOP\n", "pipelines: {p: {from: TOP, steps: TOP, to: TOP}}\n", "kafka: {brokers: TOP, librdkafka: TOP}\n", "sources: {a: {mqtt: {url: mqtt://h, topics: TOP}}}\n",
                                                 "? TOP\n: TOP\n", "agent: &self {id: a, storage: *self}\n", "pipelines: &p {q: {from: *p}}\n", "sources: {<<: TOP}\n", "pipelines: {p: &r {from: [*r], steps: [*r, {set: *r}]}}\n"};
  std::string user = random.pick(users);
  for (std::size_t at = 0; (at = user.find("TOP", at)) != std::string::npos; at += top.size()) user.replace(at, 3, top);
  return text + user;
}

std::string encoded(Random& random) {
  const std::string text = random.pick(valid_texts());
  std::string out;
  switch (random.below(6)) {
    case 0:  // UTF-16 and UTF-32, with and without mark
    case 1: {
      const bool wide = random.one_in(2), little = random.one_in(2);
      const auto put = [&](unsigned char c) {
        const std::string zeros(wide ? 3 : 1, '\0');
        out += little ? static_cast<char>(c) + zeros : zeros + static_cast<char>(c);
      };
      if (random.one_in(2)) out += little ? "\xFF\xFE" : "\xFE\xFF";
      for (const char c : text) put(static_cast<unsigned char>(c));
      return out;
    }
    case 2: return "\xEF\xBB\xBF" + text;
    case 3:
      for (const char c : text) out += c == '\n' ? random.pick(std::vector<std::string>{"\r\n", "\r", "\xC2\x85", "\xE2\x80\xA8"}) : std::string(1, c);
      return out;
    case 4:
      for (const char c : text) out += random.one_in(60) ? std::string(1, static_cast<char>(128 + random.below(128))) : std::string(1, c);
      return out;
    default: return text.substr(0, random.below(text.size())) + std::string(1 + random.below(3), '\0') + text;
  }
}

// Much of everything, up to the bound of a file.
std::string crowded(Random& random, std::uint64_t kind) {
  const std::size_t names = random.one_in(2) ? 40 : 5;
  const auto name = [&](std::uint64_t number) {
    std::string text = std::to_string(number);
    return "n" + std::string(names - std::min(names, text.size()), 'o') + text;
  };
  std::string text = "agent: {id: a}\nsources: {s: {stdin: {}}}\npipelines:\n";
  if (kind == 5) text = "agent:\n  id: a\n";
  if (kind == 6) text = "sources:\n";
  for (std::uint64_t i = 0; text.size() < 900'000; ++i) {
    switch (kind) {
      case 0: text += " " + name(i) + ": {from: u" + name(i + 1) + "}\n"; break;             // unknown
      case 1: text += " " + name(i) + ": {from: " + name(i + 1) + "}\n"; break;              // a chain that ends nowhere
      case 2: text += " " + name(i) + ": {from: [s, " + name(i / 2 * 2) + "]}\n"; break;     // many loops
      case 3: text += " " + name(i % 7) + ": {from: s}\n"; break;                            // twice
      case 4: text += " " + name(i) + ": {" + name(i) + ": s}\n"; break;                     // unknown keys
      case 5: text += "  " + name(i) + ": 1\n"; break;
      default: text += " " + name(i) + ": {" + name(i) + ": {}}\n"; break;
    }
  }
  return text;
}

}  // namespace

TEST_CASE("any bytes are a configuration or problems") {
  rivulet::test::each_seed(2000, [](std::uint64_t seed) {
    Random random(seed);
    load_and_check(random_bytes(random));
  });
}

TEST_CASE("a valid configuration that was damaged is one that holds together or problems") {
  for (const std::string& text : valid_texts()) REQUIRE(load_and_check(text));
  int accepted = 0, runs = 0;
  rivulet::test::each_seed(2000, [&](std::uint64_t seed) {
    Random random(seed);
    accepted += load_and_check(mutated(random)) ? 1 : 0;
    ++runs;
  });
  if (runs >= 500) CHECK((accepted > runs / 50 && accepted < runs / 2));  // both answers are looked at
}

TEST_CASE("deep nesting, huge words, aliases of aliases and foreign encodings end in time") {
  rivulet::test::each_seed(150, [](std::uint64_t seed) {
    Random random(seed);
    load_and_check(deep(random));
    load_and_check(huge_scalar(random));
    load_and_check(aliases(random));
    load_and_check(encoded(random));
  });
}

TEST_CASE("a file that is full of mistakes ends in time") {
  rivulet::test::each_seed(14, [](std::uint64_t seed) {
    Random random(seed);
    load_and_check(crowded(random, seed % 7));
  });
}

TEST_CASE("pipelines in any order are accepted without a cycle and refused with one") {
  rivulet::test::each_seed(300, [](std::uint64_t seed) {
    Random random(seed);
    const auto count = 2 + random.below(30);
    std::vector<std::vector<std::uint64_t>> from(count);
    for (std::uint64_t i = 1; i < count; ++i)
      for (std::uint64_t j = 0; j < i; ++j)
        if (random.one_in(5)) from[i].push_back(j);
    const bool cycle = random.one_in(2);
    if (cycle) {
      const auto low = random.below(count - 1), high = low + 1 + random.below(count - low - 1);
      if (std::find(from[high].begin(), from[high].end(), low) == from[high].end()) from[high].push_back(low);
      from[low].push_back(high);
    }
    std::vector<std::uint64_t> order(count);
    for (std::uint64_t i = 0; i < count; ++i) order[i] = i;
    for (std::uint64_t i = count; i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
    std::string text = "agent: {id: a}\nsources: {s: {stdin: {}}}\npipelines:\n";
    for (const auto i : order) {
      text += "  p" + std::to_string(i) + ": {from: [";
      for (const auto j : from[i]) text += "p" + std::to_string(j) + ", ";
      text += from[i].empty() || random.one_in(3) ? "s]}\n" : "]}\n";
    }
    INFO(text);
    REQUIRE(load_and_check(text) == !cycle);
  });
}
