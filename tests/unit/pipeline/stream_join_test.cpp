// SEMANTICS.md 14, 15, D3: facts by hand.
#include "tests/unit/pipeline/replayed.h"

using namespace rivulet::pipeline;

namespace {

std::string join(const std::string& kind, const std::string& within, const std::string& more = "") {
  return "sources: {a: {stdin: {}}, b: {stdin: {}}}\npipelines:\n  j:\n    from: a\n    steps:\n      - join: {with: b, kind: " + kind + ", within: {" + within + "}" + more + "}\n    to: out\n";
}

}  // namespace

TEST_CASE("streams match from before to after, both ends included, and the result has the higher time") {
  CHECK(Replayed(join("inner", "before: 10ms, after: 5ms, grace: 100ms"))
            .in("b", "k", "0", 89).in("b", "k", "1", 90).in("b", "k", "2", 105).in("b", "k", "3", 106).in("b", "other", "9", 100).in("a", "k", "7", 100).out() ==
        Lines{R"(k {"left":7,"right":1} @100)", R"(k {"left":7,"right":2} @105)"});
}

TEST_CASE("before and after may be negative") {
  const std::string later = join("inner", "before: -5ms, after: 10ms, grace: 100ms");
  CHECK(Replayed(later).in("b", "k", "1", 104).in("b", "k", "2", 105).in("b", "k", "3", 110).in("b", "k", "4", 111).in("a", "k", "7", 100).out() ==
        Lines{R"(k {"left":7,"right":2} @105)", R"(k {"left":7,"right":3} @110)"});
  CHECK(Replayed(later).in("a", "k", "7", 100).in("b", "k", "1", 104).in("b", "k", "2", 105).out() == Lines{R"(k {"left":7,"right":2} @105)"});
  CHECK(Replayed(join("inner", "before: 10ms, after: -5ms")).in("b", "k", "1", 95).in("b", "k", "2", 96).in("a", "k", "7", 100).out() == Lines{R"(k {"left":7,"right":1} @100)"});
}

TEST_CASE("matches come in the order of the other side's time and arrival, and duplicates stay") {
  CHECK(Replayed(join("inner", "before: 10ms, after: 10ms, grace: 50ms"))
            .in("b", "k", "1", 105).in("b", "k", "2", 95).in("b", "k", "3", 105).in("b", "k", "3", 95).in("a", "k", "7", 100).out() ==
        Lines{R"(k {"left":7,"right":2} @100)", R"(k {"left":7,"right":3} @100)", R"(k {"left":7,"right":1} @105)", R"(k {"left":7,"right":3} @105)"});
}

TEST_CASE("a left record without a match is padded when nothing can match it any more, by a record of either side") {
  const std::string left = join("left", "before: 10ms, after: 10ms, grace: 5ms");
  CHECK(Replayed(left).in("a", "k", "1", 100).in("a", "x", "2", 115).out() == Lines{});
  CHECK(Replayed(left).in("a", "k", "1", 100).in("a", "x", "2", 116).out() == Lines{R"(k {"left":1,"right":null} @100)"});
  CHECK(Replayed(left).in("a", "k", "1", 100).in("b", "x", "2", 116).out() == Lines{R"(k {"left":1,"right":null} @100)"});
  CHECK(Replayed(left).in("a", "k", "1", 100).in("b", "x", "null", 116).out() == Lines{R"(k {"left":1,"right":null} @100)", "dropped 1"});
  CHECK(Replayed(left).in("a", "k", "1", 100).in("b", "null", "5", 116).out() == Lines{R"(k {"left":1,"right":null} @100)", "dropped 1"});
  CHECK(Replayed(left).in("b", "k", "1", 100).in("a", "x", "2", 200).out() == Lines{});
}

TEST_CASE("a joined record matches or is padded, never both") {
  CHECK(Replayed(join("outer", "before: 10ms, after: 10ms, grace: 5ms")).in("a", "k", "1", 100).in("b", "k", "2", 105).in("a", "x", "3", 500).in("a", "x", "4", 1000).out() ==
        Lines{R"(k {"left":1,"right":2} @105)", R"(x {"left":3,"right":null} @500)"});
}

TEST_CASE("due pads come by time, right before left, by key bytes, by arrival, before the trigger's matches") {
  CHECK(Replayed(join("outer", "before: 10ms, after: 10ms"))
            .in("a", "z", "1", 100).in("a", "b", "2", 100).in("a", "b", "3", 100).in("b", "y", "4", 100).in("b", "c", "5", 99).in("b", "q", "6", 120).in("a", "q", "7", 120).out() ==
        Lines{R"(c {"left":null,"right":5} @99)", R"(y {"left":null,"right":4} @100)", R"(b {"left":2,"right":null} @100)", R"(b {"left":3,"right":null} @100)",
              R"(z {"left":1,"right":null} @100)", R"(q {"left":7,"right":6} @120)"});
}

TEST_CASE("an out-of-order record matches what is open, and is late when it is closed and matched nothing") {
  const std::string outer = join("outer", "before: 10ms, after: 10ms, grace: 20ms");
  CHECK(Replayed(outer).in("b", "k", "1", 100).in("a", "x", "2", 130).in("a", "k", "3", 100).out() == Lines{R"(k {"left":3,"right":1} @100)"});
  CHECK(Replayed(outer).in("a", "x", "2", 131).in("a", "k", "3", 100).out() == Lines{"dropped 1"});
  // Closed itself, but a left record reaches further: it matches, is not kept and not padded.
  CHECK(Replayed(join("outer", "before: 0ms, after: 50ms")).in("a", "k", "1", 100).in("b", "x", "2", 140).in("b", "k", "3", 120).in("a", "k", "4", 119).out() ==
        Lines{R"(k {"left":1,"right":3} @120)"});
}

TEST_CASE("a null key is padded at once where its side pads, even if late, and else dropped") {
  const std::string left = join("left", "before: 10ms, after: 10ms");
  CHECK(Replayed(left).in("a", "x", "1", 500).in("a", "null", "2", 100).in("b", "null", "3", 500).out() == Lines{R"(null {"left":2,"right":null} @100)", "dropped 1"});
  CHECK(Replayed(join("outer", "before: 10ms, after: 10ms")).in("b", "null", "3", 500).out() == Lines{R"(null {"left":null,"right":3} @500)"});
  CHECK(Replayed(join("inner", "before: 10ms, after: 10ms")).in("a", "null", "3", 500).out() == Lines{"dropped 1"});
}

TEST_CASE("a join of a stream with itself matches each record with itself") {
  CHECK(Replayed("sources: {a: {stdin: {}}}\npipelines:\n  j:\n    from: a\n    steps:\n      - join: {with: a, within: {before: 5ms, after: 5ms}}\n    to: out\n")
            .in("a", "k", "1", 10).in("a", "k", "2", 12).out() ==
        Lines{R"(k {"left":1,"right":1} @10)", R"(k {"left":2,"right":1} @12)", R"(k {"left":1,"right":2} @12)", R"(k {"left":2,"right":2} @12)"});
}

TEST_CASE("with a stream time for each key one key's fast clock closes nobody else's records") {
  const std::string by_key = "sources: {a: {stdin: {}, time: {scope: key}}, b: {stdin: {}, time: {scope: key}}}\npipelines:\n  j:\n    from: a\n    steps:\n"
                             "      - join: {with: b, kind: left, within: {before: 10ms, after: 10ms}}\n    to: out\n";
  CHECK(Replayed(by_key).in("a", "k", "1", 100).in("a", "fast", "2", 100000).in("b", "k", "3", 105).in("a", "k", "4", 106).in("a", "k", "5", 200).out() ==
        Lines{R"(k {"left":1,"right":3} @105)", R"(k {"left":4,"right":3} @106)"});
  CHECK(Replayed(by_key).in("a", "k", "1", 100).in("a", "k", "5", 200).in("b", "fast", "2", 100000).out() == Lines{R"(k {"left":1,"right":null} @100)"});
}

TEST_CASE("with idle the wall clock closes what waits for a pad") {
  const std::string idle = "sources: {a: {stdin: {}, time: {idle: 1s}}, b: {stdin: {}, time: {idle: 1s}}}\npipelines:\n  j:\n    from: a\n    steps:\n"
                           "      - join: {with: b, kind: left, within: {before: 5s, after: 5s}}\n    to: out\n";
  CHECK(Replayed(idle).in("a", "k", "1", 100).advance(5000).out() == Lines{});
  CHECK(Replayed(idle).in("a", "k", "1", 100).advance(5001).out() == Lines{R"(k {"left":1,"right":null} @100)"});
}

TEST_CASE("select sees the fields of both sides, whole sides, and null for a side that is missing") {
  const std::string selected = join("left", "before: 10ms, after: 10ms",
                                    ", select: {sum: left.x + right.y, l: left, gone: right IS NULL, name: upper(left.name), order: right.order, deep: \"left.o ->> '$.p'\"}");
  CHECK(Replayed(selected).in("b", "k", R"({"y":5,"order":1.50})", 100).in("a", "k", R"({"x":2,"name":"n","o":{"p":3}})", 100).in("a", "z", R"({"x":1})", 200).in("a", "z", "{}", 211).out() ==
        Lines{R"(k {"sum":7,"l":{"x":2,"name":"n","o":{"p":3}},"gone":false,"name":"N","order":1.50,"deep":3} @100)",
              R"(z {"sum":null,"l":{"x":1},"gone":true,"name":null,"order":null,"deep":null} @200)"});
  CHECK(Replayed(join("inner", "before: 1ms, after: 1ms", ", select: {v: left.value + right.value}")).in("b", "k", " 5 ", 100).in("a", "k", "2", 100).out() == Lines{R"(k {"v":7} @100)"});
}

TEST_CASE("a pair whose select fails goes to quarantine and the other pairs go on") {
  CHECK(Replayed(join("inner", "before: 10ms, after: 10ms", ", select: {v: abs(right.x)}")).in("b", "k", R"({"x":-9223372036854775808})", 100).in("b", "k", R"({"x":-1})", 100).in("a", "k", "{}", 100).out() ==
        Lines{R"(k {"v":1} @100)"});
}

TEST_CASE("timestamps at the end of time do not run over") {
  const std::int64_t last = INT64_MAX;
  CHECK(Replayed(join("outer", "before: 10ms, after: 10ms, grace: 1d")).in("a", "k", "1", last).in("b", "k", "2", last - 10).in("b", "k", "3", 0).out() ==
        Lines{"k {\"left\":1,\"right\":2} @" + std::to_string(last), "dropped 1"});
}
