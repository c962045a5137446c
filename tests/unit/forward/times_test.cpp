// Records whose times their topic refuses while this device's clock is wrong: the driver with a real store, on a Kafka that has nothing but a clock.
#include "agent/forward/times.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <future>
#include <map>
#include <set>

#include "agent/forward/driver.h"
#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"

using namespace rivulet;
using namespace rivulet::forward;

namespace {

constexpr std::int64_t hour_ms = 3'600'000, day_ms = 24 * hour_ms, now_ms = 1'700'000'000'000;

// Each topic has one partition, and each transaction is one batch to it: one record's time refuses all of it.
class TimedKafka final : public Uplink {
 public:
  explicit TimedKafka(ManualClock& clock) : clock_(clock) {}
  std::map<std::string, TimeLimits> limits;  // of other topics: none
  std::int64_t ahead_ms = 0;                 // its clock, of the device's
  std::map<std::string, std::uint64_t> taken, taken_gaps;
  bool takes(const std::string& topic, std::int64_t timestamp_ms) const {
    const auto found = limits.find(topic);
    return found == limits.end() || !found->second.refuse(timestamp_ms - (clock_.wall_ms() + ahead_ms));
  }

  Failure reachable(std::int64_t) override { return {}; }
  Failure open(bool) override {
    close();
    return {};
  }
  void close() override {
    sent_.clear();
    names_.clear();
    report_ = {};
  }
  Failure init(std::int64_t) override { return {}; }
  kafka::TopicAnswer metadata(const std::string&, std::int64_t) override { return {{}, {1, 1}}; }
  std::string cluster_id(std::int64_t) override { return "timed"; }
  Failure begin() override {
    sent_.clear();
    report_ = {};
    return {};
  }
  void start_report() override {}
  int topic(const std::string& name) override {
    names_.push_back(name);
    return static_cast<int>(names_.size()) - 1;
  }
  Failure send(const kafka::Message& message, std::int64_t) override {
    sent_.push_back({names_.at(static_cast<std::size_t>(message.topic)), message.index, message.timestamp_ms, !message.rv_gap.empty()});
    return {};
  }
  Failure flush(std::int64_t) override {
    clock_.advance(5);
    std::set<std::string> refused;
    for (const auto& one : sent_)
      if (!takes(one.topic, one.timestamp_ms)) refused.insert(one.topic);
    std::map<std::string, kafka::Delivered> delivered;
    for (const auto& one : sent_) {
      if (refused.contains(one.topic)) {
        if (report_.failed_records++ > 0) continue;
        report_.failure = {FailureKind::record, kafka::invalid_timestamp, "invalid timestamp"};
        report_.failed_topic = one.topic;
        report_.failed_index = one.index;
        continue;
      }
      auto& to = delivered[one.topic];
      to.where = {one.topic, 0};
      to.last_offset = ends_[one.topic]++;
      if (to.first_offset < 0) to.first_offset = to.last_offset;
      to.last_index = one.index;
      to.rows.push_back({one.index, one.index});
    }
    for (auto& [name, partition] : delivered) report_.partitions.push_back(std::move(partition));
    return {};
  }
  kafka::DeliveryReport report() override { return report_; }
  Commit commit(std::int64_t) override {
    for (const auto& one : sent_) ++(one.gap ? taken_gaps : taken)[one.topic];
    return {{}, 1, 0};
  }
  kafka::Offsets stable_offsets(const std::vector<kafka::TopicPartition>& where, std::int64_t) override {
    kafka::Offsets answer;
    for (const auto& partition : where) answer.offsets.push_back(ends_[partition.topic]);
    return answer;
  }
  kafka::Offsets high_watermarks(const std::vector<kafka::TopicPartition>& where, std::int64_t timeout_ms) override { return stable_offsets(where, timeout_ms); }
  kafka::Reader::Watermarks committed_range(const kafka::TopicPartition& where, std::int64_t, const std::function<bool()>&) override { return {{}, 0, ends_[where.topic]}; }
  kafka::Reader::Progress read(const kafka::ReadRange& range, std::int64_t, const std::function<bool()>&, const std::function<bool(const kafka::Fetched&)>&) override {
    return {{}, {range.until}};
  }
  Cleanup cleanup_policy(const std::string&, std::int64_t) override { return Cleanup::unknown; }
  TimeLimits time_limits(const std::string& topic, std::int64_t) override {
    const auto found = limits.find(topic);
    return found == limits.end() ? TimeLimits{TimeLimits::none, TimeLimits::none} : found->second;
  }
  void end_recovery() override {}
  bool take_disturbed() override { return false; }
  Failure last_error() override { return {}; }

 private:
  struct Sent { std::string topic; std::uint32_t index; std::int64_t timestamp_ms; bool gap; };
  ManualClock& clock_;
  std::vector<std::string> names_;
  std::vector<Sent> sent_;
  kafka::DeliveryReport report_;
  std::map<std::string, std::int64_t> ends_;
};

struct World {
  // `slow_ms`: so far is the device's clock behind.
  explicit World(std::int64_t slow_ms) : clock(now_ms - slow_ms), uplink(clock) {
    spdlog::set_level(spdlog::level::off);
    uplink.ahead_ms = slow_ms;
    store::Options o;
    o.directory = folder / "store";
    o.agent_id = "gateway";
    store = store::Store::open(o, system_clock).value();
    outbox.emplace(*store);
    DriverOptions options;
    options.agent_id = "gateway";
    options.incarnation = store->identity().incarnation;
    options.protocol.transaction_interval_ms = 50;
    driver.emplace(options, *outbox, uplink, clock);
    driver->start();
  }
  ~World() { spdlog::set_level(spdlog::level::info); }
  StreamId stream(const std::string& name, const std::string& topic) { return store->stream(name, topic).value().id; }
  std::int64_t real_ms() const { return clock.wall_ms() + uplink.ahead_ms; }
  void add(StreamId stream, const std::vector<std::int64_t>& times) {
    store::Epoch epoch;
    for (const auto timestamp_ms : times) {
      const auto sequence = ++last[stream];
      epoch.append(stream, sequence, std::to_string(stream), std::to_string(sequence), timestamp_ms);
    }
    std::promise<bool> durable;
    store->commit(std::move(epoch), [&](result<void> done) { durable.set_value(done.has_value()); });
    REQUIRE(durable.get_future().get());
    driver->data();
  }
  bool empty() {
    const auto streams = store->streams().value();
    return std::all_of(streams.begin(), streams.end(), [](const auto& s) { return s.acknowledged == s.last; });
  }
  // False: so many steps, or so much time, did not do.
  bool drains(std::int64_t limit_ms = 60 * 60'000, int steps = 3'000) {
    for (const auto end_ms = clock.steady_ms() + limit_ms; steps > 0 && clock.steady_ms() < end_ms; --steps) {
      if (driver->protocol().state() == State::idle && empty()) return true;
      const auto next = driver->step();
      if (!next.waits) continue;
      clock.advance(std::max<std::int64_t>(next.until_ms - clock.steady_ms(), 1));
      driver->tick();
    }
    return false;
  }
  std::vector<Sequence> quarantined(StreamId stream) {
    std::vector<Sequence> list;
    for (const auto& one : store->quarantined(0, 1'000).value())
      if (one.key == std::to_string(stream)) list.push_back(std::stoull(one.value.value()));
    return list;
  }
  std::uint64_t recoveries() { return driver->protocol().recoveries(); }

  SystemClock system_clock;
  test::TempFolder folder;
  ManualClock clock;
  TimedKafka uplink;
  std::unique_ptr<store::Store> store;
  std::optional<StoreOutbox> outbox;
  std::optional<Driver> driver;
  std::map<StreamId, Sequence> last;
};

}  // namespace

TEST_CASE("a clock that is hours slow sets aside no good record for one that is refused, also in the first transaction") {
  World world(5 * hour_ms);
  world.uplink.limits["data"] = {hour_ms, TimeLimits::none};
  const auto stream = world.stream("s", "data");
  std::vector<std::int64_t> times;
  for (int i = 0; i < 100; ++i) times.push_back(world.real_ms() - (100 - i) * 120'000);  // events of the last hours: less and more than the limit ahead of this clock
  times[40] = times[41] = world.real_ms() + 3 * hour_ms;
  times[70] = world.real_ms() + 2 * hour_ms;
  world.add(stream, times);
  REQUIRE(world.drains());
  CHECK(world.quarantined(stream) == std::vector<Sequence>{41, 42, 71});
  CHECK(world.recoveries() < 25);
  const auto before = world.recoveries();
  for (int i = 0; i < 20; ++i) {  // those that come next are known
    world.add(stream, {world.real_ms() - 5'000, world.real_ms() + 3 * hour_ms, world.real_ms()});
    REQUIRE(world.drains());
  }
  CHECK(world.quarantined(stream).size() == 23);
  CHECK(world.recoveries() <= before + 1);
  CHECK(world.uplink.taken["data"] == 97 + 40);
}

TEST_CASE("limits that were seen with a clock that was set since set nothing aside") {
  World world(0);
  world.uplink.limits["data"] = {hour_ms, TimeLimits::none};
  const auto stream = world.stream("s", "data");
  world.add(stream, {now_ms, now_ms + 2 * hour_ms, now_ms});
  REQUIRE(world.drains());
  REQUIRE(world.quarantined(stream) == std::vector<Sequence>{2});
  world.clock.set_wall(world.clock.wall_ms() - 5 * hour_ms);
  world.uplink.ahead_ms = 5 * hour_ms;
  world.add(stream, {world.real_ms(), world.real_ms() + 1'000, world.real_ms()});
  REQUIRE(world.drains());
  CHECK(world.quarantined(stream) == std::vector<Sequence>{2});
}

TEST_CASE("of records that are refused with a right clock few recoveries find all, however far apart their times are") {
  World world(0);
  world.uplink.limits["data"] = {hour_ms, TimeLimits::none};
  const auto stream = world.stream("s", "data");
  std::vector<std::int64_t> times;
  std::vector<Sequence> odd;
  for (int i = 0; i < 200; ++i) {  // a device that is 3 h ahead, after an outage
    times.push_back(now_ms - (200 - i) * 10'000 + (i % 2 == 0 ? 3 * hour_ms : 0));
    if (i % 2 == 0) odd.push_back(static_cast<Sequence>(i) + 1);
  }
  world.add(stream, times);
  REQUIRE(world.drains());
  CHECK(world.quarantined(stream) == odd);
  CHECK(world.recoveries() < 12);
  auto before = world.recoveries();
  for (int i = 0; i < 5; ++i) {  // later, each time with a gap record that the topic takes
    world.clock.advance(6 * 60'000);
    const auto first = world.last[stream] + 1;
    world.add(stream, {world.real_ms(), world.real_ms(), world.real_ms() + 3 * hour_ms, world.real_ms()});
    store::ForwardChange change;
    change.gaps.push_back({stream, first, first, "dropped", false});
    REQUIRE(world.store->change(std::move(change)).has_value());
    REQUIRE(world.drains());
    CHECK(world.recoveries() == ++before);
    CHECK(world.quarantined(stream).size() == odd.size() + static_cast<std::size_t>(i) + 1);
  }
}

TEST_CASE("a gap record that its topic refuses holds the topic until the clock is right") {
  World world(now_ms - day_ms);  // 1970
  world.uplink.limits["data"] = {TimeLimits::none, day_ms};
  const auto stream = world.stream("s", "data"), other = world.stream("o", "other");
  for (int i = 0; i < 3; ++i) world.add(stream, {world.clock.wall_ms() + i});  // arrival times
  world.add(other, {world.clock.wall_ms()});
  CHECK_FALSE(world.drains(20 * 60'000));
  CHECK(world.clock.steady_ms() >= 20 * 60'000);  // it does not spin
  CHECK(world.recoveries() < 40);
  CHECK(world.uplink.taken["other"] == 1);
  REQUIRE(world.driver->held().size() == 1);
  CHECK_THAT(world.driver->held()[0].reason, ContainsSubstring("gap record") && ContainsSubstring("clock right?"));
  CHECK(world.quarantined(stream).size() <= 3);
  world.clock.set_wall(now_ms);
  world.uplink.ahead_ms = 0;
  REQUIRE(world.drains());
  CHECK(world.uplink.taken_gaps["data"] > 0);
}

TEST_CASE("no good record is set aside for a gap record, or another one, that is behind the clock of the brokers") {
  World world(now_ms - day_ms);
  world.uplink.limits["data"] = {day_ms, day_ms};
  const auto events = world.stream("events", "data"), arrivals = world.stream("arrivals", "data");
  const auto real = [&](int count) {
    std::vector<std::int64_t> times;
    for (int i = 0; i < count; ++i) times.push_back(world.real_ms() - 500 + i * 50);
    return times;
  };
  world.add(events, real(10));
  REQUIRE(world.drains());
  world.add(arrivals, {world.clock.wall_ms()});
  for (int i = 0; i < 10; ++i) {
    world.add(events, real(10));
    (void)world.drains(10'000);
  }
  CHECK(world.quarantined(events).empty());
  CHECK(world.quarantined(arrivals) == std::vector<Sequence>{1});
  world.clock.set_wall(now_ms);
  world.uplink.ahead_ms = 0;
  REQUIRE(world.drains());
  CHECK(world.quarantined(events).empty());
  CHECK(world.uplink.taken["data"] == 110);
}
