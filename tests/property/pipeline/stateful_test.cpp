// How the input is cut into epochs, when the process restarts and how little memory state has must not show in results.
//
// Random cases over every kind of window and emission. RIVULET_SEED=n repeats one.
#include <map>
#include <random>
#include <sstream>

#include "agent/codec/json.h"
#include "agent/pipeline/replay.h"
#include "tests/support/catch.h"
#include "tests/support/seeds.h"

using namespace rivulet;
using namespace rivulet::pipeline;
using rivulet::test::each_seed;

namespace {

using Random = std::mt19937_64;

std::int64_t pick(Random& random, std::int64_t from, std::int64_t to) { return std::uniform_int_distribution<std::int64_t>(from, to)(random); }

template <class T>
const T& one_of(Random& random, const std::vector<T>& all) {
  return all[static_cast<std::size_t>(pick(random, 0, static_cast<std::int64_t>(all.size()) - 1))];
}

struct Case {
  std::string steps;  // of the pipeline
  std::string time;
  std::string input;
};

std::string window_of(Random& random) {
  const std::string grace = ", grace: " + std::to_string(pick(random, 0, 12)) + "ms}";
  switch (pick(random, 0, 4)) {
    case 0: return "window: {tumbling: " + std::to_string(pick(random, 1, 12)) + "ms" + grace;
    case 1: {
      const std::int64_t size = pick(random, 1, 12);
      return "window: {hopping: {size: " + std::to_string(size) + "ms, advance: " + std::to_string(pick(random, 1, size)) + "ms}" + grace;
    }
    case 2: return "window: {sliding: " + std::to_string(pick(random, 0, 10)) + "ms" + grace;
    case 3: return "window: {session: " + std::to_string(pick(random, 1, 6)) + "ms" + grace;
    default: return {};
  }
}

Case make_case(Random& random, const std::string& emit) {
  Case made;
  std::string window = window_of(random);
  while (window.empty() && emit == "closed") window = window_of(random);
  made.steps = "{aggregate: {" + (window.empty() ? "" : window + ", ") + "select: {n: count(*), s: sum(v), f: first(v), l: last(v), m: max(v)}, emit: " + emit +
               (pick(random, 0, 3) == 0 ? ", having: count(*) > 1" : "") + "}}";
  if (emit == "every-change" && pick(random, 0, 2) == 0) made.steps += ", {suppress: {limit: " + std::to_string(pick(random, 0, 8)) + "ms}}";
  if (emit == "updates" && !window.empty() && pick(random, 0, 3) == 0) made.steps += ", {suppress: {until: closed}}";
  made.time = std::string("{scope: ") + (pick(random, 0, 2) == 0 ? "key" : "stream") + (pick(random, 0, 2) == 0 ? ", idle: 5ms}" : "}");
  std::int64_t now = pick(random, 0, 1) == 0 ? 0 : 1'700'000'000'000;
  const std::vector<std::string> keys = {"\"a\"", "\"b\"", "\"bb\"", "null", "\"\""};
  for (int i = 0; i < 60; ++i) {
    now += pick(random, 0, 4);
    if (pick(random, 0, 15) == 0) made.input += "{\"advance\":" + std::to_string(pick(random, 0, 12)) + "}\n";
    const std::int64_t timestamp = pick(random, 0, 3) == 0 ? now - pick(random, 0, 25) : now;
    const std::string value = pick(random, 0, 7) == 0 ? "null" : pick(random, 0, 7) == 0 ? "{\"v\":null}" : "{\"v\":" + std::to_string(pick(random, -9, 99)) + "}";
    made.input += "{\"source\":\"a\",\"key\":" + one_of(random, keys) + ",\"value\":" + value + ",\"ts\":" + std::to_string(timestamp) + "}\n";
  }
  return made;
}

std::string run(const Case& made, const ReplayOptions& options) {
  const config::Loaded loaded = config::load_text("sources:\n  a: {stdin: {}, time: " + made.time + "}\npipelines:\n  p: {from: a, steps: [" + made.steps + "], to: out}\n", "case.yaml");
  for (const auto& problem : loaded.problems)
    if (!problem.warning) FAIL(problem.text());
  ManualClock clock;
  std::vector<config::Problem> problems;
  const auto topology = Topology::build(loaded.config, clock, problems);
  for (const auto& problem : problems) FAIL(problem.text());
  std::istringstream in(made.input);
  std::ostringstream out;
  const auto done = replay(loaded.config, *topology, clock, in, out, options);
  if (!done) FAIL(done.error().message);
  return out.str();
}

// The last value of each key and window; a tombstone is as good as nothing.
std::map<std::string, std::string> last_values(const std::string& output) {
  std::map<std::string, std::string> last;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    codec::JsonDocument json;
    REQUIRE(json.parse(line));
    std::string name, value;
    for (const auto& field : json.fields()) {
      if (field.name == "key" || field.name == "window") name += std::string(field.token);
      if (field.name == "value") value = field.token;
    }
    if (value.empty() || value == "null") last.erase(name);
    else last[name] = value;
  }
  return last;
}

constexpr std::uint64_t kCases = 150;

// Silence counts from the start of the process on, so with `idle` a restart may show.
std::vector<ReplayOptions> cuts(Random& random, const Case& made) {
  std::vector<ReplayOptions> all(5);
  all[0].epoch_lines = static_cast<std::uint64_t>(pick(random, 2, 70));
  all[1].restart_every = 1;
  all[2].epoch_lines = static_cast<std::uint64_t>(pick(random, 1, 9));
  all[2].restart_every = static_cast<std::uint64_t>(pick(random, 2, 20));
  all[3].state_bytes = static_cast<std::size_t>(pick(random, 0, 3000));
  all[4].state_bytes = static_cast<std::size_t>(pick(random, 0, 3000));
  all[4].epoch_lines = static_cast<std::uint64_t>(pick(random, 1, 9));
  all[4].restart_every = static_cast<std::uint64_t>(pick(random, 1, 9));
  for (ReplayOptions& each : all) {
    each.drops = true;
    if (made.time.find("idle") != std::string::npos) each.restart_every = 0;
  }
  return all;
}

void compare_everything(const std::string& emit) {
  each_seed(kCases, [&](std::uint64_t seed) {
    Random random(seed);
    const Case made = make_case(random, emit);
    ReplayOptions plain;
    plain.drops = true;
    const std::string expected = run(made, plain);
    for (const ReplayOptions& options : cuts(random, made)) {
      INFO("epoch " << options.epoch_lines << ", restart every " << options.restart_every << ", " << options.state_bytes << " bytes\n" << made.steps << made.time << "\n" << made.input);
      REQUIRE(run(made, options) == expected);
    }
  });
}

}  // namespace

TEST_CASE("closed results are the same however the input is cut into epochs and restarts") { compare_everything("closed"); }

TEST_CASE("every change is the same however the input is cut into epochs and restarts") { compare_everything("every-change"); }

TEST_CASE("the last update of a key and window is the same however the input is cut into epochs and restarts") {
  each_seed(kCases, [](std::uint64_t seed) {
    Random random(seed);
    const Case made = make_case(random, "updates");
    Case unthinned = made;
    unthinned.steps.replace(unthinned.steps.find("emit: updates"), 13, "emit: every-change");
    const auto expected = last_values(run(unthinned, {}));
    REQUIRE(last_values(run(made, {})) == expected);
    for (ReplayOptions options : cuts(random, made)) {
      options.drops = false;
      INFO("epoch " << options.epoch_lines << ", restart every " << options.restart_every << ", " << options.state_bytes << " bytes\n" << made.steps << made.time << "\n" << made.input);
      REQUIRE(last_values(run(made, options)) == expected);
    }
  });
}
