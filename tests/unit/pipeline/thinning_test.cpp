// sample, dedupe, deadband, rate_limit: which records pass.
#include "tests/unit/pipeline/replayed.h"

using namespace rivulet;
using namespace rivulet::pipeline;

namespace {

std::string configured(const std::string& step, const std::string& time = "") {
  return "sources: {a: {stdin: {}" + (time.empty() ? "" : ", time: " + time) + "}}\npipelines: {p: {from: a, steps: [{" + step + "}], to: out}}\n";
}

std::string problem(const std::string& step) { return problems_of(configured(step)); }

}  // namespace

TEST_CASE("sample passes the first of every so many records, by key or of all") {
  const auto run = [](const std::string& step) { return Replayed(configured(step)).in("a", "k", "1", 1).in("a", "l", "2", 1).in("a", "k", "3", 1).in("a", "k", "4", 1).in("a", "null", "5", 1).in("a", "k", "6", 1).out(); };
  CHECK(run("sample: {every: 3}") == Lines{"k 1 @1", "l 2 @1", "dropped 1", "dropped 1", "null 5 @1", "k 6 @1"});
  CHECK(run("sample: {every: 3, scope: all}") == Lines{"k 1 @1", "dropped 1", "dropped 1", "k 4 @1", "dropped 1", "dropped 1"});
  CHECK(run("sample: {every: 2, by: value % 2}") == Lines{"k 1 @1", "l 2 @1", "dropped 1", "dropped 1", "null 5 @1", "k 6 @1"});
  CHECK(run("sample: {every: 1}").size() == 6);
}

TEST_CASE("sample passes records that are far enough apart in event time, and none older") {
  CHECK(Replayed(configured("sample: {interval: 10ms}")).in("a", "k", "1", 100).in("a", "k", "2", 109).in("a", "l", "3", 109).in("a", "k", "4", 110).in("a", "k", "5", 90).in("a", "k", "6", 120).out() ==
        Lines{"k 1 @100", "dropped 1", "l 3 @109", "k 4 @110", "dropped 1", "k 6 @120"});
}

TEST_CASE("sample never leaves out a null value, with which its key begins anew") {
  CHECK(Replayed(configured("sample: {every: 3}")).in("a", "k", "1", 1).in("a", "k", "null", 2).in("a", "k", "2", 3).in("a", "k", "3", 3).out() == Lines{"k 1 @1", "k null @2", "k 2 @3", "dropped 1"});
}

TEST_CASE("a record is a duplicate when one with the same by passed within, in event time") {
  const std::string step = configured("dedupe: {by: id, within: 10ms}");
  CHECK(Replayed(step).in("a", "k", R"({"id":1})", 100).in("a", "l", R"({"id":1})", 100).in("a", "k", R"({"id":"1"})", 110).in("a", "k", R"({"id":1})", 111).in("a", "k", R"({"id":1})", 112).out() ==
        Lines{R"(k {"id":1} @100)", "dropped 1", "dropped 1", R"(k {"id":1} @111)", "dropped 1"});
  CHECK(Replayed(step).in("a", "k", R"({"id":1})", 100).in("a", "k", R"({"id":1})", 90).in("a", "k", R"({"id":1})", 89).out() == Lines{R"(k {"id":1} @100)", "dropped 1", R"(k {"id":1} @89)"});
}

TEST_CASE("a record without by is no duplicate, and nothing else tells it from one") {
  CHECK(Replayed(configured("dedupe: {by: id, within: 10ms}")).in("a", "k", "{}", 1).in("a", "k", "{}", 1).in("a", "k", "null", 1).out() == Lines{"k {} @1", "k {} @1", "k null @1"});
}

TEST_CASE("a backlog's duplicates are found, as long as they come together") {
  const std::string step = configured("dedupe: {by: id, within: 10ms}");
  CHECK(Replayed(step).in("a", "x", R"({"id":0})", 1000).in("a", "k", R"({"id":1})", 100).in("a", "k", R"({"id":1})", 100).in("a", "x", R"({"id":9})", 1010).in("a", "k", R"({"id":1})", 100).in("a", "x", R"({"id":8})", 1011).in("a", "k", R"({"id":1})", 100).out() ==
        Lines{R"(x {"id":0} @1000)", R"(k {"id":1} @100)", "dropped 1", R"(x {"id":9} @1010)", "dropped 1", R"(x {"id":8} @1011)", R"(k {"id":1} @100)"});
}

TEST_CASE("with a stream time for each key duplicates are looked for within a key") {
  CHECK(Replayed(configured("dedupe: {by: id, within: 10ms}", "{scope: key}")).in("a", "k", R"({"id":1})", 100).in("a", "l", R"({"id":1})", 100).in("a", "null", R"({"id":1})", 100).in("a", "x", R"({"id":1})", 900).in("a", "k", R"({"id":1})", 100).out() ==
        Lines{R"(k {"id":1} @100)", R"(l {"id":1} @100)", R"(null {"id":1} @100)", R"(x {"id":1} @900)", "dropped 1"});
}

TEST_CASE("a deadband reports a value that has left the band around the last reported one") {
  CHECK(Replayed(configured("deadband: {field: v, absolute: 0.5}")).in("a", "k", R"({"v":10})", 1).in("a", "k", R"({"v":10.5})", 2).in("a", "l", R"({"v":10.5})", 2).in("a", "k", R"({"v":10.51})", 3).in("a", "k", R"({"v":10})", 4).in("a", "k", R"({"v":10.05})", 5).out() ==
        Lines{R"(k {"v":10} @1)", "dropped 1", R"(l {"v":10.5} @2)", R"(k {"v":10.51} @3)", R"(k {"v":10} @4)", "dropped 1"});
  CHECK(Replayed(configured("deadband: {field: v, percent: 10}")).in("a", "k", R"({"v":-100})", 1).in("a", "k", R"({"v":-110})", 2).in("a", "k", R"({"v":-111})", 3).in("a", "k", R"({"v":0})", 4).in("a", "k", R"({"v":0.001})", 5).in("a", "k", R"({"v":0.001})", 5).out() ==
        Lines{R"(k {"v":-100} @1)", "dropped 1", R"(k {"v":-111} @3)", R"(k {"v":0} @4)", R"(k {"v":0.001} @5)", "dropped 1"});
  CHECK(Replayed(configured("deadband: {field: value, absolute: 0}")).in("a", "k", "1", 1).in("a", "k", "1.0", 2).in("a", "k", "2", 3).out() == Lines{"k 1 @1", "dropped 1", "k 2 @3"});
}

TEST_CASE("a deadband tells whole numbers of 64 bits apart, whose doubles are the same") {
  const auto passed = [](const std::string& step, const std::vector<std::string>& tokens) {
    Replayed replayed(configured("deadband: {field: value, " + step + "}"));
    for (const auto& token : tokens) replayed.in("a", "k", token, 1);
    Lines found;
    for (const auto& line : replayed.out())
      if (line.starts_with("k ")) found.push_back(line.substr(2, line.find(" @") - 2));
    return found;
  };
  const std::string max = "18446744073709551615", low = "-9223372036854775808";
  CHECK(passed("absolute: 0", {"9007199254740992", "9007199254740993", "9007199254740993", "9007199254740994"}) == Lines{"9007199254740992", "9007199254740993", "9007199254740994"});
  CHECK(passed("absolute: 0", {max, "18446744073709551614", low, "-9223372036854775807", max}) == Lines{max, "18446744073709551614", low, "-9223372036854775807", max});
  CHECK(passed("absolute: 100", {"1795000000123456000", "1795000000123456100", "1795000000123456101"}) == Lines{"1795000000123456000", "1795000000123456101"});
  CHECK(passed("absolute: 2.5", {"-1", "1", "2", "-0", "-1"}) == Lines{"-1", "2", "-1"});
  CHECK(passed("absolute: 100000000000000000000", {"0", max, low, max}) == Lines{"0"});
  CHECK(passed("percent: 100000000000000000000", {max, "0"}) == Lines{max});
  CHECK(passed("absolute: 0", {"1", "1.0", "1e0", "2.0", "2"}) == Lines{"1", "2.0"});
}

TEST_CASE("a deadband reports what is no number when it is another, and a null value ends its key") {
  CHECK(Replayed(configured("deadband: {field: v, absolute: 5}")).in("a", "k", R"({"v":1})", 1).in("a", "k", R"({"v":null})", 2).in("a", "k", "{}", 3).in("a", "k", R"({"v":"a"})", 4).in("a", "k", R"({"v":"a"})", 5).in("a", "k", R"({"v":1})", 6).in("a", "k", "null", 7).in("a", "k", R"({"v":1})", 8).out() ==
        Lines{R"(k {"v":1} @1)", R"(k {"v":null} @2)", "dropped 1", R"(k {"v":"a"} @4)", "dropped 1", R"(k {"v":1} @6)", "k null @7", R"(k {"v":1} @8)"});
}

TEST_CASE("after max_silence a deadband's key reports whatever it says") {
  const std::string step = configured("deadband: {field: value, absolute: 5, max_silence: 10ms}");
  CHECK(Replayed(step).in("a", "k", "1", 100).in("a", "k", "2", 105).in("a", "k", "3", 109).in("a", "k", "4", 110).in("a", "k", "5", 119).out() == Lines{"k 1 @100", "dropped 1", "k 4 @110", "dropped 1"});
  // Another key's record moves the stream time: the latest that was held back goes out, before that record.
  CHECK(Replayed(step).in("a", "k", "1", 100).in("a", "k", "2", 105).in("a", "l", "7", 110).in("a", "k", "3", 119).in("a", "l", "7", 119).in("a", "l", "7", 120).out() ==
        Lines{"k 1 @100", "k 2 @105", "l 7 @110", "k 3 @119", "l 7 @120", "dropped 1"});
  // Nothing was held back: nothing is made up.
  CHECK(Replayed(step).in("a", "k", "1", 100).in("a", "l", "7", 500).out() == Lines{"k 1 @100", "l 7 @500"});
  CHECK(Replayed(configured("deadband: {field: value, absolute: 5, max_silence: 10ms}", "{idle: 5ms}")).in("a", "k", "1", 100).in("a", "k", "2", 101).advance(8).advance(1).out() == Lines{"k 1 @100", "k 2 @101"});
}

TEST_CASE("a held record comes out as it came, with its window") {
  CHECK(Replayed("sources: {a: {stdin: {}, decode: raw}}\npipelines: {p: {from: a, steps: [{deadband: {field: value, absolute: 5, max_silence: 10ms}}], to: out}}\n").in("a", "k", "\"x\"", 1).in("a", "k", "\"x\"", 2).in("a", "l", "\"y\"", 11).out() ==
        Lines{"k \"x\" @1", "k \"x\" @2", "l \"y\" @11"});
  CHECK(Replayed(configured("aggregate: {window: {tumbling: 10ms}, select: {n: count(*)}, emit: closed}}, {rate_limit: {max: 1, per: 100ms, excess: thin}")).in("a", "k", "1", 5).in("a", "k", "1", 15).in("a", "k", "1", 25).in("a", "k", "1", 150).in("a", "k", "1", 170).out() ==
        Lines{"dropped 1", "dropped 1", R"(k {"n":1,"window_start":20,"window_end":30} @25)"});
}

TEST_CASE("a rate limit passes the first of an interval of stream time, however old they are") {
  CHECK(Replayed(configured("rate_limit: {max: 2, per: 10ms}")).in("a", "k", "1", 100).in("a", "k", "2", 101).in("a", "k", "3", 109).in("a", "l", "4", 109).in("a", "k", "5", 50).in("a", "k", "6", 110).in("a", "k", "7", 109).in("a", "k", "8", 111).out() ==
        Lines{"k 1 @100", "k 2 @101", "dropped 1", "l 4 @109", "dropped 1", "k 6 @110", "k 7 @109", "dropped 1"});
  CHECK(Replayed(configured("rate_limit: {max: 1, per: 10ms, scope: all}")).in("a", "k", "1", 100).in("a", "l", "2", 101).in("a", "null", "3", 111).out() == Lines{"k 1 @100", "dropped 1", "null 3 @111"});
}

TEST_CASE("a thinning rate limit passes the last of an interval when that is over") {
  const std::string step = configured("rate_limit: {max: 2, per: 10ms, excess: thin}");
  CHECK(Replayed(step).in("a", "k", "1", 100).in("a", "k", "2", 101).in("a", "k", "3", 102).in("a", "l", "4", 105).in("a", "k", "5", 109).in("a", "l", "6", 110).out() ==
        Lines{"k 1 @100", "dropped 1", "l 4 @105", "dropped 1", "k 5 @109", "l 6 @110"});
  CHECK(Replayed(configured("rate_limit: {max: 1, per: 10ms, excess: thin}", "{idle: 5ms}")).in("a", "k", "1", 100).in("a", "k", "null", 101).advance(9).in("a", "k", "2", 102).out() == Lines{"dropped 1", "k null @101"});
}

TEST_CASE("what a step left out is counted by it") {
  config::Loaded loaded = config::load_text("agent: {id: g}\n" + configured("sample: {name: s, every: 2}}, {route: {cases: [{when: value > 2, to: x}]}}, {sample: {name: t, every: 5}"), "r.yaml");
  ManualClock clock;
  std::vector<config::Problem> problems = loaded.problems;
  const auto topology = Topology::build(loaded.config, clock, problems);
  REQUIRE(topology != nullptr);
  std::string names;
  for (const auto& one : topology->step_counts()) names += one.pipeline + "." + one.step + "=" + std::to_string(one.dropped) + " ";
  CHECK(names == "p.s=0 p.route=0 p.t=0 ");
}

TEST_CASE("check says what is wrong with steps that thin out") {
  CHECK_THAT(problem("sample: {}"), ContainsSubstring("expected either every: 10 or interval: 10s"));
  CHECK_THAT(problem("sample: {every: 2, interval: 1s}"), ContainsSubstring("expected either every: 10 or interval: 10s"));
  CHECK_THAT(problem("sample: 10"), ContainsSubstring("expected a map such as {every: 10}"));
  CHECK_THAT(problem("sample: {every: 2, by: a, scope: all}"), ContainsSubstring("has no meaning with scope: all"));
  CHECK_THAT(problem("sample: {every: 2, by: \"a +\"}"), ContainsSubstring("steps[0].sample.by"));
  CHECK_THAT(problem("dedupe: {by: id}"), ContainsSubstring("how far apart duplicates are"));
  CHECK_THAT(problem("dedupe: {within: 1s}"), ContainsSubstring("by"));
  CHECK_THAT(problem("dedupe: {by: count(*), within: 1s}"), ContainsSubstring("misuse of aggregate"));
  CHECK_THAT(problem("deadband: {field: v}"), ContainsSubstring("expected either absolute: 0.5 or percent: 2"));
  CHECK_THAT(problem("deadband: {field: v, absolute: 1, percent: 1}"), ContainsSubstring("expected either absolute: 0.5 or percent: 2"));
  CHECK_THAT(problem("deadband: {absolute: 1}"), ContainsSubstring("field"));
  CHECK_THAT(problem("deadband: {field: v, absolute: -1}"), ContainsSubstring("is not a number, expected one from 0 on"));
  CHECK_THAT(problem("rate_limit: {max: 2}"), ContainsSubstring("how long an interval is"));
  CHECK_THAT(problem("rate_limit: {max: 0, per: 1s}"), ContainsSubstring("from 1 to"));
  CHECK_THAT(problem("rate_limit: {max: 1, per: 1s, excess: hold}"), ContainsSubstring("expected drop | thin"));
  CHECK_THAT(problem("sample: {every: 2}}, {sample: {every: 3}"), ContainsSubstring("expected a name: their state is kept by it"));
}
