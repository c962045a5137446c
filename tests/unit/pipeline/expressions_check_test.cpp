// Expressions of configurations that have other problems, and where an expression ends too early.
#include "agent/pipeline/expressions_check.h"

#include <algorithm>
#include <sstream>

#include "agent/pipeline/topology.h"
#include "tests/support/catch.h"

using namespace rivulet;

namespace {

const ManualClock kClock(1'700'000'000'000);

const std::string kGood = R"yaml(agent: {id: g}
kafka: {brokers: [localhost:9092]}
sources:
  in:
    stdin: {}
    decode: {raw: {pattern: "(?<device>[a-z]+) (?<n>.*)"}}
    key: device
  out:
    mqtt: {url: mqtt://localhost, topics: [a]}
pipelines:
  p:
    from: in
    steps:
      - where: n > 1
      - set: {a: n + 1, b: device || 'x'}
      - key: device
      - timestamp: n
      - enrich: {by: device, table: {a: {site: north}}}
      - route:
          cases:
            - {when: n > 5, to: {topic: high, key: device}}
          else: {topic: low, key: n}
  q:
    from: out
    steps:
      - dedupe: {by: a, within: 1m}
      - aggregate: {by: a, window: {tumbling: 10s}, select: {n: count(*)}}
    to:
      - {topic: t, key: a}
      - mqtt: {url: mqtt://localhost, topic_from: a}
)yaml";

std::vector<std::string> found(const std::string& text) {
  config::Loaded loaded = config::load_text(text, "r.yaml");
  loaded.problems.clear();
  pipeline::check_expressions(loaded.config, kClock, loaded.problems);
  std::vector<std::string> texts;
  for (const auto& problem : loaded.problems) texts.push_back(problem.text());
  return texts;
}

std::string instead(const std::string& what, const std::string& with) {
  std::string text = kGood;
  const std::size_t at = text.find(what);
  REQUIRE(at != std::string::npos);
  return text.replace(at, what.size(), with);
}

std::string one_of(const std::string& expression) {
  const auto all = found(instead("n > 1", expression));
  return all.empty() ? "" : all[0];
}

}  // namespace

TEST_CASE("every expression is compiled although the structure around it has problems, and its place is told") {
  CHECK(found(kGood).empty());
  const std::pair<std::string, std::string> mistakes[] = {  // at ^
      {"    key: ^device\n  out", "sources.in.key"},
      {"where: ^n > 1", "pipelines.p.steps[0].where"},
      {"a: ^n + 1", "pipelines.p.steps[1].set.a"},
      {"b: ^device || 'x'", "pipelines.p.steps[1].set.b"},
      {"- key: ^device", "pipelines.p.steps[2].key"},
      {"timestamp: ^n", "pipelines.p.steps[3].timestamp"},
      {"by: ^device", "pipelines.p.steps[4].enrich.by"},
      {"when: ^n > 5", "pipelines.p.steps[5].route.cases[0].when"},
      {"topic: high, key: ^device", "pipelines.p.steps[5].route.cases[0].to.key"},
      {"topic: low, key: ^n", "pipelines.p.steps[5].route.else.key"},
      {"dedupe: {by: ^a", "pipelines.q.steps[0].dedupe.by"},
      {"aggregate: {by: ^a", "pipelines.q.steps[1].aggregate.by"},
      {"topic: t, key: ^a", "pipelines.q.to.key"},
      {"topic_from: ^a", "pipelines.q.to.mqtt.topic_from"},
  };
  std::string all = kGood;
  for (const auto& [marked, path] : mistakes) {
    INFO(marked);
    const std::size_t mark = marked.find('^');
    const std::size_t at = all.find(marked.substr(0, mark) + marked.substr(mark + 1));
    REQUIRE(at != std::string::npos);
    all.insert(at + mark, "no_such(1) + ");
  }
  all.replace(all.find("kafka: {"), 8, "kafkaa: {");
  CHECK_FALSE(config::load_text(all, "r.yaml").ok());
  const auto texts = found(all);
  CHECK(texts.size() == std::size(mistakes));
  for (const auto& [marked, path] : mistakes) {
    INFO(path);
    CHECK(std::count_if(texts.begin(), texts.end(), [&, p = path](const std::string& text) { return text.find(": " + p + ": no such function: no_such") != std::string::npos; }) == 1);
  }
}

TEST_CASE("a pattern is compiled although the structure has problems") {
  const auto all = found(instead("(?<device>[a-z]+)", "(?<device>[a-z]+"));
  REQUIRE(all.size() == 1);
  CHECK_THAT(all[0], ContainsSubstring("r.yaml:6:29: sources.in.decode.raw.pattern: "));
}

TEST_CASE("a configuration of which only a part could be read is checked in what there is of it", "[slow]") {
  std::vector<std::string> lines;
  std::istringstream text(kGood);
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  for (std::size_t changed = 0; changed < lines.size(); ++changed)
    for (const char* instead : {"", "[1, {2: 3}]", "    - {where: {}}", "      - route: {cases: [{to: }, {when: }]}", "      - join: {on: x}", "\t: &"}) {
      std::string all;
      for (std::size_t i = 0; i < lines.size(); ++i) all += (i == changed ? instead : lines[i]) + "\n";
      INFO(all);
      for (const std::string& problem : found(all)) CHECK(problem.find("r.yaml:") == 0);
    }
  for (const char* all : {"", "pipelines: {p: {steps: [{where: }, {set: }, {route: {}}, {dedupe: }, {join: }, {aggregate: }, {enrich: {by: }}]}}", "sources: {a: {key: }}"}) CHECK(found(all).empty());
}

TEST_CASE("functions are not missed where their extension is what is wrong") {
  config::Loaded loaded = config::load_text("extensions: [/nowhere.so]\n" + instead("n > 1", "theirs(n) AND n >"), "r.yaml");
  const std::size_t before = loaded.problems.size();
  REQUIRE(before > 0);
  pipeline::check_expressions(loaded.config, kClock, loaded.problems);
  CHECK(loaded.problems.size() == before + 1);  // it ends too early
  loaded = config::load_text("extensions: [/nowhere.so]\n" + instead("n > 1", "theirs(n)"), "r.yaml");
  pipeline::check_expressions(loaded.config, kClock, loaded.problems);
  CHECK(loaded.problems.size() == before);
}

TEST_CASE("an expression that ends too early is told so, and not of a bracket that is not in it") {
  for (const char* early : {"n +", "n >", "n AND", "CASE WHEN n THEN 1", "n BETWEEN 1", "n COLLATE", "NOT", "(n) +  "}) {
    INFO(early);
    CHECK_THAT(one_of(early), ContainsSubstring(": ends too early, something is missing after its last word"));
  }
  for (const char* own : {"(n +)", "abs(n +) + 1", "(1 + 2 *)"}) {
    INFO(own);
    CHECK_THAT(one_of(own), ContainsSubstring("near \")\": syntax error"));
  }
  CHECK(one_of("(n)").empty());
}
