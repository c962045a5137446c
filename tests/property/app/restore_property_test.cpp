// Devices that are lost: an agent with changelogs on a real store, its forwarder on a simulated cluster in which everything fails at random;
// again and again the store is gone and restored from the changelog. Its results, over all incarnations, must be those of an agent
// that nothing ever happened to, each once, whatever part of the epochs had been forwarded.
#include <algorithm>
#include <map>

#include "agent/app/restore_store.h"
#include "agent/forward/driver.h"
#include "agent/forward/restore.h"
#include "agent/kafka/rv_header.h"
#include "tests/property/forward/fake_uplink.h"
#include "tests/support/seeds.h"
#include "tests/unit/app/agent_fixture.h"

using namespace rivulet;
using namespace rivulet::test;

namespace {

constexpr int kInputs = 150;
const std::string kPipelines =
    "pipelines:\n"
    "  copy: {from: a, to: t-copy, changelog: changelog}\n"
    "  sums: {from: a, steps: [{timestamp: ts}, {key: k}, {aggregate: {window: {tumbling: 40ms, grace: 15ms}, select: {n: count(*), s: sum(i)}, emit: closed}}], to: t-sums, changelog: changelog}\n"
    "  each: {from: a, steps: [{timestamp: ts}, {key: k}, {aggregate: {window: {session: 20ms}, select: {n: count(*)}, emit: every-change}}], to: t-each, changelog: changelog}\n"
    "  apart: {from: b, to: t-apart}\n";
const std::vector<std::string> kTopics{"t-copy", "t-sums", "t-each"};

std::string input(int i) {  // out of order now and then, some too late
  const int ts = i * 7 - (i % 5 == 0 ? 30 : 0) - (i % 17 == 0 ? 120 : 0) + 200;
  return "{\"i\":" + std::to_string(i) + ",\"ts\":" + std::to_string(ts) + ",\"k\":\"k" + std::to_string(i % 3) + "\"}";
}

struct Device {
  explicit Device(sim::Dice& dice) : dice_(dice) { open(); }

  void open() { agent = std::make_unique<AgentFixture>(folder->path(), 5, kPipelines); }
  int next() {
    const auto& at = agent->a().intake.positions_at_start();
    return at.contains("at") ? std::stoi(at.at("at")) + 1 : 0;
  }
  // Some more inputs, in epochs of a few; durable when it returns.
  void take(int count) {
    if (at_ < 0) REQUIRE(agent->until([&] { return agent->a().started; }));
    if (at_ < 0) at_ = next();
    while (count > 0 && at_ < kInputs) {
      EpochNumber epoch = 0;
      for (auto some = dice_.between(1, 12); some > 0 && count > 0 && at_ < kInputs; --some, --count, ++at_) {
        epoch = agent->a().send(input(at_));
        agent->a().intake.set_position("at", std::to_string(at_));
        if (dice_.hit(200)) agent->a().intake.set_position("now and then", std::to_string(at_));
        if (dice_.hit(200)) agent->a().intake.erase_position("now and then");
      }
      REQUIRE(agent->until([&] { return agent->a().durable_up_to() >= epoch; }));
    }
  }
  bool through() const { return at_ >= kInputs; }

  sim::Dice& dice_;
  std::unique_ptr<Folder> folder = std::make_unique<Folder>();
  std::unique_ptr<AgentFixture> agent;
  int at_ = -1;
};

forward::DriverOptions driver_options(const AgentFixture& agent, sim::Dice& dice, bool apart) {
  forward::DriverOptions options;
  options.protocol.transaction_interval_ms = 50;
  options.protocol.idle_close_ms = 2'000;
  options.protocol.seed = static_cast<std::uint64_t>(dice.between(0, 1'000'000));
  options.agent_id = "test";
  options.incarnation = agent.store->identity().incarnation;
  options.history = agent.store->identity().history;
  options.transaction_max_bytes = static_cast<std::uint64_t>(dice.between(2'000, 40'000));
  options.units = agent.agent->units();
  options.changelog_apart = apart;
  return options;
}

struct Life {
  bool crashed = false, drained = false;
  std::string alarm;
};

// The forwarder for some steps, or until everything is in Kafka.
Life forward_some(Device& device, sim::Cluster& cluster, sim::Dice& dice, sim::Faults& faults, ManualClock& clock, int steps, bool apart) {
  Life life;
  forward::StoreOutbox outbox(*device.agent->store);
  sim::FakeUplink uplink(cluster, dice, faults);
  forward::Driver driver(driver_options(*device.agent, dice, apart), outbox, uplink, clock);
  try {
    driver.start();
    driver.data();
    for (; steps > 0; --steps) {
      const auto state = driver.protocol().state();
      life.alarm = driver.protocol().alarm();
      if (state == forward::State::stopped) return life;
      const auto streams = outbox.streams().value();
      life.drained = std::all_of(streams.begin(), streams.end(), [](const auto& s) { return s.acknowledged == s.last; });
      if (life.drained && (state == forward::State::idle || state == forward::State::asleep)) return life;
      const auto next = driver.step();
      if (next.ended) return life;
      if (!next.waits) continue;
      const auto until = std::min(next.until_ms, clock.steady_ms() + 500);
      if (until > clock.steady_ms()) cluster.elapse(until - clock.steady_ms());
      if (until >= next.until_ms) driver.tick();
    }
  } catch (const sim::Crash&) {
    life.crashed = true;
  }
  life.drained = false;
  return life;
}

std::map<std::string, std::vector<std::string>> reference() {
  sim::Dice dice(1);
  Device device(dice);
  device.take(kInputs);
  std::map<std::string, std::vector<std::string>> results;
  const auto streams = device.agent->store->streams().value();
  for (const auto& stream : streams) {
    const auto packs = device.agent->store->read(stream.id, 0, SIZE_MAX).value();
    for (const auto& pack : packs)
      for (const auto& record : pack.records) results[stream.topic].emplace_back(record.value.value_or("null"));
  }
  return results;
}

struct Outcome {
  std::uint64_t missing = 0, twice = 0, wrong = 0, restores = 0;
  std::string alarm;
  bool exact() const { return missing + twice + wrong == 0 && alarm.empty(); }
};

void count(const sim::Cluster& cluster, const std::map<std::string, std::vector<std::string>>& expected, Outcome& outcome) {
  for (const auto& topic : kTopics) {
    std::map<Sequence, int> seen;
    const auto& values = expected.at(topic);
    for (std::size_t p = 0; p < cluster.topics().at(topic).size(); ++p) {
      Sequence last = 0;
      for (const auto& [offset, entry] : cluster.committed(topic, static_cast<int>(p))) {
        const auto rv = kafka::decode_rv(entry.rv);
        REQUIRE(rv);
        ++seen[rv->sequence];
        if (rv->sequence > values.size() || values[rv->sequence - 1] != (entry.has_value ? entry.value : "null") || rv->sequence <= last) ++outcome.wrong;
        last = rv->sequence;
      }
    }
    for (Sequence s = 1; s <= values.size(); ++s) {
      outcome.missing += seen[s] == 0 ? 1 : 0;
      outcome.twice += seen[s] > 1 ? 1 : 0;
    }
  }
}

Outcome live(std::uint64_t seed, const std::map<std::string, std::vector<std::string>>& expected, bool apart = false) {
  Outcome outcome;
  ManualClock clock;
  sim::Dice dice(seed);
  sim::Faults faults;
  sim::Cluster cluster(clock, dice, faults);
  cluster.create("rivulet-progress", 3);
  cluster.create("changelog", static_cast<int>(dice.between(1, 3)));
  cluster.compacted.insert("changelog");
  for (const auto& topic : kTopics) cluster.create(topic, 2);
  cluster.create("t-apart", 1);
  Device device(dice);
  bool complete = false;  // the changelog, in Kafka
  for (int round = 0; round < 200; ++round) {
    faults = round < 60 ? sim::Faults{3, 5, 10, 10, 5, 10, 0, 0, 5} : sim::Faults{};
    device.take(static_cast<int>(dice.between(0, 25)));
    const auto life = forward_some(device, cluster, dice, faults, clock, round < 60 ? static_cast<int>(dice.between(5, 150)) : 5'000, apart);
    outcome.alarm = life.alarm;
    if (!life.alarm.empty() && life.alarm.find("hangs") == std::string::npos) break;
    if (device.through() && life.drained) break;
    faults = {};
    cluster.link_up = true;
    cluster.elapse(20'000);  // whatever is still late arrives
    const auto key = store::changelog_key("test", store::ChangelogKind::header);
    for (std::size_t p = 0; p < cluster.topics().at("changelog").size(); ++p)
      for (const auto& [offset, entry] : cluster.committed("changelog", static_cast<int>(p))) complete = complete || entry.key == key;
    if (!complete || !dice.hit(400)) {  // a restart
      device.agent.reset();
      device.at_ = -1;
      device.open();
      continue;
    }
    device.agent.reset();
    device.folder = std::make_unique<Folder>();
    device.at_ = -1;
    {
      const SystemClock now;
      store::Options options;
      options.directory = device.folder->path();
      options.agent_id = "test";
      options.max_bytes = 64 << 20;
      auto store = store::Store::open(options, now).value();
      sim::FakeUplink uplink(cluster, dice, faults);
      forward::RestoreOptions wanted;
      wanted.agent_id = "test";
      wanted.changelogs = {"changelog"};
      const auto restored = forward::restore(wanted, *store, uplink, now);
      INFO((restored ? std::string("restored") : restored.error().message));
      REQUIRE(restored);
      ++outcome.restores;
    }
    device.open();
  }
  cluster.elapse(20'000);
  count(cluster, expected, outcome);
  return outcome;
}

// Kafka is as it was until the device before is being fenced.
class FailsMidway final : public sim::FakeUplink {
 public:
  enum class At { offsets, read, header };
  FailsMidway(sim::Cluster& cluster, sim::Dice& dice, sim::Faults& faults, At at) : FakeUplink(cluster, dice, faults), at_(at) {}
  kafka::Offsets high_watermarks(const std::vector<kafka::TopicPartition>& where, std::int64_t timeout_ms) override {
    begun_ = true;
    return at_ == At::offsets ? kafka::Offsets{denied(), {}} : FakeUplink::high_watermarks(where, timeout_ms);
  }
  kafka::Reader::Progress read(const kafka::ReadRange& range, std::int64_t timeout_ms, const std::function<bool()>& give_up,
                               const std::function<bool(const kafka::Fetched&)>& take) override {
    if (begun_ && at_ == At::read) return {denied(), {range.from}};
    if (begun_ && at_ == At::header) return {{}, {range.until}};  // its records are gone
    return FakeUplink::read(range, timeout_ms, give_up, take);
  }

 private:
  static forward::Failure denied() { return {forward::FailureKind::topic, 29, "Topic authorization failed"}; }
  At at_;
  bool begun_ = false;
};

}  // namespace

TEST_CASE("an agent whose restore fails midway does not begin from nothing, and restores at its next start") {
  sim::Dice dice(1);
  sim::Faults faults;
  ManualClock clock;
  sim::Cluster cluster(clock, dice, faults);
  cluster.create("rivulet-progress", 3);
  cluster.create("changelog", 1);
  cluster.compacted.insert("changelog");
  for (const auto& topic : kTopics) cluster.create(topic, 2);
  cluster.create("t-apart", 1);
  Device device(dice);
  device.take(kInputs);
  REQUIRE(forward_some(device, cluster, dice, faults, clock, 5'000, false).drained);
  for (const auto at : {FailsMidway::At::offsets, FailsMidway::At::read, FailsMidway::At::header}) {
    const Folder folder;
    const SystemClock now;
    auto config = config_of(folder.path(), "", kPipelines);
    config.agent.restore = true;
    config.kafka.emplace();
    store::Options options;
    options.directory = folder.path();
    options.agent_id = "test";
    auto store = store::Store::open(options, now).value();
    FailsMidway failing(cluster, dice, faults, at);
    const auto first = app::restore_at_start(config, *store, failing, now);
    REQUIRE_FALSE(first);
    CHECK_THAT(first.error().message, ContainsSubstring("at each start") && ContainsSubstring(folder.path()));
    CHECK(store->fact(store::kRestoringFact).value());
    sim::FakeUplink uplink(cluster, dice, faults);
    const auto second = app::restore_at_start(config, *store, uplink, now);
    INFO((second ? std::string("restored") : second.error().message));
    CHECK(second);
    CHECK_FALSE(store->fact(store::kRestoringFact).value());
    CHECK(store->streams().value().size() > kTopics.size());
  }
}

TEST_CASE("whatever part of the epochs was forwarded when a device is lost, its successor's results are those of one that was never lost") {
  const auto expected = reference();
  REQUIRE(expected.at("t-sums").size() > 20);
  std::uint64_t restores = 0;
  each_seed(12, [&](std::uint64_t seed) {
    const auto outcome = live(seed, expected);
    INFO("missing " << outcome.missing << ", twice " << outcome.twice << ", wrong " << outcome.wrong << ", restores " << outcome.restores << " " << outcome.alarm);
    CHECK(outcome.exact());
    restores += outcome.restores;
  });
  CHECK(restores > 0);
}

TEST_CASE("results in another transaction than their changelog are noticed") {
  const auto expected = reference();
  int noticed = 0;
  for (std::uint64_t seed = 1; seed <= 12 && noticed == 0; ++seed) noticed += live(seed, expected, true).exact() ? 0 : 1;
  CHECK(noticed > 0);
}
