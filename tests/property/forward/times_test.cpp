// Records whose times their topic refuses: the whole driver on the simulated cluster, which refuses a partition's batch for one of them.
#include <spdlog/spdlog.h>

#include "agent/forward/driver.h"
#include "tests/property/forward/fake_outbox.h"
#include "tests/property/forward/fake_uplink.h"
#include "tests/support/catch.h"

using namespace rivulet;
using namespace rivulet::sim;

namespace {

constexpr std::int64_t now_ms = 1'700'000'000'000, hour_ms = 3'600'000;
constexpr StreamId good = 1, bad = 2;

struct World {
  World() {
    spdlog::set_level(spdlog::level::off);
    cluster.create("rivulet-progress", 1);
    cluster.create("good", 1);
    cluster.create("bad", 1);
    cluster.latest_ms["bad"] = cluster.latest_ms["good"] = hour_ms;
    outbox.add_stream(good, "good");
    outbox.add_stream(bad, "bad");
    options.protocol.transaction_interval_ms = 50;
    options.agent_id = "gateway";
  }
  void start() {
    driver.emplace(options, outbox, uplink, clock);
    driver->start();
  }
  // Until nothing is left, or so many steps were done.
  bool drains(int steps = 2'000) {
    driver->data();
    while (steps-- > 0) {
      if (outbox.empty() && driver->protocol().state() == forward::State::idle) return true;
      const auto next = driver->step();
      if (next.waits) {
        cluster.elapse(std::max<std::int64_t>(next.until_ms - clock.steady_ms(), 1));
        driver->tick();
      }
    }
    return false;
  }
  std::vector<Sequence> set_aside(StreamId stream) {
    std::vector<Sequence> list;
    const auto found = outbox.quarantined().find(stream);
    if (found != outbox.quarantined().end())
      for (const auto& [sequence, reason] : found->second) list.push_back(sequence);
    return list;
  }
  std::uint64_t recoveries() { return driver->protocol().recoveries(); }

  ManualClock clock{now_ms};
  Dice dice{1};
  Faults faults;
  Cluster cluster{clock, dice, faults};
  FakeOutbox outbox{dice, faults};
  FakeUplink uplink{cluster, dice, faults};
  forward::DriverOptions options;
  std::optional<forward::Driver> driver;
};

}  // namespace

TEST_CASE("of a batch that is refused for the times in it all culprits are set aside after one recovery, and later ones without any") {
  World world;
  for (int i = 0; i < 50; ++i) {
    world.outbox.add_records(good, 2, now_ms);
    world.outbox.add_records(bad, 1, now_ms + 2 * hour_ms);
    world.outbox.add_records(bad, 1, now_ms);
  }
  world.start();
  const auto begun_ms = world.clock.steady_ms();
  REQUIRE(world.drains());
  CHECK(world.recoveries() == 1);
  CHECK(world.clock.steady_ms() - begun_ms < 1'000);
  CHECK(world.cluster.asked_for_limits == 1);
  CHECK(world.set_aside(good).empty());
  std::vector<Sequence> odd;
  for (Sequence s = 1; s <= 100; s += 2) odd.push_back(s);
  CHECK(world.set_aside(bad) == odd);
  CHECK_THAT(world.outbox.quarantined().at(bad).at(1), ContainsSubstring("more than 1 h ahead of the clock, which topic bad refuses (message.timestamp.after.max.ms)") &&
                                                           ContainsSubstring("timestamp.unit"));
  for (int i = 0; i < 20; ++i) {
    world.outbox.add_records(bad, 3, world.clock.wall_ms() + 2 * hour_ms);
    world.outbox.add_records(bad, 2, world.clock.wall_ms());
    world.outbox.add_records(good, 1, world.clock.wall_ms());
    REQUIRE(world.drains());
  }
  CHECK(world.recoveries() == 1);
  CHECK(world.set_aside(bad).size() == 50 + 60);
  CHECK(world.cluster.committed("good", 0).size() == 120);
}

TEST_CASE("a stream of refused records does not hold up the others however fast it is") {
  World world;
  world.start();
  for (int i = 0; i < 500; ++i) {
    world.outbox.add_records(bad, 5, world.clock.wall_ms() + 2 * hour_ms);  // more before each step
    if (i % 10 == 0) world.outbox.add_records(good, 1, world.clock.wall_ms());
    world.driver->data();
    const auto next = world.driver->step();
    if (next.waits) {
      world.cluster.elapse(std::max<std::int64_t>(next.until_ms - world.clock.steady_ms(), 1));
      world.driver->tick();
    }
  }
  CHECK(world.recoveries() <= 1);
  CHECK(world.cluster.committed("good", 0).size() > 40);
  REQUIRE(world.drains());
  CHECK(world.recoveries() <= 1);
  CHECK(world.cluster.committed("good", 0).size() == 50);
}

TEST_CASE("the limits are asked for again some minutes after a refusal: the operator may have changed the topic") {
  World world;
  world.outbox.add_records(bad, 2, now_ms + 2 * hour_ms);
  world.start();
  REQUIRE(world.drains());
  CHECK(world.set_aside(bad).size() == 2);
  world.cluster.latest_ms["bad"] = 3 * hour_ms;
  world.cluster.elapse(6 * 60'000);
  world.outbox.add_records(bad, 2, world.clock.wall_ms() + 2 * hour_ms);
  REQUIRE(world.drains());
  CHECK(world.set_aside(bad).size() == 2);
}

TEST_CASE("where nobody may ask for the limits, Kafka's own of one hour is taken") {
  World world;
  world.cluster.says_limits = false;
  world.outbox.add_records(bad, 10, now_ms);
  world.outbox.add_records(bad, 10, now_ms + 2 * hour_ms);
  world.start();
  REQUIRE(world.drains());
  CHECK(world.recoveries() == 1);
  CHECK(world.set_aside(bad).size() == 10);
}

TEST_CASE("a limit that is lower than what is known is searched for by halves, and everything else arrives") {
  World world;
  world.cluster.says_limits = false;
  world.cluster.latest_ms["bad"] = hour_ms / 2;
  world.outbox.add_records(bad, 40, now_ms);
  world.outbox.add_records(bad, 1, now_ms + hour_ms * 3 / 4);
  world.outbox.add_records(bad, 40, now_ms);
  world.start();
  REQUIRE(world.drains());
  CHECK(world.set_aside(bad) == std::vector<Sequence>{41});
  CHECK(world.recoveries() < 15);
}

TEST_CASE("a device that is ahead by the limit to the second, as by an hour of time zone, costs few recoveries though the clocks differ") {
  World world;
  world.cluster.clock_ahead_ms = -3'000;
  world.start();
  for (int i = 0; i < 30; ++i) {
    world.outbox.add_records(bad, 3, world.clock.wall_ms() + hour_ms - 1'500 + i % 7 * 100);
    REQUIRE(world.drains());
  }
  CHECK(world.recoveries() <= 3);
  CHECK(world.set_aside(bad).size() == 90);
}

TEST_CASE("records that the topic takes although this device's clock is slow are not set aside with one that it refuses") {
  World world;
  world.cluster.clock_ahead_ms = 5 * hour_ms;
  const auto real_ms = [&] { return world.clock.wall_ms() + 5 * hour_ms; };
  world.outbox.add_records(bad, 10, real_ms());
  world.start();
  REQUIRE(world.drains());
  CHECK(world.recoveries() == 0);
  for (int i = 0; i < 5; ++i) {
    world.outbox.add_records(bad, 10, real_ms());
    world.outbox.add_records(bad, 1, real_ms() + 3 * hour_ms);
    REQUIRE(world.drains());
  }
  CHECK(world.set_aside(bad) == std::vector<Sequence>{21, 32, 43, 54, 65});
}

TEST_CASE("when even the progress record is refused for its time, forwarding says so instead of giving up records") {
  World world;
  world.cluster.clock_ahead_ms = -2 * hour_ms;
  world.cluster.latest_ms["rivulet-progress"] = hour_ms;
  world.outbox.add_records(bad, 10, now_ms);
  world.start();
  CHECK_FALSE(world.drains(200));
  CHECK_THAT(world.driver->protocol().alarm(), ContainsSubstring("clock"));
  CHECK(world.set_aside(bad).empty());
}

TEST_CASE("the limits are read from a topic's settings, of old and new Kafka") {
  using forward::TimeLimits;
  const auto limits = [](std::map<std::string, std::string> settings) {
    const auto found = forward::time_limits(settings);
    return std::pair{found.after_ms, found.before_ms};
  };
  const auto none = TimeLimits::none;
  CHECK(limits({}) == std::pair<std::int64_t, std::int64_t>{hour_ms, none});
  CHECK(limits({{"message.timestamp.after.max.ms", "7200000"}, {"message.timestamp.before.max.ms", "9223372036854775807"}}) == std::pair{2 * hour_ms, none});
  CHECK(limits({{"message.timestamp.after.max.ms", "9223372036854775807"}, {"message.timestamp.before.max.ms", "86400000"}}) == std::pair{none, 24 * hour_ms});
  CHECK(limits({{"message.timestamp.difference.max.ms", "1000"}}) == std::pair<std::int64_t, std::int64_t>{1'000, 1'000});
  CHECK(limits({{"message.timestamp.type", "LogAppendTime"}, {"message.timestamp.after.max.ms", "1"}}) == std::pair{none, none});
  CHECK(limits({{"message.timestamp.after.max.ms", "soon"}}) == std::pair<std::int64_t, std::int64_t>{hour_ms, none});
}
