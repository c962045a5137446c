// Whatever pipelines failed and wherever: after they are put right and the quarantined records have gone on, the results are those of pipelines that
// were right from the beginning, each once.
#include <algorithm>
#include <map>

#include "agent/base/clock.h"
#include "agent/pipeline/state/memory.h"
#include "agent/pipeline/topology.h"
#include "tests/support/seeds.h"

using namespace rivulet;
using namespace rivulet::pipeline;
using rivulet::test::each_seed;
using rivulet::test::Random;

namespace {

using Texts = std::vector<std::string>;

// Null, but for one record in five it fails: another one at each place.
std::string fails_at(std::size_t place) { return "json_extract(iif(i % 5 = " + std::to_string(place % 5) + ", '{', '{}'), '$.none')"; }
const std::string kNever = "json_extract('{}', '$.none')";

// Steps in the flow style of YAML; RISK stands where it may fail.
std::string step(Random& random, int number) {
  const std::string at = std::to_string(number);
  switch (random.below(10)) {
    case 0: return "{set: {n: \"n + 1\"}}";
    case 1: return "{set: {n: \"n * 2\", s" + at + ": \"coalesce(RISK, n)\"}}";
    case 2: return "{where: \"coalesce(RISK, n) % 7 <> 0\"}";
    case 3: return "{rename: {s: t, t: s}}";
    case 4: return "{select: {i: i, n: \"n + coalesce(RISK, 3)\", s: s, t: t, list: list}}";
    case 5: return "{key: \"coalesce(RISK, 'k' || i % 5)\"}";
    case 6: return "{timestamp: \"coalesce(RISK, i * 10)\"}";
    case 7: return "{flatten: {explode: list}}";
    case 8: return "{route: {name: r" + at + ", cases: [{when: \"coalesce(RISK, n) % 4 = 1\", to: routed-" + at + "}]}}";
    default: return "{drop: [t]}";
  }
}

std::string pipelines(Random& random) {
  std::string text;
  const std::size_t count = 1 + random.below(3);
  bool sums = true;  // the pipeline before: its results depend on the order
  for (std::size_t i = 0; i < count; ++i) {
    const std::string name = "p" + std::to_string(i);
    text += "  " + name + ": {from: " + (!sums && random.one_in(2) ? "p" + std::to_string(i - 1) : "in") + ", steps: [";
    const int steps = static_cast<int>(random.below(6));
    for (int s = 0; s < steps; ++s) text += (s == 0 ? "" : ", ") + step(random, s);
    sums = random.one_in(3);
    if (sums) text += std::string(steps == 0 ? "" : ", ") + "{aggregate: {name: sums, by: \"i % 2\", select: {c: count(*), sum: \"sum(n)\"}, emit: every-change}}";
    text += "], to: [out-" + name + (!sums && random.one_in(2) ? ", {topic: other-" + name + ", key: \"coalesce(RISK, 1)\"}" : "") + "]}\n";
  }
  return text;
}

struct Running final : Outputs {
  ManualClock clock;
  std::unique_ptr<Topology> topology;
  StateMemory memory;
  std::unique_ptr<StateStore> state;
  std::map<std::string, Texts> results;                     // by topic
  std::map<std::string, std::map<std::string, std::string>> latest;  // of aggregates, by topic and key
  std::vector<store::QuarantineEntry> quarantined;
  const std::string text;

  Running(const std::string& pipelines_text, bool fails, StateMemory before = {})
      : memory(std::move(before)), text(with("agent: {id: g}\nsources:\n  in: {stdin: {}, key: \"coalesce(RISK, i % 4)\"}\npipelines:\n" + pipelines_text, fails)) {
    const config::Loaded loaded = config::load_text(text, "case.yaml");
    for (const auto& problem : loaded.problems)
      if (!problem.warning) FAIL(text << problem.text());
    std::vector<config::Problem> problems;
    topology = Topology::build(loaded.config, clock, problems);
    for (const auto& problem : problems) FAIL(text << problem.text());
    if (!topology->stateful()) return;
    state = std::make_unique<StateStore>(memory, std::size_t{1} << 20);
    REQUIRE(topology->attach(*state));
  }
  static std::string with(std::string text, bool fails) {
    std::size_t place = 0;
    for (std::size_t at; (at = text.find("RISK")) != std::string::npos; ++place) text.replace(at, 4, fails ? fails_at(place) : kNever);
    return text;
  }

  // Of an aggregate the last result of a key counts: what it had seen before depends on the order.
  void emit(std::size_t output, const Record& record) override {
    const std::string& topic = topology->outputs()[output].topic;
    const std::string value = record.value.value_or("null"), key = record.key.value_or("null");
    if (value.find("\"sum\"") != std::string::npos) latest[topic][key] = value;
    else results[topic].push_back(key + " " + value + " " + std::to_string(record.timestamp_ms));
  }
  void quarantine(store::QuarantineEntry entry) override { quarantined.push_back(std::move(entry)); }

  void take(int number) {
    std::string list;
    for (int i = 0; i < number % 4; ++i) list += (i == 0 ? "" : ",") + std::to_string(i);
    const std::string frame = "{\"i\":" + std::to_string(number) + ",\"n\":" + std::to_string(number * 7 % 11) + ",\"s\":\"x" + std::to_string(number) + "\",\"t\":null,\"list\":[" + list + "]}";
    topology->arrive(0, {frame, "", number}, *this);
  }
  void sort() {
    for (auto& [topic, all] : results) std::sort(all.begin(), all.end());
  }
};

}  // namespace

TEST_CASE("what goes on from the quarantine ends where it would have come without failing") {
  std::size_t runs = 0, retried = 0;
  each_seed(300, [&](std::uint64_t seed) {
    ++runs;
    Random random(seed);
    const std::string text = pipelines(random);
    Running failing(text, true), right(text, false);
    for (int i = 0; i < 30; ++i) {
      failing.take(i);
      right.take(i);
    }
    REQUIRE(right.quarantined.empty());
    if (failing.topology->stateful()) {
      failing.topology->end_epoch(failing);
      const auto changes = failing.state->take_changes();
      failing.memory.commit(changes);
      failing.state->durable(changes.number);
    }
    INFO(failing.text);
    Running after(text, false, failing.memory);
    after.results = failing.results;
    after.latest = failing.latest;
    for (const auto& entry : failing.quarantined) {
      const auto done = after.topology->retry(entry, after);
      INFO(entry.place << ": " << (done ? "" : done.error().message));
      REQUIRE(done);
      ++retried;
    }
    CHECK(after.quarantined.empty());
    after.sort();
    right.sort();
    CHECK(after.results == right.results);
    CHECK(after.latest == right.latest);
  });
  if (runs >= 20) CHECK(retried > runs * 17);  // what is retried is not mostly nothing
}
