#include "tests/property/forward/simulation.h"

#include "agent/kafka/rv_header.h"
#include "agent/kafka/verify.h"
#include "tests/property/forward/fake_outbox.h"
#include "tests/property/forward/fake_uplink.h"

namespace rivulet::sim {
namespace {

const std::vector<std::pair<StreamId, std::string>> streams{{1, "alpha"}, {2, "beta"}, {3, "alpha"}};
constexpr Timestamp far_ahead_ms = 4'000'000'000'000;
constexpr int max_steps = 200'000;  // of one life: more than ten times what was ever needed

struct World {
  explicit World(const Plan& plan) : dice(plan.seed), faults(plan.faults), cluster(clock, dice, faults), outbox(dice, faults) {
    cluster.create("rivulet-progress", 3);
    cluster.create("alpha", 3);
    if (!plan.missing_topic) cluster.create("beta", 1);
    for (const auto& [id, topic] : streams) outbox.add_stream(id, topic);
    for (int i = 0; i < plan.poisoned; ++i) {
      cluster.poison.insert(FakeOutbox::value(static_cast<StreamId>(dice.between(1, 3)), static_cast<Sequence>(dice.between(1, plan.records))));
    }
    if (plan.ahead > 0) cluster.latest_ms["alpha"] = cluster.latest_ms["beta"] = 3'600'000;
    for (int i = 0; i < plan.ahead; ++i)
      outbox.times[static_cast<StreamId>(dice.between(1, 3))][static_cast<Sequence>(dice.between(1, plan.records))] = far_ahead_ms + dice.between(0, 9'999);
  }
  ManualClock clock;
  Dice dice;
  Faults faults;
  Cluster cluster;
  FakeOutbox outbox;
};

forward::DriverOptions options_of(const Plan& plan, World& world) {
  forward::DriverOptions options;
  options.protocol.transaction_interval_ms = 50;
  options.protocol.idle_close_ms = 2'000;
  options.protocol.seed = static_cast<std::uint64_t>(world.dice.between(0, 1'000'000));
  options.agent_id = "gateway";
  options.transaction_max_bytes = 20'000;
  if (plan.options) plan.options(options);
  return options;
}

// One process: until it crashes (false), ends with an alarm, or has nothing left to do (true).
bool live(const Plan& plan, World& world, int& left, int& steps, Outcome& outcome) {
  FakeUplink uplink(world.cluster, world.dice, world.faults);
  forward::Driver driver(options_of(plan, world), world.outbox, uplink, world.clock);
  const auto leave = [&] {
    outcome.recoveries += driver.protocol().recoveries();
    outcome.transactions += driver.protocol().transactions();
  };
  const auto stop_cleanly = world.dice.hit(300);
  try {
    driver.start();
    for (; steps < max_steps; ++steps) {
      if (left > 0 && world.dice.hit(60)) {
        const auto burst = static_cast<std::uint64_t>(std::min<std::int64_t>(left, world.dice.between(1, 30)));
        for (const auto& [id, topic] : streams) world.outbox.add_records(id, burst);
        left -= static_cast<int>(burst);
        driver.data();
      }
      if (world.dice.hit(world.faults.other_agent)) {
        world.cluster.other_agent({"alpha", static_cast<std::int32_t>(world.dice.between(0, 2))});
        world.cluster.other_agent({"rivulet-progress", static_cast<std::int32_t>(world.dice.between(0, 2))});
      }
      if (world.dice.hit(world.faults.full)) world.outbox.drop_oldest();
      if (steps > 2'000 && !world.cluster.topics().contains("beta")) world.cluster.create("beta", 1);
      if (left > 0 && stop_cleanly && world.dice.hit(5)) driver.stop();
      const auto state = driver.protocol().state();
      if (state == forward::State::stopped) {
        outcome.alarm = driver.protocol().alarm();
        leave();
        return true;
      }
      const auto resting = state == forward::State::idle || state == forward::State::asleep;
      if (left == 0 && resting && world.outbox.empty()) {
        outcome.finished = true;
        leave();
        return true;
      }
      const auto next = driver.step();
      if (next.ended) {
        leave();
        return false;
      }
      if (!next.waits) continue;
      const auto until = std::min(next.until_ms, world.clock.steady_ms() + 500);
      if (until > world.clock.steady_ms()) world.cluster.elapse(until - world.clock.steady_ms());
      if (until >= next.until_ms) driver.tick();
    }
  } catch (const Crash&) {
    ++outcome.crashes;
    leave();
    return false;
  }
  leave();
  return true;  // it hangs: finished stays false
}

void count(World& world, Outcome& outcome) {
  std::map<StreamId, std::map<Sequence, int>> seen;
  for (const auto& [topic, partitions] : world.cluster.topics()) {
    if (topic == "rivulet-progress") continue;
    for (std::size_t p = 0; p < partitions.size(); ++p) {
      std::map<StreamId, Sequence> last;
      for (const auto& [offset, entry] : world.cluster.committed(topic, static_cast<int>(p))) {
        const auto rv = kafka::decode_rv(entry.rv);
        if (!rv) continue;  // somebody else's
        auto first = rv->sequence;
        if (const auto gap = kafka::decode_rv_gap(entry.rv_gap)) {
          first = gap->first;
          outcome.gaps += gap->last - gap->first + 1;
        } else if (entry.value != FakeOutbox::value(rv->stream, rv->sequence)) {
          ++outcome.missing;
        }
        for (auto s = first; s <= rv->sequence; ++s) ++seen[rv->stream][s];
        if (first <= last[rv->stream]) ++outcome.out_of_order;
        last[rv->stream] = rv->sequence;
      }
    }
  }
  const auto infos = world.outbox.streams().value();
  for (const auto& info : infos) {
    for (Sequence s = 1; s <= info.last; ++s) {
      const auto times = seen[info.id][s];
      if (times == 0) ++outcome.missing;
      if (times > 1) outcome.duplicates += static_cast<std::uint64_t>(times - 1);
    }
  }
  outcome.quarantined = world.outbox.gaps();
  outcome.dropped_while_prepared = world.outbox.dropped_while_prepared();
}

}  // namespace

std::string Outcome::text() const {
  return (finished ? "finished" : alarm.empty() ? "did not finish" : "alarm: " + alarm) + "; missing " + std::to_string(missing) + ", duplicates " +
         std::to_string(duplicates) + ", out of order " + std::to_string(out_of_order) + "; crashes " + std::to_string(crashes) + ", recoveries " +
         std::to_string(recoveries) + ", transactions " + std::to_string(transactions);
}

Outcome simulate(const Plan& plan) {
  World world(plan);
  Outcome outcome;
  int left = plan.records, steps = 0;
  while (!live(plan, world, left, steps, outcome)) {
    world.outbox.lose_what_is_not_durable();
    if (steps > max_steps / 2) world.faults = {};  // so many faults that nothing gets done
  }
  world.faults = {};
  world.cluster.elapse(20'000);  // whatever is still late arrives
  count(world, outcome);
  return outcome;
}

}  // namespace rivulet::sim
