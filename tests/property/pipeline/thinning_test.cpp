// sample, dedupe, deadband, rate_limit: which records pass, against what each is defined to be, by brute force; and however the input is cut into
// epochs, with restarts and with whatever memory, the same ones pass.
#include <algorithm>
#include <cmath>
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

struct Given {
  std::string key;  // "null": none
  std::optional<int> value;  // none: a tombstone
  Timestamp ts;
};

std::vector<Given> records(Random& random) {
  std::vector<Given> all;
  Timestamp now = random.one_in(2) ? 0 : 1'700'000'000'000;
  while (all.size() < 80) {
    now += static_cast<Timestamp>(random.below(5));
    Given one{random.pick(Texts{"a", "b", "bb", "null", ""}), static_cast<int>(random.below(12)), random.one_in(3) ? std::max<Timestamp>(0, now - static_cast<Timestamp>(random.below(40))) : now};
    if (random.one_in(12)) one.value.reset();
    all.push_back(one);
  }
  return all;
}

std::string input(const std::vector<Given>& all) {
  std::string text;
  for (std::size_t i = 0; i < all.size(); ++i)
    text += "{\"source\":\"a\",\"key\":" + (all[i].key == "null" ? "null" : "\"" + all[i].key + "\"") + ",\"value\":" + (all[i].value ? "{\"v\":" + std::to_string(*all[i].value) + ",\"i\":" + std::to_string(i) + "}" : "null") +
            ",\"ts\":" + std::to_string(all[i].ts) + "}\n";
  return text;
}

std::string run(const std::string& step, const std::string& time, const std::string& lines, const ReplayOptions& options) {
  const config::Loaded loaded = config::load_text("agent: {id: g}\nsources: {a: {stdin: {}, time: " + time + "}}\npipelines: {p: {from: a, steps: [" + step + "], to: out}}\n", "case.yaml");
  for (const auto& problem : loaded.problems)
    if (!problem.warning) FAIL(problem.text());
  ManualClock clock;
  std::vector<config::Problem> problems;
  const auto topology = Topology::build(loaded.config, clock, problems);
  for (const auto& problem : problems) FAIL(problem.text());
  std::istringstream in(lines);
  std::ostringstream out;
  const auto done = replay(loaded.config, *topology, clock, in, out, options);
  if (!done) FAIL(done.error().message);
  return out.str();
}

// Output lines as "key value ts after".
Texts told(const std::string& output) {
  Texts all;
  std::istringstream lines(output);
  codec::JsonDocument json;
  for (std::string line; std::getline(lines, line);) {
    REQUIRE(json.parse(line));
    std::map<std::string, std::string> fields;
    for (const auto& field : json.fields()) fields[std::string(field.name)] = field.token;
    if (fields.count("topic") != 0) all.push_back(fields["key"] + " " + fields["value"] + " " + fields["ts"] + " " + fields["after"]);
  }
  return all;
}

std::string told(const std::vector<Given>& all, std::size_t i, std::size_t after) {
  const Given& one = all[i];
  return (one.key == "null" ? "null" : "\"" + one.key + "\"") + " " + (one.value ? "{\"v\":" + std::to_string(*one.value) + ",\"i\":" + std::to_string(i) + "}" : "null") + " " + std::to_string(one.ts) + " " + std::to_string(after);
}

// Whose record it is, in byte order: null first.
std::string group(const Given& one, bool all) { return all ? "" : one.key == "null" ? "" : "=" + one.key; }

// The stream time of each record at its arrival: of all, or of its group.
std::vector<Timestamp> stream_times(const std::vector<Given>& given, bool by_key, bool all) {
  std::map<std::string, Timestamp> last;
  std::vector<Timestamp> times;
  for (const Given& one : given) {
    Timestamp& time = last.emplace(by_key ? group(one, all) : "", -1).first->second;
    times.push_back(time = std::max(time, one.ts));
  }
  return times;
}

struct Model {
  std::string step;
  std::function<Texts(const std::vector<Given>&)> expected;
};

Model sample(Random& random) {
  const bool all = random.one_in(3), count = random.one_in(2);
  const std::int64_t n = 1 + static_cast<std::int64_t>(random.below(6));
  return {"{sample: {" + (count ? "every: " + std::to_string(n) : "interval: " + std::to_string(n) + "ms") + (all ? ", scope: all}}" : "}}"), [=](const std::vector<Given>& given) {
            Texts passed;
            std::map<std::string, std::vector<std::size_t>> before;  // since the key's last tombstone
            std::map<std::string, Timestamp> last;
            for (std::size_t i = 0; i < given.size(); ++i) {
              const std::string id = group(given[i], all);
              bool passes = true;
              if (!given[i].value) {
                if (!all) before.erase(id), last.erase(id);
              } else if (count) {
                passes = before[id].size() % static_cast<std::size_t>(n) == 0;
                before[id].push_back(i);
              } else {
                passes = last.count(id) == 0 || given[i].ts - last[id] >= n;
                if (passes) last[id] = given[i].ts;
              }
              if (passes) passed.push_back(told(given, i, i));
            }
            return passed;
          }};
}

Model dedupe(Random& random, bool by_key) {
  const std::int64_t within = 1 + static_cast<std::int64_t>(random.below(25));
  return {"{dedupe: {by: v, within: " + std::to_string(within) + "ms}}", [=](const std::vector<Given>& given) {
            const auto times = stream_times(given, by_key, false);
            Texts passed;
            std::vector<std::size_t> seen;
            for (std::size_t i = 0; i < given.size(); ++i) {
              const bool duplicate = given[i].value && std::any_of(seen.begin(), seen.end(), [&](std::size_t other) {
                return given[other].value == given[i].value && (!by_key || given[other].key == given[i].key) && std::abs(given[other].ts - given[i].ts) <= within && times[i] - times[other] <= within;
              });
              if (duplicate) continue;
              if (given[i].value) seen.push_back(i);
              passed.push_back(told(given, i, i));
            }
            return passed;
          }};
}

Model rate_limit(Random& random, bool by_key) {
  const bool all = random.one_in(3), thin = random.one_in(2);
  const std::size_t max = 1 + random.below(3);
  const std::int64_t per = 1 + static_cast<std::int64_t>(random.below(15));
  return {"{rate_limit: {max: " + std::to_string(max) + ", per: " + std::to_string(per) + "ms" + (thin ? ", excess: thin" : "") + (all ? ", scope: all}}" : "}}"), [=](const std::vector<Given>& given) {
            const auto times = stream_times(given, by_key, all);
            // Of each group and interval the records, in the order in which they came.
            std::map<std::pair<std::string, Timestamp>, std::vector<std::size_t>> in;
            for (std::size_t i = 0; i < given.size(); ++i) in[{group(given[i], all), times[i] / per}].push_back(i);
            struct Out {
              std::size_t after;
              int rank;  // what was held comes before the record that ends its interval
              Timestamp end;
              std::string id;
              std::size_t record;
              bool operator<(const Out& other) const { return std::tie(after, rank, end, id) < std::tie(other.after, other.rank, other.end, other.id); }
            };
            std::set<Out> out;
            for (const auto& [place, records] : in) {
              const auto& [id, interval] = place;
              const Timestamp end = (interval + 1) * per;
              for (std::size_t n = 0; n < records.size() && n < max - (thin ? 1 : 0); ++n) out.insert({records[n], 1, 0, id, records[n]});
              if (!thin || records.size() < max) continue;
              std::size_t after = records.back() + 1;
              while (after < given.size() && (times[after] < end || (by_key && group(given[after], all) != id))) ++after;
              if (after < given.size()) out.insert({after, 0, end, id, records.back()});
            }
            Texts passed;
            for (const Out& one : out) passed.push_back(told(given, one.record, one.after));
            return passed;
          }};
}

// Without max_silence; with it the model holds back, too.
Model deadband(Random& random, bool by_key) {
  const bool all = random.one_in(3), percent = random.one_in(2);
  const double change = percent ? static_cast<double>(random.below(80)) : static_cast<double>(random.below(6));
  const std::int64_t silence = random.one_in(2) ? 0 : 1 + static_cast<std::int64_t>(random.below(25));
  return {"{deadband: {field: v, " + std::string(percent ? "percent: " : "absolute: ") + std::to_string(static_cast<int>(change)) + (silence != 0 ? ", max_silence: " + std::to_string(silence) + "ms" : "") + (all ? ", scope: all}}" : "}}"),
          [=](const std::vector<Given>& given) {
            const auto times = stream_times(given, by_key, all);
            struct Last {
              int value;
              Timestamp reported;
              std::optional<std::size_t> held;
            };
            std::map<std::string, Last> groups;
            Texts passed;
            for (std::size_t i = 0; i < given.size(); ++i) {
              const std::string id = group(given[i], all);
              const auto found = groups.find(id);
              bool passes = true;
              if (!given[i].value) {
                if (found != groups.end()) all ? found->second.held.reset() : static_cast<void>(groups.erase(found));
              } else {
                if (found != groups.end()) {
                  const int last = found->second.value, change_now = std::abs(last - *given[i].value);
                  passes = (percent ? change_now > std::abs(last) * change / 100 : change_now > change) || (silence != 0 && times[i] - found->second.reported >= silence);
                }
                if (passes) groups[id] = {*given[i].value, times[i], std::nullopt};
                else if (silence != 0) found->second.held = i;
              }
              // The held ones that are due, in the order in which they came due, then of the groups.
              std::set<std::pair<Timestamp, std::string>> due;
              for (const auto& [other, state] : groups)
                if (state.held && times[i] - state.reported >= silence && (!by_key || other == id)) due.insert({state.reported, other});
              for (const auto& [reported, other] : due) {
                Last& state = groups[other];
                passed.push_back(told(given, *state.held, i));
                state = {*given[*state.held].value, times[i], std::nullopt};
              }
              if (passes) passed.push_back(told(given, i, i));
            }
            return passed;
          }};
}

Model any_step(Random& random, bool by_key) {
  switch (random.below(4)) {
    case 0: return sample(random);
    case 1: return dedupe(random, by_key);
    case 2: return rate_limit(random, by_key);
    default: return deadband(random, by_key);
  }
}

}  // namespace

TEST_CASE("each step that thins out lets through what it is defined to let through") {
  std::size_t runs = 0, passed = 0, left = 0;
  each_seed(1500, [&](std::uint64_t seed) {
    ++runs;
    Random random(seed);
    const bool by_key = random.one_in(3);
    const std::vector<Given> given = records(random);
    const Model model = any_step(random, by_key);
    INFO(model.step << " by key " << by_key << "\n" << input(given));
    const Texts expected = model.expected(given);
    REQUIRE(told(run(model.step, by_key ? "{scope: key}" : "{scope: stream}", input(given), {})) == expected);
    passed += expected.size();
    left += given.size() - std::min(given.size(), expected.size());
  });
  if (runs >= 100) CHECK((passed > runs * 14 && left > runs * 14));  // both are looked at
}

TEST_CASE("steps that thin out give the same however the input is cut into epochs, restarts and with whatever memory") {
  each_seed(200, [&](std::uint64_t seed) {
    Random random(seed);
    const bool by_key = random.one_in(3), idle = random.one_in(4);
    std::string step = any_step(random, by_key).step;
    if (random.one_in(3)) {  // behind another one
      step.insert(step.find(": {") + 3, "name: first, ");
      std::string second = any_step(random, by_key).step;
      step += ", " + second.insert(second.find(": {") + 3, "name: second, ");
    }
    std::string lines = input(records(random));
    if (idle) lines.insert(lines.find('\n', lines.size() / 2) + 1, "{\"advance\":" + std::to_string(random.below(30)) + "}\n");
    const std::string time = std::string("{scope: ") + (by_key ? "key" : "stream") + (idle ? ", idle: 5ms}" : "}");
    ReplayOptions plain;
    plain.drops = true;
    const std::string expected = run(step, time, lines, plain);
    for (int i = 0; i < 5; ++i) {
      ReplayOptions options = plain;
      options.epoch_lines = 1 + random.below(90);
      options.restart_every = idle ? 0 : random.below(15);  // silence counts from the start of the process on
      if (random.one_in(2)) options.state_bytes = random.below(4000);
      INFO(step << time << " epoch " << options.epoch_lines << ", restart every " << options.restart_every << ", " << options.state_bytes << " bytes\n" << lines);
      REQUIRE(run(step, time, lines, options) == expected);
    }
  });
}
