// The driver on a simulated cluster where single calls take their time, or another process goes on.
#include <spdlog/spdlog.h>

#include "agent/forward/driver.h"
#include "tests/property/forward/fake_outbox.h"
#include "tests/property/forward/fake_uplink.h"
#include "tests/support/catch.h"

using namespace rivulet;
using namespace rivulet::sim;

namespace {

// Questions to the cluster take a round trip, records to be produced their own time.
class SlowUplink final : public FakeUplink {
 public:
  SlowUplink(Cluster& cluster, Dice& dice, Faults& faults) : FakeUplink(cluster, dice, faults), cluster_(cluster) {}
  std::int64_t round_trip_ms = 0, produce_ms = 0;

  kafka::TopicAnswer metadata(const std::string& topic, std::int64_t timeout_ms) override {
    return too_late(timeout_ms) ? kafka::TopicAnswer{unanswered(), {}} : FakeUplink::metadata(topic, timeout_ms);
  }
  kafka::Offsets stable_offsets(const std::vector<kafka::TopicPartition>& where, std::int64_t timeout_ms) override {
    return too_late(timeout_ms) ? kafka::Offsets{unanswered(), {}} : FakeUplink::stable_offsets(where, timeout_ms);
  }
  kafka::Offsets high_watermarks(const std::vector<kafka::TopicPartition>& where, std::int64_t timeout_ms) override {
    return too_late(timeout_ms) ? kafka::Offsets{unanswered(), {}} : FakeUplink::high_watermarks(where, timeout_ms);
  }
  kafka::Reader::Watermarks committed_range(const kafka::TopicPartition& where, std::int64_t timeout_ms, const std::function<bool()>& give_up) override {
    for (int question = 0; question < 2; ++question)
      if (too_late(timeout_ms)) return {unanswered(), 0, 0};
    return FakeUplink::committed_range(where, timeout_ms, give_up);
  }
  forward::Failure send(const kafka::Message& message, std::int64_t timeout_ms) override {
    cluster_.elapse(produce_ms);
    return FakeUplink::send(message, timeout_ms);
  }

 private:
  bool too_late(std::int64_t timeout_ms) {
    cluster_.elapse(std::min(round_trip_ms, timeout_ms));
    return timeout_ms < round_trip_ms;
  }
  static forward::Failure unanswered() { return {forward::FailureKind::pending, -185, "timed out"}; }
  Cluster& cluster_;
};

struct World {
  World() {
    spdlog::set_level(spdlog::level::off);
    cluster.create("rivulet-progress", 1);
    cluster.create("one", 1);
    outbox.add_stream(1, "one");
    outbox.add_stream(2, "two");
    options.protocol.transaction_interval_ms = 50;
    options.agent_id = "gateway";
    uplink.emplace(cluster, dice, faults);
  }
  void start() {
    uplink.emplace(cluster, dice, faults);
    driver.emplace(options, outbox, *uplink, clock);
    driver->start();
  }
  // Steps until `condition` holds, for so much of the simulated time at most.
  template <class Condition>
  bool runs(std::int64_t limit_ms, const Condition& condition) {
    const auto end_ms = clock.steady_ms() + limit_ms;
    for (int steps = 0; steps < 10'000 && clock.steady_ms() < end_ms; ++steps) {
      if (condition()) return true;
      const auto next = driver->step();
      if (!next.waits) continue;
      cluster.elapse(std::max<std::int64_t>(next.until_ms - clock.steady_ms(), 1));
      driver->tick();
    }
    return condition();
  }
  bool drains(std::int64_t limit_ms) {
    return runs(limit_ms, [&] { return outbox.empty() && driver->protocol().state() == forward::State::idle; });
  }

  ManualClock clock{1'700'000'000'000};
  Dice dice{1};
  Faults faults;
  Cluster cluster{clock, dice, faults};
  FakeOutbox outbox{dice, faults};
  forward::DriverOptions options;
  std::optional<SlowUplink> uplink;
  std::optional<forward::Driver> driver;
};

}  // namespace

TEST_CASE("a topic whose turn comes while a transaction is being sent is tried after it, without new data") {
  World world;
  world.outbox.add_records(1, 1);
  world.outbox.add_records(2, 1);
  world.start();
  world.uplink->produce_ms = 3'000;  // topic "two" is missing, and waits for 1 s
  REQUIRE(world.runs(60'000, [&] { return world.driver->protocol().state() == forward::State::flushing; }));
  REQUIRE(world.driver->protocol().holds().all().contains("two"));
  world.cluster.create("two", 1);
  CHECK(world.drains(60'000));
}

TEST_CASE("records are forwarded on a link with a round trip of more than a second") {
  World world;
  world.cluster.create("two", 1);
  world.outbox.add_records(1, 10);
  world.outbox.add_records(2, 10);
  world.start();
  world.uplink->round_trip_ms = 1'500;
  CHECK(world.drains(120'000));
  INFO(world.driver->protocol().last_error() << " " << forward::name_of(world.driver->protocol().state()));
  CHECK(world.driver->protocol().recoveries() == 0);
}

TEST_CASE("records that were sent without headers are known again when headers were switched on since") {
  World world;
  world.cluster.create("two", 1);
  world.outbox.add_records(1, 10);
  world.options.headers = false;
  world.start();
  REQUIRE(world.runs(60'000, [&] { return world.driver->protocol().state() == forward::State::trimming; }));
  world.options.headers = true;  // the process ended here, PREPARED is left
  world.start();
  CHECK(world.drains(120'000));
  CHECK(world.driver->protocol().alarm().empty());
  CHECK(world.cluster.committed("one", 0).size() == 10);
}

TEST_CASE("facts that the store cannot give at once are asked for again, and nothing is sent before") {
  World world;
  world.cluster.create("two", 1);
  world.outbox.add_records(1, 10);
  world.outbox.failing_calls = GENERATE(1, 3, 5);
  world.start();
  CHECK(world.cluster.committed("one", 0).empty());
  CHECK(world.drains(60'000));
  CHECK(world.driver->protocol().alarm().empty());
  CHECK(world.cluster.committed("one", 0).size() == 10);
}

TEST_CASE("that the last process ended cleanly is forgotten before anything is sent, though the disk is full at first") {
  World world;
  world.cluster.create("two", 1);
  const auto is_clean = [&] { return world.outbox.fact(forward::clean_fact)->has_value(); };
  world.start();
  REQUIRE(world.drains(60'000));
  world.driver->stop();
  REQUIRE(world.runs(60'000, [&] { return world.driver->protocol().state() == forward::State::ended; }));
  world.driver->step();  // what is left to store
  REQUIRE(is_clean());
  world.outbox.add_records(1, 10);
  world.outbox.failing_calls = 6;  // five facts are read: the sixth call forgets
  world.start();
  world.outbox.failing_calls = 0;
  REQUIRE(world.runs(60'000, [&] { return world.driver->protocol().state() == forward::State::sending; }));
  CHECK_FALSE(is_clean());
  CHECK(world.drains(60'000));
}

TEST_CASE("a process that waits for the store's facts can be stopped, and does not count as ended cleanly") {
  World world;
  world.outbox.failing_calls = 1'000;
  world.start();
  REQUIRE(world.driver->step().waits);
  world.driver->stop();
  CHECK(world.runs(10'000, [&] { return world.driver->protocol().state() == forward::State::ended; }));
  world.driver->step();
  world.outbox.failing_calls = 0;
  CHECK_FALSE(world.outbox.fact(forward::clean_fact)->has_value());
}
