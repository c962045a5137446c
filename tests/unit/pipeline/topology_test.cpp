#include "agent/pipeline/topology.h"

#include <algorithm>
#include <sstream>

#include "agent/pipeline/replay.h"
#include "tests/support/catch.h"

using namespace rivulet;
using namespace rivulet::pipeline;

namespace {

struct Collected final : Outputs {
  struct One {
    std::size_t output;
    Record record;
  };
  std::vector<One> records;
  std::vector<store::QuarantineEntry> quarantined;
  void emit(std::size_t output, const Record& record) override { records.push_back({output, record}); }
  void quarantine(store::QuarantineEntry entry) override { quarantined.push_back(std::move(entry)); }
};

struct Fixture {
  ManualClock clock{1'700'000'000'000};
  config::Loaded loaded;
  std::unique_ptr<Topology> topology;
  Collected out;
  std::string problems;

  explicit Fixture(const std::string& steps, const std::string& source = "") {
    loaded = config::load_text("agent: {id: g}\nsources:\n  in:\n    stdin: {}\n" + source + "pipelines:\n  p:\n    from: in\n    steps:\n" + steps + "    to: t\n", "r.yaml");
    for (const auto& problem : loaded.problems) problems += problem.text() + "\n";
    if (!loaded.ok()) return;
    std::vector<config::Problem> found;
    topology = Topology::build(loaded.config, clock, found);
    for (const auto& problem : found) problems += problem.text() + "\n";
  }
  std::string run(const std::string& payload) {
    INFO(problems);
    REQUIRE(topology != nullptr);
    out.records.clear();
    topology->arrive(0, {payload, "the/topic", 42}, out);
    return out.records.empty() ? "" : out.records.back().record.value.value_or("null");
  }
};

std::string set(const std::string& expression) { return "      - set: {x: \"" + expression + "\"}\n"; }

// The JSON that `expression` gives for the field a = `token`.
std::string value_of(const std::string& expression, const std::string& token = "1") {
  Fixture f(set(expression));
  INFO(expression << " " << f.problems);
  const std::string text = f.run("{\"a\":" + token + "}");
  if (!f.out.quarantined.empty()) return "quarantine: " + f.out.quarantined[0].reason;
  const std::size_t at = text.find(",\"x\":");
  return at == std::string::npos ? text : text.substr(at + 5, text.size() - at - 6);
}

std::string problem_of(const std::string& expression) {
  Fixture f("      - where: \"" + expression + "\"\n");
  return f.problems;
}

}  // namespace

TEST_CASE("an unchanged record goes on as the very bytes that came") {
  Fixture f("      - where: a > 0\n");
  const std::string odd = " { \"a\" : 1.0e0 , \"b\":12345678901234567890123 }  ";
  CHECK(f.run(odd) == odd);
  CHECK(f.run("{\"a\":0}").empty());
  CHECK(f.run("{}").empty());
}

TEST_CASE("set replaces in place or appends, and leaves the other tokens alone") {
  Fixture f("      - set: {a: \"a + 1\", c: \"b\"}\n");
  CHECK(f.run(R"({"a":1,"big":12345678901234567890123,"b":1.50})") == R"({"a":2,"big":12345678901234567890123,"b":1.50,"c":1.50})");
}

TEST_CASE("values keep their JSON types") {
  CHECK(value_of("a + 1") == "2");
  CHECK(value_of("a * 1.5") == "1.5");
  CHECK(value_of("a * 2.0") == "2.0");
  CHECK(value_of("a > 0") == "true");
  CHECK(value_of("(a IS NULL)") == "false");
  CHECK(value_of("a BETWEEN 2 AND 3") == "false");
  CHECK(value_of("missing > 3") == "null");
  CHECK(value_of("NOT a") == "false");
  CHECK(value_of("CASE WHEN a > 0 THEN 5 END") == "5");
  CHECK(value_of("'it''s'") == "\"it's\"");
  CHECK(value_of("a", "true") == "true");
  CHECK(value_of("a", "{\\\"b\\\": [1]}") .empty() == false);
  CHECK(value_of("a", "18446744073709551616") == "18446744073709551616");
  CHECK(value_of("json_object('k', a)") == "{\"k\":1}");
  CHECK(value_of("a -> '$.b'", "{\"b\":[1,2]}") == "[1,2]");
  CHECK(value_of("a ->> '$.b'", "{\"b\":\"x\"}") == "\"x\"");
  CHECK(value_of("upper(a)", "\"x\\u00e9\"") == "\"X\xc3\xa9\"");
  CHECK(value_of("9e999").rfind("quarantine: the result is infinite", 0) == 0);
  CHECK(value_of("datetime('now')") == "\"2023-11-14 22:13:20\"");
}

TEST_CASE("a step that fails sends its record to quarantine with pipeline and step, and the next record goes on") {
  Fixture f("      - where: a > 0\n      - set: {x: \"abs(a - 9223372036854775807 - 2)\"}\n");
  CHECK(f.run(R"({"a":1})").empty());
  REQUIRE(f.out.quarantined.size() == 1);
  CHECK(f.out.quarantined[0].pipeline == "p");
  CHECK(f.out.quarantined[0].step == "set");
  CHECK_THAT(f.out.quarantined[0].reason, ContainsSubstring("overflow"));
  CHECK(f.out.quarantined[0].value == R"({"a":1})");
  CHECK_FALSE(f.run(R"({"a":9})").empty());
  CHECK(f.topology->pipeline_counts(0).failed == 1);
}

TEST_CASE("a failure is told of the step whose expression failed, also between bare fields") {
  Fixture f("      - set: {copy: a}\n      - where: b > 0\n      - set: {again: b}\n      - key: abs(c)\n");
  CHECK(f.run(R"({"a":1.50,"b":2,"c":-3})") == R"({"a":1.50,"b":2,"c":-3,"copy":1.50,"again":2})");
  CHECK(f.out.records[0].record.key == "3");
  CHECK(f.run(R"({"a":1,"b":0,"c":-9223372036854775808})").empty());
  CHECK(f.out.quarantined.empty());
  f.run(R"({"a":1,"b":2,"c":-9223372036854775808})");
  REQUIRE(f.out.quarantined.size() == 1);
  CHECK(f.out.quarantined[0].step == "key");
}

TEST_CASE("a bare field is a key's text or the token as it came, and null where there is none") {
  const auto key_of = [](const std::string& payload) {
    Fixture f("      - key: a\n");
    f.run(payload);
    REQUIRE(f.out.records.size() == 1);
    return f.out.records[0].record.key;
  };
  CHECK(key_of(R"({"a":"x\u0041\n"})") == "xA\n");
  CHECK(key_of(R"({"a":""})") == "");
  CHECK(key_of(R"({"a":1.50})") == "1.50");
  CHECK(key_of(R"({"a":[1, 2]})") == "[1, 2]");
  CHECK(key_of(R"({"a":true})") == "true");
  CHECK(key_of(R"({"a":null})") == std::nullopt);
  CHECK(key_of(R"({"A":1})") == std::nullopt);
  CHECK(value_of("a", R"("x\u0041")") == R"("x\u0041")");
  CHECK(value_of("a", "null") == "null");
  CHECK(value_of("b", "1") == "null");
}

TEST_CASE("a later step sees what an earlier one set, fields of one step see the record before it") {
  Fixture f("      - set: {a: \"a + 1\", b: \"a * 10\"}\n      - where: a = 2\n      - set: {c: \"a + b\"}\n");
  CHECK(f.run(R"({"a":1})") == R"({"a":2,"b":10,"c":12})");
}

TEST_CASE("select, drop and rename shape the record") {
  Fixture f("      - select: {z: \"a\", y: \"b\"}\n      - rename: {z: w}\n      - drop: y\n");
  CHECK(f.run(R"({"a":1,"b":2,"c":3})") == R"({"w":1})");
}

TEST_CASE("key and timestamp are taken from the record, by the source and by a step") {
  Fixture f("      - key: b || '-' || a\n      - timestamp: ts + 1\n", "    key: device\n    timestamp: {field: ts, unit: s}\n");
  f.run(R"({"device":"d1","ts":5,"a":1,"b":"k"})");
  REQUIRE(f.out.records.size() == 1);
  CHECK(f.out.records[0].record.key == "k-1");
  CHECK(f.out.records[0].record.timestamp_ms == 6);
  f.run(R"({"device":"d1","a":1})");
  CHECK_THAT(f.out.quarantined.back().reason, ContainsSubstring("timestamp field 'ts': there is no such field"));
  f.run(R"({"device":"d1","ts":-5,"a":1})");
  CHECK(f.topology->counts().dropped == 1);
}

TEST_CASE("what cannot be decoded goes to the source's topic, or to quarantine, and is counted") {
  Fixture quarantine("      - where: \"1\"\n");
  quarantine.run("{\"a\":");
  REQUIRE(quarantine.out.quarantined.size() == 1);
  CHECK(quarantine.out.quarantined[0].step == "decode");
  CHECK(quarantine.topology->counts().undecodable == 1);
  quarantine.run("  ");
  CHECK(quarantine.topology->counts().dropped == 1);

  Fixture topic("      - where: \"1\"\n", "    undecodable: bad\n");
  CHECK(topic.run("oops") == "oops");
  CHECK(topic.topology->outputs()[topic.out.records[0].output].topic == "bad");
}

TEST_CASE("raw records pass as they are, and their text is the field value") {
  Fixture f("      - where: value LIKE 'a%'\n", "    decode: raw\n");
  CHECK(f.run("abc \xff") == "abc \xff");
  CHECK(f.run("xyz").empty());
  Fixture changed(set("upper(value)"), "    decode: raw\n    topic_field: topic\n");
  CHECK(changed.run("ab\"c") == R"({"value":"ab\"c","topic":"the/topic","x":"AB\"C"})");
}

TEST_CASE("an expression that is more than a scalar over the record is refused with its place") {
  CHECK_THAT(problem_of("count(*) > 1"), ContainsSubstring("r.yaml:9:16: pipelines.p.steps[0].where: misuse of aggregate"));
  CHECK_THAT(problem_of("a = (SELECT 1)"), ContainsSubstring("'SELECT' has no place"));
  CHECK_THAT(problem_of("a > ?1"), ContainsSubstring("parameter"));
  CHECK_THAT(problem_of("a > 1; DROP TABLE x"), ContainsSubstring("a ;"));
  CHECK_THAT(problem_of("random() > 1"), ContainsSubstring("random() is not allowed"));
  CHECK_THAT(problem_of("a > 1) FROM x --"), ContainsSubstring("a comment in an expression"));
  CHECK_THAT(problem_of("a > 1)"), ContainsSubstring("a ) without its ("));
  CHECK_THAT(problem_of("a, b"), ContainsSubstring("pipelines.p.steps[0].where"));
  CHECK_THAT(problem_of("nosuch(a)"), ContainsSubstring("no such function: nosuch"));
  CHECK_THAT(problem_of("Temp > 1 AND temp > 1"), ContainsSubstring("differ only in case"));
  CHECK_THAT(problem_of("a.b > 1"), ContainsSubstring("a ->> '$.b'"));
  CHECK_THAT(problem_of("a > "), ContainsSubstring("pipelines.p.steps[0].where"));
  CHECK_THAT(problem_of("load_extension('x')"), ContainsSubstring("not allowed"));
  CHECK_THAT(problem_of("rivulet_item(1,2,3)"), ContainsSubstring("pipelines.p.steps[0].where"));
}

TEST_CASE("an expression that wants too much memory is stopped and its record quarantined", "[slow]") {
  CHECK_THAT(value_of("replace(hex(zeroblob(30000000)), '0', '00000000')"), ContainsSubstring("quarantine: string or blob too big"));
  CHECK(value_of("length(printf('%.*c', 100000000, 'x'))") == "null");  // SQLite's own answer beyond its limit
}

TEST_CASE("replay gives each result with the line that caused it and closes with a summary") {
  Fixture f("      - where: a > 1\n");
  std::istringstream in("{\"source\":\"in\",\"key\":\"k\",\"value\":{\"a\":1},\"ts\":1}\n{\"advance\":5}\n{\"source\":\"in\",\"key\":null,\"value\":{\"a\": 2},\"ts\":7}\n");
  std::ostringstream out;
  REQUIRE(replay(f.loaded.config, *f.topology, f.clock, in, out));
  CHECK(out.str() == "{\"topic\":\"t\",\"key\":null,\"value\":{\"a\": 2},\"ts\":7,\"after\":2}\n{\"summary\":{\"in\":2,\"out\":1,\"late\":0,\"dropped\":0,\"undecodable\":0}}\n");
  std::istringstream bad("{\"source\":\"nope\",\"ts\":1}\n");
  CHECK_THAT(replay(f.loaded.config, *f.topology, f.clock, bad, out).error().message, ContainsSubstring("line 1: source: there is no source 'nope'"));
}

TEST_CASE("replay flushes its output at the end of each epoch and not before") {
  struct Watched final : std::stringbuf {  // what a reader at the other end has seen at each flush
    std::vector<std::size_t> lines;
    int sync() override {
      const std::string text = str();
      lines.push_back(static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')));
      return 0;
    }
  };
  const auto flushes = [](std::uint64_t epoch_lines) {
    Fixture f("      - where: a > 0\n");
    std::string text;
    for (int i = 1; i <= 7; ++i) text += "{\"source\":\"in\",\"value\":{\"a\":1},\"ts\":1}\n\n";  // a blank line is no input
    std::istringstream in(text);
    Watched seen;
    std::ostream out(&seen);
    REQUIRE(replay(f.loaded.config, *f.topology, f.clock, in, out, {epoch_lines}));
    return seen.lines;
  };
  CHECK(flushes(3) == std::vector<std::size_t>{3, 6, 8});  // the last with the summary
  CHECK(flushes(1) == std::vector<std::size_t>{1, 2, 3, 4, 5, 6, 7, 8});
  CHECK(flushes(100) == std::vector<std::size_t>{8});
}

TEST_CASE("only what is a truth value is printed as true or false") {
  CHECK(value_of("a IN (1)") == "true");
  CHECK(value_of("a NOT NULL AND a IS NOT DISTINCT FROM 1") == "true");
  CHECK(value_of("(a IN (1)) + 1") == "2");
  for (const char* unclear : {"a IN (1) + 1", "1 + NOT a", "- NOT a", "a ISNULL + 7", "a NOT NULL * 7"}) CHECK_THAT(problem_of(unclear), ContainsSubstring("needs brackets"));
}

TEST_CASE("fields are told apart by case, also where steps share a statement") {
  Fixture f("      - where: Temp > 1\n" + set("temp + 1"));
  CHECK(f.run(R"({"Temp":5,"temp":100})") == R"({"Temp":5,"temp":100,"x":101})");
  CHECK(value_of("round(a)") == "1.0");
  Fixture named(set("round(Round)"));
  CHECK(named.run(R"({"Round":1.5})") == R"({"Round":1.5,"x":2.0})");
}

TEST_CASE("a field may have a name that SQLite knows") {
  Fixture hidden(set("rowid + 1"));
  CHECK(hidden.run(R"({"rowid":5})") == R"({"rowid":5,"x":6})");
  Fixture word(set("\\\"order\\\" + 1"));
  CHECK(word.run(R"({"order":1})") == R"({"order":1,"x":2})");
  CHECK_THAT(problem_of("order > 1"), ContainsSubstring("double quotes"));
}

TEST_CASE("numbers beyond a double compare as what they are") {
  CHECK(value_of("a > 5", "1e-999") == "false");
  CHECK(value_of("a < 5", "-1e999") == "true");
  CHECK(value_of("a", "-1e999") == "-1e999");
  CHECK(value_of("a + 0", "1e999").rfind("quarantine: the result is infinite", 0) == 0);
}

TEST_CASE("a timestamp step takes numbers in every form and nothing else") {
  Fixture f("      - timestamp: a\n");
  f.run(R"({"a":1.7e12})");
  CHECK(f.out.records.back().record.timestamp_ms == 1'700'000'000'000);
  CHECK(f.run(R"({"a":"17"})").empty());
  CHECK(f.run(R"({"a":-1})").empty());
  CHECK(f.run(R"({})").empty());
  REQUIRE(f.out.quarantined.size() == 3);
  CHECK(f.out.quarantined[0].step == "timestamp");
}

TEST_CASE("no table and no table function can be read") {
  for (const char* reaching : {"a IN sqlite_schema", "a IN pragma_module_list", "a MATCH 'b'", "sqlite_log(1, 'x')"})
    CHECK_THAT(problem_of(reaching), ContainsSubstring("pipelines.p.steps[0].where"));
}

TEST_CASE("an untouched field keeps the bytes of its name and its value") {
  Fixture f(set("1"));
  CHECK(f.run(R"({"\u0061":1.50,"b":"\u00e9"})") == R"({"\u0061":1.50,"b":"\u00e9","x":1})");
}

TEST_CASE("a step with very many fields is one statement") {
  std::string steps = "      - set:\n";
  for (int i = 0; i < 150; ++i) steps += "          f" + std::to_string(i) + ": \"a + " + std::to_string(i) + "\"\n";
  Fixture f(steps);
  CHECK_THAT(f.run(R"({"a":1})"), ContainsSubstring("\"f149\":150"));
}

TEST_CASE("a condition that stops a record keeps later expressions from failing on it") {
  Fixture f("      - where: a > 0\n" + set("abs(-9223372036854775807 - 1)"));
  CHECK(f.run(R"({"a":0})").empty());
  CHECK(f.out.quarantined.empty());
  f.run(R"({"a":1})");
  REQUIRE(f.out.quarantined.size() == 1);
  CHECK(f.out.quarantined[0].step == "set");
}
