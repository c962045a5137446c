// SEMANTICS.md 13: aggregates over tables, and what becomes of rows that fail or are damaged.
#include "agent/pipeline/state/memory.h"
#include "tests/unit/pipeline/replayed.h"

using namespace rivulet::pipeline;
using rivulet::ErrorCode;

namespace {

const std::string kSources = "sources: {a: {stdin: {}}, b: {stdin: {}}}\n";

std::string grouped(const std::string& aggregate, const std::string& table = "") {
  return kSources + "pipelines:\n  t: {from: a, steps: [{table: {" + table + "}}]}\n  g: {from: t, steps: [{aggregate: {" + aggregate + "}}], to: out}\n";
}
const std::string kCounted = "by: g, select: {n: count(*), s: sum(v)}, emit: every-change";

}  // namespace

TEST_CASE("a row that changes within its group gives one result with the net value") {
  CHECK(Replayed(grouped(kCounted)).in("a", "k", R"({"g":"x","v":1})", 5).in("a", "l", R"({"g":"x","v":2})", 9).in("a", "k", R"({"g":"x","v":10})", 7).out() ==
        Lines{R"(x {"n":1,"s":1} @5)", R"(x {"n":2,"s":3} @9)", R"(x {"n":2,"s":12} @9)"});
}

TEST_CASE("a row that moves leaves its old group first and a deleted one leaves a count of 0") {
  CHECK(Replayed(grouped(kCounted)).in("a", "k", R"({"g":"x","v":1})", 5).in("a", "k", R"({"g":"y","v":1})", 6).in("a", "k", "null", 7).in("a", "k", "null", 8).out() ==
        Lines{R"(x {"n":1,"s":1} @5)", R"(x {"n":0,"s":null} @6)", R"(y {"n":1,"s":1} @6)", R"(y {"n":0,"s":null} @7)"});
}

TEST_CASE("a row whose group is null is in no group and a null key has no row") {
  CHECK(Replayed(grouped(kCounted)).in("a", "k", R"({"v":1})", 5).in("a", "k", R"({"g":"x"})", 6).in("a", "k", R"({"g":null})", 7).in("a", "null", R"({"g":"x"})", 8).out() ==
        Lines{R"(x {"n":1,"s":null} @6)", R"(x {"n":0,"s":null} @7)", "dropped 1"});
}

TEST_CASE("without by a table is grouped by its key") {
  CHECK(Replayed(grouped("select: {n: count(*)}, emit: every-change")).in("a", "k", "1", 5).in("a", "k", "2", 6).in("a", "k", "null", 7).out() ==
        Lines{R"(k {"n":1} @5)", R"(k {"n":1} @6)", R"(k {"n":0} @7)"});
}

TEST_CASE("a row that fails goes to quarantine and its predecessor is taken back all the same") {
  CHECK(Replayed(grouped(kCounted)).in("a", "k", R"({"g":"x","v":1})", 5).in("a", "l", R"({"g":"x","v":2})", 5).in("a", "k", R"({"g":"x","v":"no number"})", 6).in("a", "k", R"({"g":"x","v":4})", 7).out() ==
        Lines{R"(x {"n":1,"s":1} @5)", R"(x {"n":2,"s":3} @5)", R"(x {"n":1,"s":2} @6)", R"(x {"n":2,"s":6} @7)"});
  CHECK(Replayed(grouped("by: abs(g), select: {n: count(*)}, emit: every-change")).in("a", "k", R"({"g":-1})", 5).in("a", "k", R"({"g":-9223372036854775808})", 6).in("a", "k", R"({"g":2})", 7).out() ==
        Lines{R"(1 {"n":1} @5)", R"(1 {"n":0} @6)", R"(2 {"n":1} @7)"});
}

TEST_CASE("a group that having refuses is taken back, and updates are told once an epoch") {
  CHECK(Replayed(grouped(kCounted + ", having: n > 0")).in("a", "k", R"({"g":"x","v":1})", 5).in("a", "k", R"({"g":"y","v":1})", 6).out() == Lines{R"(x {"n":1,"s":1} @5)", "x null @6", R"(y {"n":1,"s":1} @6)"});
  const std::string updates = grouped("by: g, select: {n: count(*)}, emit: updates");
  CHECK(Replayed(updates).in("a", "k", R"({"g":"x"})", 5).in("a", "k", R"({"g":"y"})", 6).last() == Lines{R"(x {"n":0} @6)", R"(y {"n":1} @6)"});
}

TEST_CASE("an older version of a versioned row changes no group") {
  CHECK(Replayed(grouped(kCounted, "history: 1h")).in("a", "k", R"({"g":"x","v":1})", 5).in("a", "k", R"({"g":"y","v":2})", 3).in("a", "k", R"({"g":"y","v":3})", 5).out() ==
        Lines{R"(x {"n":1,"s":1} @5)", "dropped 1", R"(x {"n":0,"s":null} @5)", R"(y {"n":1,"s":3} @5)"});
}

TEST_CASE("reals that all went leave nothing of rounding behind") {
  CHECK(Replayed(grouped("by: 1, select: {s: sum(value), c: collect(value)}, emit: every-change")).in("a", "k", "0.1", 1).in("a", "l", "0.2", 1).in("a", "k", "null", 1).in("a", "l", "null", 1).in("a", "l", "7", 1).out().back() ==
        R"(1 {"s":7,"c":[7]} @1)");
}

TEST_CASE("raw rows are grouped by their text") {
  CHECK(Replayed("sources: {a: {stdin: {}, decode: raw}}\npipelines: {p: {from: a, steps: [{table: {}}, {aggregate: {by: \"substr(value, 1, 1)\", select: {n: count(*)}, emit: every-change}}], to: out}}\n")
            .in("a", "k", "\"xy\"", 1).in("a", "k", "\"zy\"", 2).out() == Lines{R"(x {"n":1} @1)", R"(x {"n":0} @2)", R"(z {"n":1} @2)"});
}

TEST_CASE("results of a table aggregate may be a table, joined and grouped again") {
  CHECK(Replayed(kSources + "pipelines:\n  t: {from: a, steps: [{table: {name: rows}}, {aggregate: {by: g, select: {n: count(*)}, emit: every-change}}, {table: {name: groups}}]}\n"
                            "  j: {from: b, steps: [{join: {with: t, select: {n: right.n}}}], to: out}\n  again: {from: t, steps: [{aggregate: {by: n, select: {groups: count(*)}, emit: every-change}}], to: more}\n")
            .in("a", "k", R"({"g":"x"})", 1).in("a", "l", R"({"g":"x"})", 2).in("b", "x", "0", 3).out() == Lines{R"(1 {"groups":1} @1)", R"(1 {"groups":0} @2)", R"(2 {"groups":1} @2)", R"(x {"n":2} @3)"});
}

TEST_CASE("what cannot be taken back is refused with one clear error") {
  const auto only = [](const std::string& yaml) {
    const std::string problems = problems_of(yaml);
    CHECK(std::count(problems.begin(), problems.end(), '\n') == 1);
    return problems;
  };
  for (const std::string call : {"min(v)", "max(v)", "first(v)", "last(v)", "delta(v)", "collect_set(v)", "count_distinct(v)", "stddev(v)", "percentile(v, 50)", "topk(v, 3)", "time_weighted_avg(v)"})
    CHECK_THAT(only(grouped("by: g, select: {x: \"" + call + "\"}")), ContainsSubstring("pipelines.g.steps[0].aggregate.select.x: " + call + ": cannot take back what a table's row no longer says; of a table: count, sum, avg, collect, histogram"));
  CHECK_THAT(only(grouped("by: g, window: {tumbling: 1s}, select: {n: count(*)}")), ContainsSubstring("aggregates the table t/table, whose rows belong to no window"));
  CHECK_THAT(only(grouped("by: g, select: {n: \"sum(unixepoch('now') - v)\"}")), ContainsSubstring("reads the clock"));
  CHECK_THAT(only(grouped("by: date(), select: {n: count(*)}")), ContainsSubstring("aggregate.by: reads the clock"));
  CHECK(problems_of(grouped("by: \"date(day)\", select: {n: count(*), at: \"datetime('now')\"}")).empty());
  CHECK_THAT(only(kSources + "pipelines:\n  t: {from: a, steps: [{table: {}}, {where: v > 1}, {aggregate: {select: {n: count(*)}}}]}\n"), ContainsSubstring("a 'where' step stands between the table t/table and this aggregate"));
  CHECK_THAT(only(kSources + "pipelines:\n  r: {from: b, steps: [{table: {}}]}\n  j: {from: a, steps: [{table: {}}, {join: {with: r, on: \"strftime('%s')\"}}]}\n"), ContainsSubstring("join.on: reads the clock"));
}

TEST_CASE("a result that is nested too deep for the next step goes to quarantine and ends no process") {
  const std::string deep = R"({"x":)" + std::string(126, '[') + std::string(126, ']') + "}";  // a line of replay and a join's result are a level more
  CHECK(Replayed(kSources + "pipelines:\n  t: {from: b, steps: [{table: {}}]}\n  j: {from: a, steps: [{join: {with: t}}]}\n  again: {from: j, steps: [{join: {with: t}}]}\n"
                            "  next: {from: again, steps: [{set: {y: 1}}], to: out}\n")
            .in("b", "k", deep, 1).in("a", "k", "1", 2).in("b", "k", "2", 3).in("a", "k", "1", 4).out() == Lines{R"(k {"left":{"left":1,"right":2},"right":2,"y":1} @4)"});
}

TEST_CASE("a damaged row of a table fails the epoch and not the process") {
  struct Nowhere final : Outputs {
    void emit(std::size_t, const rivulet::Record&) override {}
    void quarantine(rivulet::store::QuarantineEntry) override {}
  };
  for (const bool versioned : {false, true}) {
    StateMemory memory;
    {
      StateStore before(memory, 1 << 20);
      auto step = before.open("t", "table", versioned ? "table history 3600000" : "table");
      REQUIRE(step);
      REQUIRE(before.load());
      (*step)->table(1).put(versioned ? "\tk" : "k", "");
      memory.commit(before.take_changes());
    }
    rivulet::ManualClock clock;
    const auto loaded = rivulet::config::load_text(kSources + "pipelines: {t: {from: a, steps: [{table: {" + (versioned ? "history: 1h" : "") + "}}], to: out}}\n", "r.yaml");
    std::vector<rivulet::config::Problem> problems;
    const auto topology = Topology::build(loaded.config, clock, problems);
    REQUIRE(topology != nullptr);
    StateStore state(memory, 1 << 20);
    REQUIRE(topology->attach(state));
    Nowhere nowhere;
    topology->inject(0, {"other", "1", 5, {}}, nowhere);
    CHECK_FALSE(state.failure());
    topology->inject(0, {"k", "1", 6, {}}, nowhere);
    REQUIRE(state.failure());
    CHECK(state.failure()->code == ErrorCode::corrupt);
  }
}
