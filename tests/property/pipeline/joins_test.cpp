// Tables, joins, absence: how the input is cut into epochs, restarts and little memory must not show in results; table aggregates and
// absence against their definitions.
#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "agent/base/clock.h"
#include "agent/codec/json.h"
#include "agent/pipeline/replay.h"
#include "tests/support/seeds.h"

using namespace rivulet;
using namespace rivulet::pipeline;
using rivulet::test::each_seed;
using rivulet::test::Random;

namespace {

using Texts = std::vector<std::string>;

std::string ms(std::uint64_t number) { return std::to_string(number) + "ms"; }
std::string history(Random& random) { return random.one_in(2) ? "{}" : "{history: " + ms(random.below(30)) + "}"; }

// A step over streams a and b, tables l (of a), r (of b) and v (of b, with history).
std::string pipelines(Random& random) {
  const std::string tables = "  l: {from: a, steps: [{table: " + history(random) + "}]}\n  r: {from: b, steps: [{table: " + history(random) + "}]}\n  v: {from: b, steps: [{table: {history: 20ms}}]}\n";
  const std::string either = random.pick(Texts{"inner", "left"}), any = random.pick(Texts{"inner", "left", "outer"});
  const auto last = [&](const std::string& from, const std::string& step) { return tables + "  p: {from: " + from + ", steps: [" + step + "], to: out}\n"; };
  switch (random.below(8)) {
    case 0: {
      const std::int64_t before = static_cast<std::int64_t>(random.below(20)) - 5, after = std::max<std::int64_t>(-before, static_cast<std::int64_t>(random.below(20)) - 5);
      return last("a", "{join: {with: b, kind: " + any + ", within: {before: " + std::to_string(before) + "ms, after: " + std::to_string(after) + "ms, grace: " + ms(random.below(20)) +
                           (random.one_in(2) ? "}, late: {topic: late}}}" : "}}}"));
    }
    case 1: return last("a", "{join: {with: r, kind: " + either + (random.one_in(2) ? ", on: left.f" : "") + "}}");
    case 2: return last("a", "{join: {with: v, kind: " + either + ", grace: " + ms(random.below(21)) + (random.one_in(2) ? ", on: f" : "") + "}}");
    case 3: return last("l", "{join: {with: r, kind: " + any + "}}, {table: {name: joined}}, {aggregate: {by: \"json_extract(\\\"left\\\", '$.f')\", select: {n: count(*)}, emit: every-change}}");
    case 4: return last("l", "{join: {with: r, kind: " + either + ", on: f, select: {f: left.f, v: left.v + right.v, w: right}}}");
    case 5: return last("l", "{aggregate: {by: f, select: {n: count(*), s: sum(v), all: collect(v)}, emit: every-change" + std::string(random.one_in(2) ? ", having: n > 0" : "") + "}}");
    case 6: return last("[a, b]", "{absence: {after: " + ms(1 + random.below(12)) + "}}");
    default: return last("l", "{join: {name: one, with: r, kind: " + any + ", select: {v: left.v, f: right.f}}}, {table: {name: two}}, {join: {name: three, with: v, kind: " + either + ", on: f}}");
  }
}

struct Given {
  std::string source, key, value;  // JSON
  std::int64_t timestamp_ms;
};

std::vector<Given> records(Random& random, std::size_t count) {
  std::vector<Given> all;
  std::int64_t now = random.one_in(2) ? 0 : 1'700'000'000'000;
  while (all.size() < count) {
    now += static_cast<std::int64_t>(random.below(4));
    const std::int64_t timestamp = random.one_in(3) ? std::max<std::int64_t>(0, now - static_cast<std::int64_t>(random.below(30))) : now;
    std::string value = "{\"f\":" + random.pick(Texts{"\"a\"", "\"b\"", "\"bb\"", "null", "7"}) + ",\"v\":" + random.pick(Texts{"1", "2.25", "-3", "null", "\"text\"", "[1]"}) + "}";
    if (random.one_in(6)) value = "null";
    all.push_back({random.one_in(2) ? "a" : "b", random.one_in(12) ? "null" : random.pick(Texts{"\"a\"", "\"b\"", "\"bb\"", "\"\"", "\"b\\u0000\""}), value, timestamp});
  }
  return all;
}

std::string as_input(const std::vector<Given>& all) {
  std::string text;
  for (const Given& one : all) text += "{\"source\":\"" + one.source + "\",\"key\":" + one.key + ",\"value\":" + one.value + ",\"ts\":" + std::to_string(one.timestamp_ms) + "}\n";
  return text;
}

std::string run(const std::string& yaml, const std::string& input, const ReplayOptions& options) {
  const config::Loaded loaded = config::load_text(yaml, "case.yaml");
  for (const auto& problem : loaded.problems)
    if (!problem.warning) FAIL(problem.text());
  ManualClock clock;
  std::vector<config::Problem> problems;
  const auto topology = Topology::build(loaded.config, clock, problems);
  for (const auto& problem : problems) FAIL(problem.text());
  std::istringstream in(input);
  std::ostringstream out;
  const auto done = replay(loaded.config, *topology, clock, in, out, options);
  if (!done) FAIL(done.error().message);
  return out.str();
}

std::string sources(const std::string& time) { return "agent: {id: g}\nsources: {a: {stdin: {}, time: " + time + "}, b: {stdin: {}, time: " + time + "}}\npipelines:\n"; }

// Output lines as "key value ts", in order.
Texts told(const std::string& output) {
  Texts all;
  std::istringstream lines(output);
  codec::JsonDocument json;
  for (std::string line; std::getline(lines, line);) {
    REQUIRE(json.parse(line));
    std::map<std::string, std::string> fields;
    for (const auto& field : json.fields()) fields[std::string(field.name)] = field.token;
    if (fields.count("topic") != 0) all.push_back(fields["key"] + " " + fields["value"] + " " + fields["ts"]);
  }
  return all;
}

}  // namespace

TEST_CASE("joins, tables and absence give the same however the input is cut into epochs, restarts and with whatever memory") {
  std::size_t results = 0;
  each_seed(300, [&](std::uint64_t seed) {
    Random random(seed);
    const std::string yaml = sources(random.one_in(3) ? "{scope: key}" : "{scope: stream}") + pipelines(random);
    const std::string input = as_input(records(random, 60));
    ReplayOptions plain;
    plain.drops = true;
    const std::string expected = run(yaml, input, plain);
    results += told(expected).size();
    std::vector<ReplayOptions> cuts(4, plain);
    cuts[0].epoch_lines = 2 + random.below(70);
    cuts[1].restart_every = 1;
    cuts[2].state_bytes = random.below(3000);
    cuts[3].state_bytes = random.below(3000);
    cuts[3].epoch_lines = 1 + random.below(9);
    cuts[3].restart_every = 1 + random.below(9);
    for (const ReplayOptions& options : cuts) {
      INFO("epoch " << options.epoch_lines << ", restart every " << options.restart_every << ", " << options.state_bytes << " bytes\n" << yaml << input);
      REQUIRE(run(yaml, input, options) == expected);
    }
  });
  CHECK(results > 0);
}

TEST_CASE("what a table's groups say is what its rows say, whatever rows failed meanwhile") {
  each_seed(200, [](std::uint64_t seed) {
    Random random(seed);
    const std::string yaml = sources("{}") + "  p: {from: a, steps: [{table: {}}, {aggregate: {by: f, select: {n: count(*), s: sum(v)}, emit: every-change}}], to: out}\n";
    std::vector<Given> all = records(random, 80);
    for (Given& one : all) one.source = "a";
    std::map<std::string, std::string> rows, said;
    for (const Given& one : all) {
      if (one.key == "null") continue;
      if (one.value == "null") rows.erase(one.key);
      else rows[one.key] = one.value;
    }
    std::map<std::string, std::pair<int, std::string>> groups;  // count; sum, of numbers that a double holds
    std::map<std::string, std::pair<double, int>> sums;
    for (const auto& [key, value] : rows) {
      codec::JsonDocument json;
      REQUIRE(json.parse(value));
      std::string buffer;
      const std::string group(codec::json_text(json.fields()[0].token, buffer)), given(json.fields()[1].token);
      if (group == "null" || given == "\"text\"" || given == "[1]") continue;  // in no group, or refused by sum()
      ++groups[group].first;
      if (given == "null") continue;
      sums[group].first += std::stod(given);
      ++sums[group].second;
    }
    for (const std::string& line : told(run(yaml, as_input(all), {}))) {
      const auto key_end = line.find(' '), value_end = line.rfind(' ');
      said[line.substr(1, key_end - 2)] = line.substr(key_end + 1, value_end - key_end - 1);
    }
    INFO(as_input(all));
    for (const auto& [group, value] : said) {
      codec::JsonDocument json;
      REQUIRE(json.parse(value));
      CHECK(std::string(json.fields()[0].token) == std::to_string(groups[group].first));
      if (sums[group].second == 0) CHECK(json.fields()[1].token == "null");
      else CHECK(std::stod(std::string(json.fields()[1].token)) == sums[group].first);
    }
    for (const auto& [group, count] : groups) CHECK((count.first == 0 || said.count(group) == 1));
  });
}

TEST_CASE("absence tells what its definition says, in the order in which keys fell silent") {
  each_seed(300, [](std::uint64_t seed) {
    Random random(seed);
    const auto after = static_cast<std::int64_t>(1 + random.below(25));
    const std::vector<Given> all = records(random, 60);
    struct Known {
      std::int64_t last_ms;
      bool absent;
    };
    std::map<std::string, Known> keys;
    Texts expected;
    std::int64_t now = -1;
    const auto tell = [&](const std::string& key, bool absent, std::int64_t last_ms, std::int64_t at_ms) {
      expected.push_back(key + " {\"absent\":" + (absent ? "true" : "false") + ",\"last\":" + std::to_string(last_ms) + "} " + std::to_string(at_ms));
    };
    const auto look = [&] {
      std::set<std::pair<std::int64_t, std::string>> silent;
      for (const auto& [key, known] : keys)
        if (!known.absent && known.last_ms + after <= now) silent.emplace(known.last_ms + after, key == "\"b\\u0000\"" ? std::string("\"b\"\x01") : key);
      for (const auto& [at_ms, name] : silent) {
        const std::string key = name == "\"b\"\x01" ? "\"b\\u0000\"" : name;
        keys[key].absent = true;
        tell(key, true, keys[key].last_ms, at_ms);
      }
    };
    for (const Given& one : all) {
      if (one.key == "null") continue;
      now = std::max(now, one.timestamp_ms);
      look();
      const auto known = keys.find(one.key);
      if (one.value == "null") {
        keys.erase(one.key);
      } else if (known == keys.end()) {
        keys[one.key] = {one.timestamp_ms, false};
        look();
      } else if (!known->second.absent) {
        known->second.last_ms = std::max(known->second.last_ms, one.timestamp_ms);
      } else if (one.timestamp_ms + after > now) {
        tell(one.key, false, known->second.last_ms, one.timestamp_ms);
        known->second = {one.timestamp_ms, false};
      }
    }
    INFO("after " << after << "\n" << as_input(all));
    REQUIRE(told(run(sources("{}") + "  p: {from: [a, b], steps: [{absence: {after: " + ms(static_cast<std::uint64_t>(after)) + "}}], to: out}\n", as_input(all), {})) == expected);
  });
}
