// route: where records go by what they say.
#include "tests/unit/pipeline/replayed.h"

using namespace rivulet;
using namespace rivulet::pipeline;

namespace {

std::string configured(const std::string& route, const std::string& more = ", to: out") {
  return "sources: {a: {stdin: {}}}\npipelines: {p: {from: a, steps: [{route: {" + route + "}}]" + more + "}}\n";
}

// "topic key value" of each record.
Lines routed(const std::string& yaml, const Lines& values) {
  config::Loaded loaded = config::load_text("agent: {id: g}\n" + yaml, "r.yaml");
  ManualClock clock;
  std::vector<config::Problem> problems = loaded.problems;
  const auto topology = loaded.ok() ? Topology::build(loaded.config, clock, problems) : nullptr;
  for (const auto& problem : problems) UNSCOPED_INFO(problem.text());
  REQUIRE(topology != nullptr);
  struct Collected final : Outputs {
    const std::vector<Output>* outputs = nullptr;
    Lines lines;
    void emit(std::size_t output, const Record& record) override { lines.push_back((*outputs)[output].topic + " " + record.key.value_or("null") + " " + record.value.value_or("null")); }
    void quarantine(store::QuarantineEntry entry) override { lines.push_back("failed " + entry.step + ": " + entry.reason); }
  } out;
  out.outputs = &topology->outputs();
  for (const std::string& value : values) topology->inject(0, Record{"k", value == "null" ? std::nullopt : std::optional(value), 1, {}}, out);
  if (const auto counts = topology->step_counts(); !counts.empty() && counts[0].dropped != 0) out.lines.push_back("dropped " + std::to_string(counts[0].dropped));
  return out.lines;
}

}  // namespace

TEST_CASE("a record goes to the first case that holds, the rest go on to the pipeline's topic") {
  CHECK(routed(configured("cases: [{when: a > 10, to: high}, {when: a > 5, to: mid}]"), {R"({"a":11})", R"({"a":6})", R"({"a":1})", "null"}) ==
        Lines{R"(high k {"a":11})", R"(mid k {"a":6})", R"(out k {"a":1})", "out k null"});
}

TEST_CASE("with match: all a record goes to each case that holds") {
  CHECK(routed(configured("match: all, cases: [{when: a > 10, to: high}, {when: a > 5, to: mid}, {when: a IS NULL, to: none}], else: low"), {R"({"a":11})", R"({"a":6})", R"({"a":1})", "null"}) ==
        Lines{R"(high k {"a":11})", R"(mid k {"a":11})", R"(mid k {"a":6})", R"(low k {"a":1})", "none k null"});
}

TEST_CASE("else takes what no case takes, and nothing goes on") {
  CHECK(routed(configured("cases: [{when: a > 10, to: high}], else: {topic: low, key: a}"), {R"({"a":11})", R"({"a":1})", R"({"a":null})"}) == Lines{R"(high k {"a":11})", R"(low 1 {"a":1})", R"(low null {"a":null})"});
}

TEST_CASE("each case may have its own key, and a failed one keeps the record from every topic") {
  const std::string cases = "match: all, cases: [{when: a > 0, to: first}, {when: a > 1, to: {topic: second, key: abs(b)}}]";
  CHECK(routed(configured(cases), {R"({"a":2,"b":-3})"}) == Lines{R"(first k {"a":2,"b":-3})", R"(second 3 {"a":2,"b":-3})"});
  CHECK(routed(configured(cases), {R"({"a":2,"b":-9223372036854775808})"}) == Lines{"failed route: the key for second: integer overflow"});
  CHECK(routed(configured("cases: [{when: abs(a) > 0, to: first}]"), {R"({"a":-9223372036854775808})"}) == Lines{"failed route: integer overflow"});
}

TEST_CASE("steps after a route and readers of its pipeline see what no case took") {
  CHECK(routed("sources: {a: {stdin: {}}}\npipelines:\n  p: {from: a, steps: [{set: {b: a}}, {route: {name: one, cases: [{when: b > 1, to: high}]}}, {set: {n: b + 1}}, {route: {name: two, cases: [{when: n > 1, to: many}]}}]}\n"
               "  q: {from: p, steps: [{set: {q: 1}}], to: out}\n",
               {R"({"a":2})", R"({"a":1})", R"({"a":0})"}) == Lines{R"(high k {"a":2,"b":2})", R"(many k {"a":1,"b":1,"n":2})", R"(out k {"a":0,"b":0,"n":1,"q":1})"});
}

TEST_CASE("what nobody takes is counted") {
  CHECK(routed(configured("cases: [{when: a > 10, to: high}]", ""), {R"({"a":1})", R"({"a":2})"}) == Lines{"dropped 2"});
}

TEST_CASE("each topic of a route is a stream of its own, which its sources lead to") {
  config::Loaded loaded = config::load_text("agent: {id: g}\n" + configured("cases: [{when: a, to: x}, {when: b, to: y}, {when: c, to: x}], else: z"), "r.yaml");
  ManualClock clock;
  std::vector<config::Problem> problems;
  const auto topology = Topology::build(loaded.config, clock, problems);
  REQUIRE(topology != nullptr);
  Lines streams;
  for (const auto& output : topology->outputs()) streams.push_back(output.stream + " " + output.topic);
  CHECK(streams == Lines{"p/route/x x", "p/route/y y", "p/route/z z", "p out"});
  CHECK(topology->outputs_of(0).size() == 5);
}

TEST_CASE("check says what is wrong with a route") {
  const auto problem = [](const std::string& route) { return problems_of(configured(route)); };
  CHECK_THAT(problem(""), ContainsSubstring("cases"));
  CHECK_THAT(problem("cases: []"), ContainsSubstring("expected a list such as"));
  CHECK_THAT(problem("cases: [{to: x}]"), ContainsSubstring("when"));
  CHECK_THAT(problem("cases: [{when: a}]"), ContainsSubstring("expected a topic"));
  CHECK_THAT(problem("cases: [{when: a, to: x}, {when: \"a +\", to: x}]"), ContainsSubstring("cases[1].when"));
  CHECK_THAT(problem("cases: [{when: a, to: {topic: x, key: count(*)}}]"), ContainsSubstring("cases[0].to.key"));
  CHECK_THAT(problem("cases: [{when: a, to: x}], else: {key: a}"), ContainsSubstring("else"));
  CHECK_THAT(problem("cases: [{when: \"a) THEN 1 WHEN (1\", to: x}]"), ContainsSubstring("cases[0].when"));
  CHECK_THAT(problem("cases: [{when: \"a -- b\", to: x}]"), ContainsSubstring("cases[0].when"));
  CHECK_THAT(problems_of("sources: {a: {stdin: {}}}\npipelines: {p: {from: a, steps: [{route: {cases: [{when: a, to: x}]}}, {route: {cases: [{when: a, to: x}]}}]}}\n"), ContainsSubstring("expected a name: their streams are kept by it"));
}
