// Stream time: its scope, silence, the future.
#include <algorithm>
#include <filesystem>

#include "agent/pipeline/state/memory.h"
#include "agent/pipeline/state/state.h"
#include "agent/pipeline/stateful/operator.h"
#include "agent/pipeline/stateful/windowed_key.h"
#include "tests/unit/pipeline/replay_cases.h"

using namespace rivulet;
using namespace rivulet::test;
using Lines = std::vector<std::string>;

namespace {

const std::string kClosed = "{aggregate: {window: {tumbling: 10ms}, select: {n: count(*)}, emit: closed}}";

struct Collected final : pipeline::Outputs {
  std::size_t records = 0;
  std::vector<store::QuarantineEntry> quarantined;
  void emit(std::size_t, const Record&) override { ++records; }
  void quarantine(store::QuarantineEntry entry) override { quarantined.push_back(std::move(entry)); }
};

}  // namespace

TEST_CASE("with scope key a fast clock makes no other key late") {
  const std::vector<Line> lines = {at(5, "slow"), at(900, "fast"), at(7, "slow"), at(10, "slow"), at(910, "fast")};
  CHECK(short_replay(kClosed, lines) == Lines{"1: slow 1 @5 [0,10]", "4: fast 1 @900 [900,910]", "late 2, dropped 0"});
  CHECK(short_replay(kClosed, lines, {}, "time: {scope: key}, ") == Lines{"3: slow 2 @7 [0,10]", "4: fast 1 @900 [900,910]", "late 0, dropped 0"});
}

TEST_CASE("silence closes windows by the wall clock, from the last record on") {
  CHECK(short_replay(kClosed, {at(5, "k"), advance(19), advance(1)}, {}, "time: {idle: 20ms}, ") == Lines{"2: k 1 @5 [0,10]", "late 0, dropped 0"});
  CHECK(short_replay(kClosed, {at(5, "k"), advance(2), advance(3), at(6, "k")}, {}, "time: {idle: 2ms}, ") == Lines{"2: k 1 @5 [0,10]", "late 1, dropped 0"});
  CHECK(short_replay(kClosed, {at(5, "k"), advance(1000000)}) == Lines{"late 0, dropped 0"});
}

TEST_CASE("with scope key each key falls silent for itself") {
  CHECK(short_replay(kClosed, {at(5, "a"), advance(15), at(5, "b"), advance(15)}, {}, "time: {scope: key, idle: 20ms}, ") == Lines{"3: a 1 @5 [0,10]", "late 0, dropped 0"});
}

TEST_CASE("stream time is the same after a restart") {
  pipeline::ReplayOptions options;
  options.restart_every = 1;
  CHECK(short_replay(kClosed, {at(5, "k"), at(30, "j"), at(7, "k"), at(40, "j")}, options) == Lines{"1: k 1 @5 [0,10]", "3: j 1 @30 [30,40]", "late 1, dropped 0"});
}

namespace {

// A pipeline of closed windows over a source with this `time`, on a clock of its own.
struct Closing {
  explicit Closing(const std::string& time)
      : loaded(config::load_text("sources:\n  a: {stdin: {}, time: " + time + "}\npipelines:\n  p: {from: a, steps: [" + kClosed + "], to: out}\n", "case.yaml")) {
    std::vector<config::Problem> problems;
    topology = pipeline::Topology::build(loaded.config, clock, problems);
    REQUIRE(topology != nullptr);
    REQUIRE(topology->attach(state));
  }
  config::Loaded loaded;
  ManualClock clock{1'700'000'000'000};
  pipeline::StateMemory memory;
  pipeline::StateStore state{memory, 1 << 20};
  std::unique_ptr<pipeline::Topology> topology;
};

}  // namespace

TEST_CASE("a record from beyond the bound is set aside once the clock is trusted, and closes nobody's windows") {
  Closing closing("{future: 1h}");
  ManualClock& clock = closing.clock;
  const auto& topology = closing.topology;
  Collected out;
  const auto send = [&](Timestamp timestamp_ms) { topology->inject(0, {"k", "{}", timestamp_ms, {}}, out); };
  send(clock.wall_ms());
  topology->trust_clock(true);
  send(clock.wall_ms() + 3'600'001);
  CHECK(out.records == 0);
  REQUIRE(out.quarantined.size() == 1);
  CHECK_THAT(out.quarantined[0].reason, ContainsSubstring("3600001 ms ahead of the clock"));
  CHECK(out.quarantined[0].step == "aggregate");
  send(clock.wall_ms() + 3'600'000);
  CHECK(out.quarantined.size() == 1);
  CHECK(out.records == 1);
  topology->trust_clock(false);
  send(clock.wall_ms() + 999'999'999);
  CHECK(out.records == 2);
}

TEST_CASE("silence is measured by the clock that nobody sets") {
  constexpr std::int64_t kDays = 3LL * 24 * 3600 * 1000;
  for (const std::string scope : {"stream", "key"})
    for (const std::int64_t step_ms : {kDays, -kDays}) {
      INFO(scope << " " << step_ms);
      Closing closing("{scope: " + scope + ", idle: 20ms}");
      ManualClock& clock = closing.clock;
      const auto& topology = closing.topology;
      Collected out;
      topology->inject(0, {"k", "{}", 5, {}}, out);
      clock.set_wall(clock.wall_ms() + step_ms);
      topology->advance_idle(out);
      CHECK(out.records == 0);
      topology->inject(0, {"k", "{}", 6, {}}, out);
      CHECK(topology->counts().late == 0);
      clock.advance(19);
      topology->advance_idle(out);
      CHECK(out.records == 0);
      clock.set_wall(clock.wall_ms() - step_ms);
      clock.advance(1);
      topology->advance_idle(out);
      CHECK(out.records == 1);
    }
}

TEST_CASE("windowed keys are Kafka Streams' bytes: key and start, of a session key, end and start") {
  std::string key = "k", session = "k";
  pipeline::append_window(key, {258, 300, false});
  pipeline::append_window(session, {258, 300, true});
  CHECK(key == std::string("k\0\0\0\0\0\0\1\2", 9));
  CHECK(session == std::string("k\0\0\0\0\0\0\1\x2c\0\0\0\0\0\0\1\2", 17));
}

TEST_CASE("what would wait for the next record is a warning without time.idle, once a pipeline") {
  const auto warnings = [](const std::string& yaml) {
    const config::Loaded loaded = config::load_text("sources: {a: {stdin: {}}, b: {simulate: {}, time: {idle: 5s}}}\npipelines:\n" + yaml, "r.yaml");
    REQUIRE(loaded.ok());
    std::vector<config::Problem> problems;
    pipeline::check_idle(loaded.config, problems);
    std::string text;
    for (const auto& problem : problems) text += problem.text() + "\n";
    return text;
  };
  const std::string closed = "{aggregate: {window: {tumbling: 10s}, select: {n: count(*)}, emit: closed}}", absence = "{absence: {after: 30s}}";
  const std::string updates = "{aggregate: {window: {tumbling: 10s}, select: {n: count(*)}}}";
  const auto one = [&](const std::string& steps, const std::string& from = "a", const std::string& more = "") { return warnings("  p: {from: " + from + ", " + more + "to: t, steps: [" + steps + "]}\n"); };
  CHECK_THAT(one(absence), ContainsSubstring("r.yaml:3:41: warning: pipelines.p.steps[0].absence: a silence is noticed when a later record comes"));
  CHECK_THAT(one(closed), ContainsSubstring("warning: pipelines.p.steps[0].aggregate: a window closes when a later record comes"));
  CHECK_THAT(one(updates + ", {suppress: {until: closed}}"), ContainsSubstring("steps[0].aggregate: a window closes"));
  const std::string both = one(closed + ", " + absence);
  CHECK(std::count(both.begin(), both.end(), '\n') == 1);
  CHECK(one(updates).empty());
  CHECK(one(closed, "b").empty());
  CHECK(one(absence, "a", "time: {idle: 1m}, ").empty());
  CHECK(warnings("  p: {from: b}\n  q: {from: p, to: t, steps: [" + absence + "]}\n").empty());
}

TEST_CASE("no example waits for the next record") {
  for (const auto& entry : std::filesystem::directory_iterator(std::string(RIVULET_SOURCE_DIR) + "/config")) {
    if (entry.path().extension() != ".yaml") continue;
    std::vector<config::Problem> problems;
    pipeline::check_idle(config::load(entry.path().string()).config, problems);
    INFO(entry.path());
    CHECK(problems.empty());
  }
}
