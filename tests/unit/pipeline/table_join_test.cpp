// SEMANTICS.md 16-20, D4, D5, D7: facts by hand.
#include "tests/unit/pipeline/replayed.h"

using namespace rivulet::pipeline;

namespace {

const std::string kSources = "sources: {a: {stdin: {}}, b: {stdin: {}}}\n";

std::string stream_table(const std::string& table, const std::string& join) {
  return kSources + "pipelines:\n  j:\n    from: a\n    steps:\n      - join: {with: t, " + join + "}\n    to: out\n  t:\n    from: b\n    steps:\n      - table: {" + table + "}\n";
}
std::string tables(const std::string& join, const std::string& left = "", const std::string& right = "") {
  return kSources + "pipelines:\n  l: {from: a, steps: [{table: {" + left + "}}]}\n  r: {from: b, steps: [{table: {" + right + "}}]}\n  j: {from: l, steps: [{join: {with: r, " + join + "}}], to: out}\n";
}

}  // namespace

TEST_CASE("a table step passes changes on, keeps bytes as they are, and drops null keys") {
  CHECK(Replayed(kSources + "pipelines: {t: {from: a, steps: [{table: {}}], to: out}, u: {from: b, steps: [{table: {}}], to: out}}\n")
            .in("a", "k", "{ \"x\": 1.0 }", 5).in("a", "null", "{}", 6).in("a", "k", "null", 3).in("a", "k", "null", 4).out() ==
        Lines{"k { \"x\": 1.0 } @5", "dropped 1", "k null @3", "k null @4"});
}

TEST_CASE("a stream meets the row that a plain table has now, whatever the times") {
  const std::string left = stream_table("", "kind: left");
  CHECK(Replayed(left).in("a", "k", "1", 10).in("b", "k", "5", 900).in("a", "k", "2", 20).in("b", "k", "6", 100).in("a", "k", "3", 30).in("b", "k", "null", 1).in("a", "k", "4", 40).out() ==
        Lines{R"(k {"left":1,"right":null} @10)", R"(k {"left":2,"right":5} @20)", R"(k {"left":3,"right":6} @30)", R"(k {"left":4,"right":null} @40)"});
  CHECK(Replayed(left).in("a", "null", "1", 10).in("a", "k", "null", 20).out() == Lines{R"(null {"left":1,"right":null} @10)", "dropped 1"});
  CHECK(Replayed(stream_table("", "kind: inner")).in("a", "null", "1", 10).in("a", "k", "1", 20).in("b", "k", "2", 20).out() == Lines{"dropped 1"});
}

TEST_CASE("a versioned table gives the row of the record's time") {
  Replayed versions(stream_table("history: 100ms", "kind: left"));
  versions.in("b", "k", "1", 100).in("b", "k", "3", 150).in("b", "k", "2", 120).in("b", "k", "null", 160).in("b", "k", "5", 170);
  for (const std::int64_t at : {99, 100, 119, 120, 149, 150, 159, 160, 169, 170, 500}) versions.in("a", "k", "0", at);
  CHECK(versions.out() == Lines{R"(k {"left":0,"right":null} @99)", R"(k {"left":0,"right":1} @100)", R"(k {"left":0,"right":1} @119)", R"(k {"left":0,"right":2} @120)",
                                R"(k {"left":0,"right":2} @149)", R"(k {"left":0,"right":3} @150)", R"(k {"left":0,"right":3} @159)", R"(k {"left":0,"right":null} @160)",
                                R"(k {"left":0,"right":null} @169)", R"(k {"left":0,"right":5} @170)", R"(k {"left":0,"right":5} @500)"});
}

TEST_CASE("the same time overwrites a version, an older and the latest, and a delete is remembered even as the only one") {
  CHECK(Replayed(stream_table("history: 100ms", "kind: left"))
            .in("b", "k", "1", 100).in("b", "k", "2", 150).in("b", "k", "7", 100).in("b", "k", "8", 150).in("a", "k", "0", 120).in("a", "k", "0", 150)
            .in("b", "x", "1", 100).in("b", "x", "null", 100).in("a", "x", "0", 100).in("b", "x", "5", 90).in("a", "x", "0", 99).in("a", "x", "0", 100).out() ==
        Lines{R"(k {"left":0,"right":7} @120)", R"(k {"left":0,"right":8} @150)", R"(x {"left":0,"right":null} @100)", R"(x {"left":0,"right":5} @99)", R"(x {"left":0,"right":null} @100)"});
}

TEST_CASE("beyond the history there is no row but the latest, and older table records are dropped") {
  CHECK(Replayed(stream_table("history: 100ms", "kind: left"))
            .in("b", "k", "1", 100).in("b", "k", "2", 200).in("b", "clock", "0", 300).in("b", "k", "9", 199).in("a", "k", "0", 199).in("b", "clock", "0", 310).in("a", "k", "0", 200).in("b", "old", "5", 210)
            .in("a", "old", "0", 209).in("a", "old", "0", 210).out() ==
        Lines{"dropped 1", R"(k {"left":0,"right":null} @199)", R"(k {"left":0,"right":2} @200)", R"(old {"left":0,"right":null} @209)", R"(old {"left":0,"right":5} @210)"});
}

TEST_CASE("with grace records wait for late changes of the table and go in order of time, key, arrival") {
  const std::string grace = stream_table("history: 1h", "kind: left, grace: 10ms");
  CHECK(Replayed(grace).in("a", "z", "1", 100).in("a", "b", "2", 100).in("a", "b", "3", 100).in("b", "b", "5", 99).in("a", "k", "4", 109).out() == Lines{});
  CHECK(Replayed(grace).in("a", "z", "1", 100).in("a", "b", "2", 100).in("a", "b", "3", 100).in("b", "b", "5", 99).in("b", "b", "6", 101).in("a", "k", "4", 110).out() ==
        Lines{R"(b {"left":2,"right":5} @100)", R"(b {"left":3,"right":5} @100)", R"(z {"left":1,"right":null} @100)"});
  // Older than that on arrival: at once. Null values and null keys do not move the clock.
  CHECK(Replayed(grace).in("b", "k", "5", 50).in("a", "x", "1", 100).in("a", "k", "2", 89).in("a", "k", "null", 500).in("a", "null", "3", 500).in("a", "y", "4", 110).out() ==
        Lines{R"(k {"left":2,"right":5} @89)", "dropped 1", R"(null {"left":3,"right":null} @500)", R"(x {"left":1,"right":null} @100)"});
}

TEST_CASE("on gives the key of the table's row for a stream, too") {
  CHECK(Replayed(stream_table("", "kind: left, on: left.site, select: {name: right.name}")).in("b", "s1", R"({"name":"north"})", 1).in("a", "d", R"({"site":"s1"})", 2).in("a", "d", "{}", 3).out() ==
        Lines{R"(d {"name":"north"} @2)", R"(d {"name":null} @3)"});
  CHECK(Replayed(stream_table("", "kind: inner, on: site")).in("a", "d", "{}", 3).out() == Lines{"dropped 1"});
}

TEST_CASE("a windowed result keeps its window through a join with a table") {
  CHECK(Replayed(kSources + "pipelines:\n  t: {from: b, steps: [{table: {}}]}\n  j:\n    from: a\n    steps:\n      - aggregate: {window: {tumbling: 10ms}, select: {n: count(*)}, emit: closed}\n"
                            "      - join: {with: t, kind: inner, select: {n: left.n, name: right.name}}\n    to: {topic: out, key_format: windowed}\n")
            .in("b", "k", R"({"name":"x"})", 0).in("a", "k", "{}", 5).in("a", "k", "{}", 12).out().size() == 1);
}

TEST_CASE("tables give their pair at each change, equal ones too, with the higher time of the two") {
  CHECK(Replayed(tables("kind: inner")).in("a", "k", "1", 50).in("b", "k", "2", 40).in("a", "k", "1", 30).in("b", "k", "null", 20).in("b", "k", "null", 60).in("a", "k", "null", 70).out() ==
        Lines{R"(k {"left":1,"right":2} @50)", R"(k {"left":1,"right":2} @40)", "k null @30"});
  CHECK(Replayed(tables("kind: left")).in("b", "k", "2", 40).in("a", "k", "1", 30).in("b", "k", "null", 20).in("a", "k", "null", 10).in("a", "k", "null", 10).out() ==
        Lines{R"(k {"left":1,"right":2} @40)", R"(k {"left":1,"right":null} @30)", "k null @10"});
}

TEST_CASE("an outer join of tables emits the padded row again at a repeated delete and a tombstone once both are gone") {
  CHECK(Replayed(tables("kind: outer")).in("a", "k", "1", 10).in("b", "k", "2", 20).in("a", "k", "null", 30).in("a", "k", "null", 40).in("b", "k", "null", 5).in("b", "k", "null", 6).out() ==
        Lines{R"(k {"left":1,"right":null} @10)", R"(k {"left":1,"right":2} @20)", R"(k {"left":null,"right":2} @30)", R"(k {"left":null,"right":2} @40)", "k null @5"});
}

TEST_CASE("out of order a plain table overwrites and a versioned one gives no output") {
  CHECK(Replayed(tables("kind: inner")).in("a", "k", "1", 50).in("b", "k", "2", 40).in("b", "k", "3", 30).out() == Lines{R"(k {"left":1,"right":2} @50)", R"(k {"left":1,"right":3} @50)"});
  CHECK(Replayed(tables("kind: inner", "", "history: 1h")).in("a", "k", "1", 50).in("b", "k", "2", 40).in("b", "k", "3", 30).in("a", "k", "4", 1).out() ==
        Lines{R"(k {"left":1,"right":2} @50)", "dropped 1", R"(k {"left":4,"right":2} @40)"});
}

TEST_CASE("a table join may follow its own table step, and its result may become a table again") {
  CHECK(Replayed(kSources + "pipelines:\n  r: {from: b, steps: [{table: {}}]}\n  j:\n    from: a\n    steps:\n      - table: {name: mine}\n      - join: {with: r, select: {s: left.value + right.value}}\n"
                            "      - table: {name: sums}\n      - aggregate: {select: {n: count(*)}, emit: every-change}\n    to: out\n")
            .in("a", "k", "1", 50).in("b", "k", "2", 40).out().size() == 1);
}

TEST_CASE("a foreign key joins a left row with the row that it names, in the order of left keys") {
  const std::string left = tables("kind: left, on: fk"), inner = tables("kind: inner, on: left.fk");
  CHECK(Replayed(inner).in("a", "z", R"({"fk":"r"})", 1).in("a", "b", R"({"fk":"r"})", 9).in("a", "c", R"({"fk":"other"})", 9).in("b", "r", "5", 4).in("b", "r", "6", 20).out() ==
        Lines{R"(b {"left":{"fk":"r"},"right":5} @9)", R"(z {"left":{"fk":"r"},"right":5} @4)", R"(b {"left":{"fk":"r"},"right":6} @20)", R"(z {"left":{"fk":"r"},"right":6} @20)"});
  CHECK(Replayed(left).in("a", "k", R"({"fk":"r"})", 1).in("b", "r", "null", 7).in("b", "r", "5", 2).in("b", "r", "null", 3).out() ==
        Lines{R"(k {"left":{"fk":"r"},"right":null} @1)", R"(k {"left":{"fk":"r"},"right":null} @7)", R"(k {"left":{"fk":"r"},"right":5} @2)", R"(k {"left":{"fk":"r"},"right":null} @3)"});
}

TEST_CASE("a foreign key that changes, goes or is null takes the old result with it") {
  const std::string left = tables("kind: left, on: fk"), inner = tables("kind: inner, on: fk");
  CHECK(Replayed(inner).in("b", "r", "5", 4).in("b", "s", "6", 8).in("a", "k", R"({"fk":"r"})", 1).in("a", "k", R"({"fk":"s"})", 2).in("a", "k", R"({"fk":"none"})", 3).in("b", "r", "7", 9).out() ==
        Lines{R"(k {"left":{"fk":"r"},"right":5} @4)", R"(k {"left":{"fk":"s"},"right":6} @8)", "k null @8"});
  CHECK(Replayed(inner).in("b", "r", "5", 4).in("a", "k", R"({"fk":"r"})", 1).in("a", "k", "{}", 6).in("a", "k", "{}", 7).in("a", "k", "null", 8).out() ==
        Lines{R"(k {"left":{"fk":"r"},"right":5} @4)", "k null @6", "dropped 1", "dropped 1"});
  CHECK(Replayed(left).in("b", "r", "5", 4).in("a", "k", "{}", 1).in("a", "k", R"({"fk":"r"})", 1).in("a", "k", "null", 2).in("a", "k", "null", 3).out() ==
        Lines{R"(k {"left":{},"right":null} @1)", R"(k {"left":{"fk":"r"},"right":5} @4)", "k null @4"});
}

TEST_CASE("a pipeline that reads from a table and a table that is read by two joins see the same rows") {
  CHECK(Replayed(kSources + "pipelines:\n  t: {from: b, steps: [{table: {}}]}\n  i: {from: a, steps: [{join: {with: t}}], to: o1}\n  j: {from: a, steps: [{join: {with: t, kind: left}}], to: o2}\n"
                            "  changes: {from: t, steps: [{where: value > 5}], to: o3}\n")
            .in("b", "k", "5", 1).in("b", "k", "6", 2).in("a", "k", "1", 3).out() == Lines{"k 6 @2", R"(k {"left":1,"right":6} @3)", R"(k {"left":1,"right":6} @3)"});
}

TEST_CASE("raw records keep their text through a table and are JSON text in a join") {
  CHECK(Replayed("sources: {a: {stdin: {}, decode: raw}, b: {stdin: {}, decode: raw}}\npipelines:\n  t: {from: b, steps: [{table: {}}], to: o}\n  j: {from: a, steps: [{join: {with: t}}], to: p}\n"
                 "  s: {from: a, steps: [{join: {with: t, select: {both: left.value || right.value}}}], to: q}\n")
            .in("b", "k", "\"x\\\"y\"", 1).in("a", "k", "\"l\"", 2).out() == Lines{"k \"x\\\"y\" @1", R"(k {"left":"l","right":"x\"y"} @2)", R"(k {"both":"lx\"y"} @2)"});
}

TEST_CASE("a join that cannot be is refused with one clear error") {
  const auto only = [](const std::string& yaml) {
    const std::string problems = problems_of(yaml);
    CHECK(std::count(problems.begin(), problems.end(), '\n') == 1);
    return problems;
  };
  const auto joined = [&](const std::string& steps) { return only(kSources + "pipelines:\n  p: {from: b, steps: [{table: {}}]}\n  v: {from: b, steps: [{table: {history: 1m}}]}\n  s: {from: b, steps: [{table: {}}, {where: value > 1}]}\n  j: {from: a, steps: [" + steps + "]}\n"); };
  CHECK_THAT(joined("{join: {with: q, within: {before: 1s}}}"), ContainsSubstring("pipelines.j.steps[0].join.with: there is no source, pipeline or table 'q'"));
  CHECK_THAT(joined("{join: {with: b}}"), ContainsSubstring("expected within"));
  CHECK_THAT(joined("{join: {with: b, within: {before: 1s}, grace: 1s}}"), ContainsSubstring("has its grace in within"));
  CHECK_THAT(joined("{join: {with: b, within: {before: 1s}, on: x}}"), ContainsSubstring("joined by their keys"));
  CHECK_THAT(joined("{join: {with: b, within: {before: 1s, after: -2s}}}"), ContainsSubstring("ends before it begins"));
  CHECK_THAT(joined("{join: {with: b, within: {before: 1s, grace: -2s}}}"), ContainsSubstring("not a duration"));
  CHECK_THAT(joined("{join: {with: p, kind: outer}}"), ContainsSubstring("expected inner or left"));
  CHECK_THAT(joined("{join: {with: p, within: {before: 1s}}}"), ContainsSubstring("'p' is a table"));
  CHECK_THAT(joined("{join: {with: p, grace: 1s}}"), ContainsSubstring("knows its past"));
  CHECK_THAT(joined("{join: {with: v, grace: 61s}}"), ContainsSubstring("longer than the history"));
  CHECK_THAT(joined("{join: {with: s}}"), ContainsSubstring("'where' step after its table step"));
  CHECK_THAT(joined("{table: {}}, {join: {with: b}}"), ContainsSubstring("cannot be joined with the stream 'b'"));
  CHECK_THAT(joined("{table: {}}, {set: {x: 1}}, {join: {with: p}}"), ContainsSubstring("a 'set' step stands between"));
  CHECK_THAT(joined("{table: {}}, {join: {with: p, grace: 1s}}"), ContainsSubstring("expected no 'grace'"));
  CHECK_THAT(joined("{table: {}}, {join: {with: p, kind: outer, on: x}}"), ContainsSubstring("outer join by 'on'"));
  CHECK_THAT(joined("{join: {with: j, within: {before: 1s}}}"), ContainsSubstring("reads from itself"));
  CHECK_THAT(joined("{join: {with: p, select: {x: a + left.b}}}"), ContainsSubstring("'a' is a field of which side?"));
  CHECK_THAT(joined("{join: {with: p, select: {x: left.b.c}}}"), ContainsSubstring("one step too far"));
  CHECK_THAT(joined("{join: {with: p, on: right.x}}"), ContainsSubstring("the left record alone"));
  CHECK_THAT(only(kSources + "pipelines:\n  p: {from: b, steps: [{table: {}}]}\n  j: {from: p, steps: [{join: {with: p}}]}\n"), ContainsSubstring("with itself"));
  CHECK_THAT(only(kSources + "pipelines:\n  j: {from: a, steps: [{absence: {}}]}\n"), ContainsSubstring("after"));
}
