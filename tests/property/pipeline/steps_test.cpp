// Random steps on random rows: neighbouring steps that share one statement give what the same steps give one by one, each in a pipeline of its own, and
// replay gives the same text each time.
#include <sstream>
#include <tuple>

#include "agent/pipeline/replay.h"
#include "agent/pipeline/topology.h"
#include "tests/support/seeds.h"

using namespace rivulet;
using namespace rivulet::pipeline;
using rivulet::test::Random;

namespace {

using Words = std::vector<std::string>;

std::string field(Random& random) { return random.pick(Words{"a", "b", "c", "A", "x", "value"}); }

// Texts stand in double quotes of YAML: no " and no \ in them.
std::string expression(Random& random, int depth) {
  if (depth == 0 || random.one_in(4))
    return random.one_in(2) ? field(random) : random.pick(Words{"0", "1", "-2", "2.5", "'t'", "'1'", "''", "NULL", "9223372036854775807", "1e308", "TRUE", "'[1,2]'"});
  const auto sub = [&] { return expression(random, depth - 1); };
  switch (random.below(16)) {
    case 0: case 1: return "(" + sub() + random.pick(Words{" + ", " - ", " * ", " / ", " % ", " || ", " & "}) + sub() + ")";
    case 2: case 3: return "(" + sub() + random.pick(Words{" < ", " >= ", " = ", " <> ", " IS ", " IS NOT ", " AND ", " OR "}) + sub() + ")";
    case 4: return "abs(" + sub() + ")";
    case 5: return "length(" + sub() + ")";
    case 6: return "upper(" + sub() + ")";
    case 7: return "coalesce(" + sub() + ", " + sub() + ")";
    case 8: return "round(" + sub() + ", 1)";
    case 9: return "CASE WHEN " + sub() + " THEN " + sub() + " ELSE " + sub() + " END";
    case 10: return "(" + sub() + random.pick(Words{" IN (1, 't', NULL)", " BETWEEN 0 AND 5", " LIKE '%t%'", " IS NULL", " NOT NULL"}) + ")";
    case 11: return "json_array(" + sub() + ", " + sub() + ")";
    case 12: return "json_extract(" + sub() + ", '$.k')";  // fails on malformed JSON
    case 13: return "CAST(" + sub() + " AS " + random.pick(Words{"INTEGER", "REAL", "TEXT"}) + ")";
    case 14: return "(NOT " + sub() + ")";
    default: return "substr(" + sub() + ", 1, 2)";
  }
}

std::string step(Random& random) {
  const auto quoted = [&] { return "\"" + expression(random, 2) + "\""; };
  switch (random.below(11)) {
    case 0: case 1: return "{where: \"" + expression(random, 1) + random.pick(Words{"", " IS NOT NULL", " IS NULL"}) + "\"}";
    case 2: case 3: case 4: return "{set: {" + field(random) + ": " + quoted() + "}}";
    case 5: return "{set: {a: " + quoted() + ", x: " + quoted() + ", B: " + quoted() + "}}";
    case 6: return "{select: {a: " + quoted() + ", c: " + quoted() + ", b: b}}";
    case 7: return "{drop: [" + field(random) + "]}";
    case 8: return "{rename: {" + field(random) + ": " + field(random) + "}}";
    case 9: return "{key: " + quoted() + "}";
    default: return "{timestamp: \"" + random.pick(Words{"1000", "a", "abs(b)", "coalesce(c, 7)"}) + "\"}";
  }
}

std::string token(Random& random) {
  return random.pick(Words{"0", "1", "-3", "2.50", "1.0e0", "9223372036854775807", "-9223372036854775808", "12345678901234567890123", "1e999", "\"t\"", "\"\"", "\"1\"", "\"T\\u00e9\"", "true", "false", "null", "{\"k\":7}", "[1, 2]",
                           "\"{\\\"k\\\":1}\"", "\"{bad\""});
}

std::string value(Random& random) {
  if (random.one_in(12)) return random.pick(Words{"3", "\"t\"", "null", "[1]", "", "{bad", "{\"a\":1,\"a\":2}"});
  std::string text = "{", names;
  for (const char* name : {"a", "b", "c", "A", "x", "other"})
    if (!random.one_in(3)) text += (text.size() > 1 ? ", \"" : "\"") + std::string(name) + "\":" + (random.one_in(4) ? " " : "") + token(random);
  return text + "}";
}

// What left, and what was quarantined by which kind of step and why.
struct Seen final : Outputs {
  std::vector<std::tuple<std::optional<std::string>, std::optional<std::string>, Timestamp>> records;
  std::vector<std::pair<std::string, std::string>> failures;
  void emit(std::size_t, const Record& record) override { records.emplace_back(record.key, record.value, record.timestamp_ms); }
  void quarantine(store::QuarantineEntry entry) override { failures.emplace_back(entry.step, entry.reason); }
  bool operator==(const Seen& other) const { return records == other.records && failures == other.failures; }
};

std::string shown(const Seen& seen) {
  std::string text;
  for (const auto& [key, value, time] : seen.records) text += key.value_or("null") + " | " + value.value_or("null") + " | " + std::to_string(time) + "\n";
  for (const auto& [step, reason] : seen.failures) text += step + ": " + reason + "\n";
  return text;
}

struct Built {
  ManualClock clock{1'700'000'000'000};
  config::Loaded loaded;
  std::unique_ptr<Topology> topology;
  explicit Built(const std::string& pipelines) {
    loaded = config::load_text("agent: {id: g}\nsources: {in: {stdin: {}}}\npipelines:\n" + pipelines, "r.yaml");
    std::vector<config::Problem> problems = loaded.problems;
    if (loaded.ok()) topology = Topology::build(loaded.config, clock, problems);
  }
};

std::string fused(const Words& steps) {
  std::string text = "  p:\n    from: in\n    to: t\n    steps:\n";
  for (const std::string& one : steps) text += "      - " + one + "\n";
  return text;
}

std::string one_by_one(const Words& steps) {
  std::string text;
  for (std::size_t i = 0; i < steps.size(); ++i)
    text += "  p" + std::to_string(i) + ": {from: " + (i == 0 ? std::string("in") : "p" + std::to_string(i - 1)) + (i + 1 == steps.size() ? ", to: t" : "") + ", steps: [" + steps[i] + "]}\n";
  return text;
}

Words random_steps(Random& random) {
  Words steps;
  for (auto left = 1 + random.below(7); left > 0; --left) steps.push_back(step(random));
  return steps;
}

}  // namespace

TEST_CASE("steps that share a statement give what they give one by one") {
  int runs = 0, compared = 0, left = 0, failed = 0;
  rivulet::test::each_seed(600, [&](std::uint64_t seed) {
    Random random(seed);
    const Words steps = random_steps(random);
    const std::string whole = fused(steps);
    INFO(whole);
    Built together(whole), apart(one_by_one(steps));
    ++runs;
    REQUIRE((together.topology != nullptr) == (apart.topology != nullptr));
    if (together.topology == nullptr) return;  // refused by `check`, such as a rename of a field to itself
    for (int row = 0; row < 15; ++row) {
      const std::string payload = value(random);
      INFO(payload);
      Seen a, b;
      if (random.one_in(10)) {
        const Record record{random.one_in(2) ? std::optional<std::string>("k") : std::nullopt, random.one_in(2) ? std::optional(payload) : std::nullopt, 5, {}};
        together.topology->inject(0, record, a);
        apart.topology->inject(0, record, b);
      } else {
        together.topology->arrive(0, {payload, "", 42}, a);
        apart.topology->arrive(0, {payload, "", 42}, b);
      }
      INFO("together:\n" << shown(a) << "one by one:\n" << shown(b));
      REQUIRE(a == b);
      ++compared;
      left += a.records.empty() ? 0 : 1;
      failed += a.failures.empty() ? 0 : 1;
    }
  });
  if (runs >= 300) {  // what is compared is not mostly nothing
    CHECK(compared > runs * 5);
    CHECK(left > compared / 5);
    CHECK(failed > compared / 50);
  }
}

TEST_CASE("a replay gives the same text each time and whatever the epoch") {
  rivulet::test::each_seed(150, [](std::uint64_t seed) {
    Random random(seed);
    const Words steps = random_steps(random);
    const std::string pipelines = fused(steps) + "  q: {from: [p, in], to: u, steps: [" + step(random) + "]}\n";
    INFO(pipelines);
    std::string input;
    for (int i = 0; i < 30; ++i) {
      std::string body = value(random);
      if (body.find("bad") != std::string::npos || body.empty()) body = "null";
      input += random.one_in(8) ? "{\"advance\":" + std::to_string(random.below(5000)) + "}\n" : "{\"source\":\"in\",\"key\":\"k\",\"ts\":" + std::to_string(random.below(9000)) + ",\"value\":" + body + "}\n";
    }
    std::vector<std::string> outputs;
    for (const std::uint64_t epoch_lines : {1, 1, 7, 1000}) {
      Built built(pipelines);
      if (built.topology == nullptr) return;
      std::istringstream in(input);
      std::ostringstream out;
      const auto done = replay(built.loaded.config, *built.topology, built.clock, in, out, {epoch_lines});
      outputs.push_back(out.str() + (done ? "" : done.error().message));
    }
    REQUIRE(outputs[0].find("\"summary\"") != std::string::npos);
    for (const std::string& output : outputs) REQUIRE(output == outputs[0]);
  });
}
