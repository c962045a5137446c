#include "agent/pipeline/changelog_units.h"

#include "tests/support/catch.h"

using namespace rivulet;

namespace {

const std::string kKafka = "kafka: {brokers: [k:9092]}\n";
const std::string kSources = "sources:\n  a: {stdin: {}}\n  b: {stdin: {}, undecodable: bad}\n";

config::Config loaded(const std::string& pipelines, const std::string& kafka = kKafka) {
  config::Loaded loaded = config::load_text("agent: {id: x}\n" + kafka + kSources + "pipelines:\n" + pipelines, "r.yaml");
  for (const auto& problem : loaded.problems)
    if (!problem.warning) FAIL(problem.text());
  return loaded.config;
}

std::string problems_of(const std::string& pipelines, const std::string& kafka = kKafka) {
  std::vector<config::Problem> problems;
  pipeline::check_changelogs(loaded(pipelines, kafka), problems);
  std::string text;
  for (const auto& problem : problems) text += problem.text() + "\n";
  return text;
}

}  // namespace

TEST_CASE("what a join reads shares its changelog, also a table that tells the join nothing") {
  const std::string pipelines = "  t: {from: b, steps: [{table: {}}], CHANGELOG}\n  j: {from: a, steps: [{join: {with: t}}], to: u, changelog: c}\n";
  std::string with = pipelines, without = pipelines;
  with.replace(with.find("CHANGELOG"), 9, "changelog: c");
  without.replace(without.find(", CHANGELOG"), 11, "");
  const auto units = pipeline::changelog_units(loaded(with));
  REQUIRE(units.size() == 1);
  CHECK(units[0].sources == std::vector<std::string>{"a", "b"});
  CHECK(problems_of(with).empty());
  CHECK_THAT(problems_of(without), ContainsSubstring("expected the same changelog: c"));
}

TEST_CASE("a unit is everything with the same changelog, and the sources that feed it") {
  const auto units = pipeline::changelog_units(loaded(
      "  p: {from: a, to: t, changelog: c}\n"
      "  q: {from: p, to: u, changelog: c}\n"
      "  r: {from: b, to: v}\n"));
  REQUIRE(units.size() == 1);
  CHECK(units[0].topic == "c");
  CHECK(units[0].pipelines == std::vector<std::string>{"p", "q"});
  CHECK(units[0].sources == std::vector<std::string>{"a"});
  CHECK(problems_of("  p: {from: a, to: t, changelog: c}\n  r: {from: b, to: v, changelog: d}\n").empty());
  CHECK(pipeline::changelog_units(loaded("  p: {from: a, to: t, changelog: c}\n  r: {from: b, to: v, changelog: c}\n"))[0].sources.size() == 2);
}

TEST_CASE("what shares a source, directly or through others, has one changelog or none") {
  const auto text = problems_of("  p: {from: a, to: t, changelog: c}\n  q: {from: a, to: u}\n");
  CHECK_THAT(text, ContainsSubstring("pipelines.q.changelog"));
  CHECK_THAT(text, ContainsSubstring("expected the same changelog: c"));
  CHECK_THAT(problems_of("  p: {from: a, to: t, changelog: c}\n  q: {from: a, to: u, changelog: d}\n"), ContainsSubstring("shares a source"));
  CHECK_THAT(problems_of("  p: {from: [a, b], to: t}\n  q: {from: b, to: u, changelog: c}\n"), ContainsSubstring("pipelines.p.changelog"));
  CHECK_THAT(problems_of("  p: {from: a, to: t}\n  q: {from: p, to: u, changelog: c}\n"), ContainsSubstring("pipelines.p.changelog"));
  CHECK(problems_of("  p: {from: a, to: t}\n  q: {from: b, to: u, changelog: c}\n").empty());
}

TEST_CASE("a changelog needs transactions and a topic of its own") {
  CHECK_THAT(problems_of("  p: {from: a, to: t, changelog: c}\n", "kafka: {brokers: [k:9092], delivery: at-least-once}\n"), ContainsSubstring("exactly-once"));
  CHECK_THAT(problems_of("  p: {from: a, to: t, changelog: c}\n", ""), ContainsSubstring("no kafka section"));
  CHECK_THAT(problems_of("  p: {from: a, to: t, changelog: t}\n"), ContainsSubstring("takes records as well"));
  CHECK_THAT(problems_of("  p: {from: b, to: t, changelog: bad}\n"), ContainsSubstring("takes records as well"));
  CHECK_THAT(problems_of("  p: {from: a, to: t, changelog: rivulet-progress}\n"), ContainsSubstring("progress topic"));
}

TEST_CASE("no output goes to the progress topic or one of Kafka's own, and no source reads what is no record") {
  const auto refused = [](const std::string& pipelines, const std::string& sources = "  a: {stdin: {}}\n") {
    const config::Loaded loaded = config::load_text("kafka: {brokers: [k:9092], progress_topic: prog}\nsources:\n" + sources + "pipelines:\n" + pipelines, "r.yaml");
    REQUIRE(loaded.ok());
    std::vector<config::Problem> problems;
    pipeline::check_topics(loaded.config, problems);
    std::string text;
    for (const auto& problem : problems) text += problem.text() + "\n";
    return text;
  };
  CHECK_THAT(refused("  p: {from: a, to: [t, prog]}\n"), ContainsSubstring("r.yaml:5:24: pipelines.p.to: 'prog' is the progress topic"));
  CHECK_THAT(refused("  p: {from: a, to: t, steps: [{route: {cases: [{when: x, to: prog}]}}]}\n"), ContainsSubstring("'prog' is the progress topic"));
  CHECK_THAT(refused("  p: {from: a, to: t, steps: [{aggregate: {window: {tumbling: 1s}, select: {n: count(*)}, late: {topic: prog}}}]}\n"),
             ContainsSubstring("pipelines.p.steps[0].aggregate.late.topic: 'prog' is the progress topic"));
  CHECK_THAT(refused("  p: {from: a, to: __consumer_offsets}\n"), ContainsSubstring("'__consumer_offsets' is Kafka's own"));
  CHECK_THAT(refused("  p: {from: a, to: t}\n", "  a: {stdin: {}, undecodable: prog}\n"), ContainsSubstring("r.yaml:3:6: sources.a.undecodable: 'prog' is the progress topic"));
  CHECK_THAT(refused("  p: {from: a, to: t}\n", "  a: {kafka: {topic: prog}}\n"), ContainsSubstring("r.yaml:3:22: sources.a.kafka.topic: 'prog' is the progress topic"));
  CHECK_THAT(refused("  p: {from: a, to: t, changelog: c}\n", "  a: {kafka: {topic: c}}\n"), ContainsSubstring("'c' is the changelog of the pipeline 'p'"));
  CHECK(refused("  p: {from: a, to: t, changelog: c}\n", "  a: {kafka: {topic: d}, undecodable: e}\n").empty());
}
