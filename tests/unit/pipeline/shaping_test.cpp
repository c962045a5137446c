// flatten, enrich, clamp: what becomes of a record's fields and its time.
#include "tests/unit/pipeline/replayed.h"

using namespace rivulet;
using namespace rivulet::pipeline;

namespace {

std::string configured(const std::string& steps) { return "sources: {a: {stdin: {}}}\npipelines: {p: {from: a, steps: [" + steps + "], to: out}}\n"; }

// The value that one record becomes.
Lines values(const std::string& steps, const std::string& value, const std::string& key = "k") {
  Lines found = Replayed(configured(steps)).in("a", key, value, 1).out();
  for (std::string& line : found)
    if (const auto end = line.rfind(" @1"); end != std::string::npos) line = line.substr(line.find(' ') + 1, end - line.find(' ') - 1);
  return found;
}

std::string nested(std::size_t levels) {
  std::string text = "1";
  for (std::size_t i = 0; i < levels; ++i) text = "{\"a\":" + text + "}";
  return text;
}

}  // namespace

TEST_CASE("a rename goes by the names before the step, so that fields can change places, and each stays where it was") {
  CHECK(values("{rename: {a: b, b: a}}", R"({"a":1,"b":2,"c":3})") == Lines{R"({"b":1,"a":2,"c":3})"});
  CHECK(values("{rename: {a: b, b: c, c: a}}", R"({"a":1,"b":2,"c":3})") == Lines{R"({"b":1,"c":2,"a":3})"});
  CHECK(values("{rename: {a: b, b: c}}", R"({"a":1,"c":3})") == Lines{R"({"b":1,"c":3})"});
  CHECK(values("{rename: {a: b, b: c}}", R"({"b":2,"c":3})") == Lines{R"({"c":2})"});
  CHECK(values("{rename: {a: b}}", R"({"b":2,"a":1})") == Lines{R"({"b":1})"});
  CHECK(values("{set: {a: a + 1}}, {rename: {a: b, b: a}}, {set: {a: a + 10}}, {where: b = 2}", R"({"a":1,"b":2})") == Lines{R"({"b":2,"a":12})"});
  const std::string odd = R"({ "a" : 1 })";
  CHECK(values("{rename: {a: a, x: y}}", odd) == Lines{odd});
}

TEST_CASE("flatten makes fields of what lies in objects, and leaves lists, empty objects and tokens as they came") {
  CHECK(values("{flatten: {}}", R"({"a":{"b":1.50,"c":{"d":"x\u00e9"}},"e":[{"f":1}],"g":{},"h":{ "i" : { } , "j":null}})") ==
        Lines{R"({"a_b":1.50,"a_c_d":"x\u00e9","e":[{"f":1}],"g":{},"h_i":{ },"h_j":null})"});
  CHECK(values("{flatten: {separator: .}}", R"({"a":{"b\n":1}})") == Lines{R"({"a.b\n":1})"});
  CHECK(values("{flatten: }, {where: \"a_b > 0\"}", R"({"a":{"b":1}})") == Lines{R"({"a_b":1})"});
  const std::string odd = R"({ "a" : 1 })";
  CHECK(values("{flatten: {}}", odd) == Lines{odd});
  CHECK(values("{flatten: {}}", "null") == Lines{"null"});
}

TEST_CASE("flatten takes apart as many levels as it is told") {
  CHECK(values("{flatten: {depth: 1}}", R"({"a":{"b":{"c":{"d":1}}}})") == Lines{R"({"a_b":{"c":{"d":1}}})"});
  CHECK(values("{flatten: {depth: 2}}", R"({"a":{"b":{"c":{"d":1}}}})") == Lines{R"({"a_b_c":{"d":1}})"});
  CHECK(values("{flatten: {}}", nested(120)).at(0).size() == 2 + 120 * 2 + 3);
}

TEST_CASE("flatten sets a record aside whose values would be one field, too many fields, or one of a giant name") {
  CHECK(values("{flatten: {}}", R"({"a":{"b":1},"a_b":2})").empty());
  CHECK(values("{flatten: {max_fields: 2}}", R"({"a":{"b":1,"c":2}})").size() == 1);
  CHECK(values("{flatten: {max_fields: 2}}", R"({"a":{"b":1,"c":2},"d":3})").empty());
  CHECK(values("{flatten: {max_fields: 2}}", R"({"a":1,"b":2,"d":3})").empty());
  CHECK(values("{flatten: {}}", "{\"" + std::string(600, 'n') + "\":{\"" + std::string(500, 'n') + "\":1}}").empty());
}

TEST_CASE("explode gives a record for each element of a list, which takes the list's place") {
  CHECK(values("{flatten: {explode: r}}", R"({"d":1,"r":[{"t":1,"v":[2]},7,"x]",[3,{"a":"}"}],null]})") ==
        Lines{R"({"d":1,"r_t":1,"r_v":[2]})", R"({"d":1,"r":7})", R"({"d":1,"r":"x]"})", R"({"d":1,"r":[3,{"a":"}"}]})", R"({"d":1,"r":null})"});
  CHECK(values("{flatten: {explode: value}}", R"([1, {"a":2}])") == Lines{R"({"value":1})", R"({"value_a":2})"});
  CHECK(values("{flatten: {explode: r}}, {flatten: {explode: r_s}}", R"({"r":[{"s":[1,2]},{"s":[3]}]})") == Lines{R"({"r_s":1})", R"({"r_s":2})", R"({"r_s":3})"});
}

TEST_CASE("a record without the list goes on as it is, one with an empty list is dropped and counted") {
  CHECK(values("{flatten: {explode: r}}", R"({"d":{"e":1}})") == Lines{R"({"d_e":1})"});
  CHECK(values("{flatten: {explode: r}}", R"({"r":"[1]"})") == Lines{R"({"r":"[1]"})"});
  CHECK(values("{flatten: {explode: r}}", "null") == Lines{"null"});
  CHECK(values("{flatten: {explode: r}}", R"({"r":[ ]})") == Lines{"dropped 1"});
}

TEST_CASE("a list whose records would take too much memory is set aside whole", "[slow]") {
  std::string list = "[1";
  for (int i = 0; i < 20'000; ++i) list += ",1";
  CHECK(values("{flatten: {explode: r}}", "{\"r\":" + list + "],\"other\":\"" + std::string(1000, 'x') + "\"}").empty());
  CHECK(values("{flatten: {explode: r}}, {drop: other}", "{\"r\":" + list + "],\"other\":\"" + std::string(100, 'x') + "\"}").size() == 20'001);
}

TEST_CASE("lists inside lists, and one beside the other, take together what one may") {
  const auto record = [](int elements, std::size_t repeated) {
    std::string list = "[1";
    for (int i = 1; i < elements; ++i) list += ",1";
    return "{\"a\":" + list + "],\"b\":" + list + "],\"c\":\"" + std::string(repeated, 'x') + "\"}";
  };
  const std::string both = "{flatten: {explode: a}}, {flatten: {explode: b}}";
  CHECK(values(both, record(100, 0)).size() == 100 * 100);
  const auto some = values(both, record(300, 5'000)).size();
  CHECK((some > 0 && some <= (8 << 20) / 5'000));
  // Another pipeline's lists count, too; the next message has its own.
  Replayed replayed("sources: {a: {stdin: {}}}\npipelines: {p: {from: a, steps: [{flatten: {explode: a}}]}, q: {from: p, steps: [{flatten: {explode: b}}], to: out}}\n");
  replayed.in("a", "k", record(300, 5'000), 1).in("a", "k", R"({"a":[1],"b":[2]})", 2);
  CHECK(replayed.out().size() <= (8 << 20) / 5'000);
  CHECK(replayed.out().back() == R"(k {"a":1,"b":2} @2)");
}

TEST_CASE("an element goes through stateful steps as any record") {
  CHECK(values("{flatten: {explode: r}}, {aggregate: {select: {s: sum(r)}, emit: every-change}}, {flatten: {explode: s}}", R"({"r":[1,2,3]})") == Lines{R"({"s":1})", R"({"s":3})", R"({"s":6})"});
}

TEST_CASE("enrich sets the fields of the key's row, else the default, else nulls") {
  const std::string table = "table: {p1: {site: north, floor: 3}, p2: {site: \"7\", up: true, down: false}}";
  CHECK(values("{enrich: {by: d, " + table + "}}", R"({"d":"p1","floor":9})") == Lines{R"({"d":"p1","floor":3,"site":"north","up":null,"down":null})"});
  CHECK(values("{enrich: {by: d, " + table + "}}", R"({"d":"p2"})") == Lines{R"({"d":"p2","site":"7","floor":null,"up":true,"down":false})"});
  CHECK(values("{enrich: {by: d, " + table + "}}", R"({"d":"?"})") == Lines{R"({"d":"?","site":null,"floor":null,"up":null,"down":null})"});
  CHECK(values("{enrich: {by: d, " + table + ", default: {site: none, up: false}}}", R"({"e":1})") == Lines{R"({"e":1,"site":"none","up":false,"floor":null,"down":null})"});
  CHECK(values("{enrich: {by: d, table: {p1: {n: 1.50, e: null, t: '', z: 007}}}}", R"({"d":"p1"})") == Lines{R"({"d":"p1","n":1.50,"e":null,"t":"","z":"007"})"});
  CHECK(values("{enrich: {table: {k: {a: True, b: FALSE, c: NULL, d: 'True', e: tRUE, f: 0x10}}}}", "{}") == Lines{R"({"a":true,"b":false,"c":null,"d":"True","e":"tRUE","f":"0x10"})"});
}

TEST_CASE("enrich goes by the record's key where it has no by, and by numbers as their text") {
  CHECK(values("{key: \"'p' || n\"}, {enrich: {table: {p1: {s: 1}}}}", R"({"n":1})") == Lines{R"({"n":1,"s":1})"});
  CHECK(values("{enrich: {by: n + 1, table: {2: {s: 1}}}}, {set: {t: s + 1}}, {enrich: {by: t, table: {2: {u: x}}}}", R"({"n":1})") == Lines{R"({"n":1,"s":1,"t":2,"u":"x"})"});
  CHECK(values("{enrich: {table: {k: {s: 1}}}}", R"({})", "null") == Lines{R"({"s":null})"});
  CHECK(values("{enrich: {table: {k: {s: 1}}}}", "null") == Lines{"null"});
  CHECK(values("{enrich: {by: abs(n), table: {k: {s: 1}}}}", R"({"n":-9223372036854775808})").empty());
}

TEST_CASE("clamp brings timestamps back to a clock that counts, in a replay once it was moved") {
  const auto run = [](const std::string& step, std::int64_t timestamp_ms) { return Replayed(configured("{clamp: " + step + "}")).in("a", "k", "1", timestamp_ms).advance(1000).in("a", "k", "2", timestamp_ms).out(); };
  // The test's clock begins at 1700000000000.
  CHECK(run("{future: 10ms}", 1'700'000'001'010) == Lines{"k 1 @1700000001010", "k 2 @1700000001010"});
  CHECK(run("{future: 10ms}", 1'700'000'001'011) == Lines{"k 1 @1700000001011", "k 2 @1700000001000"});
  CHECK(run("{future: 10ms, to: limit}", 1'800'000'000'000) == Lines{"k 1 @1800000000000", "k 2 @1700000001010"});
  CHECK(run("{future: 10ms}", 9'223'372'036'854'775'807) == Lines{"k 1 @9223372036854775807", "k 2 @1700000001000"});
  CHECK(run("{future: 0s}", 5) == Lines{"k 1 @5", "k 2 @5"});
}

TEST_CASE("a clock that is trusted clamps, and what is clamped is counted") {
  config::Loaded loaded = config::load_text("agent: {id: g}\n" + configured("{clamp: {future: 1s}}, {where: \"value > 0\"}, {clamp: {future: 1s}}"), "r.yaml");
  REQUIRE(loaded.ok());
  ManualClock clock{1'700'000'000'000};
  std::vector<config::Problem> problems;
  const auto topology = Topology::build(loaded.config, clock, problems);
  REQUIRE(topology != nullptr);
  struct Times final : Outputs {
    std::vector<Timestamp> all;
    void emit(std::size_t, const Record& record) override { all.push_back(record.timestamp_ms); }
    void quarantine(store::QuarantineEntry) override {}
  } out;
  topology->arrive(0, {"1", "", 1'800'000'000'000}, out);
  topology->trust_clock(true);
  topology->arrive(0, {"1", "", 1'800'000'000'000}, out);
  CHECK(out.all == std::vector<Timestamp>{1'800'000'000'000, 1'700'000'000'000});
  REQUIRE(topology->step_counts().size() == 1);
  CHECK(topology->step_counts()[0].step == "clamp");
  CHECK(topology->step_counts()[0].clamped == 1);
}

TEST_CASE("check says what is wrong with flatten, enrich and clamp") {
  const auto problem = [](const std::string& step) { return problems_of(configured(step)); };
  CHECK_THAT(problem("{flatten: {depth: 0}}"), ContainsSubstring("from 1 to 128"));
  CHECK_THAT(problem("{flatten: x}"), ContainsSubstring("expected {} or a map"));
  CHECK_THAT(problem("{flatten: {separator: 12345678901234567}}"), ContainsSubstring("longer than 16 bytes"));
  CHECK_THAT(problem("{flatten: {seperator: x}}"), ContainsSubstring("did you mean 'separator'"));
  CHECK_THAT(problem("{enrich: {by: d}}"), ContainsSubstring("table"));
  CHECK_THAT(problem("{enrich: {table: {}}}"), ContainsSubstring("expected a map of keys to fields"));
  CHECK_THAT(problem("{enrich: {table: {a: 1}}}"), ContainsSubstring("expected a map of field: value"));
  CHECK_THAT(problem("{enrich: {table: {a: {b: [1]}}}}"), ContainsSubstring("expected one value, not a list or map"));
  CHECK_THAT(problem("{enrich: {by: \"a +\", table: {a: {b: 1}}}}"), ContainsSubstring("steps[0].enrich.by"));
  CHECK_THAT(problem("{clamp: {}}"), ContainsSubstring("how far ahead of the clock"));
  CHECK_THAT(problem("{clamp: {future: 1s, to: then}}"), ContainsSubstring("expected now | limit"));
}
