// The forwarder's ground truths, against a real Apache Kafka (tests/support/kafka). RIVULET_BROKERS=host:port uses one that
// runs already.
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "agent/forward/adopt.h"
#include "agent/forward/driver.h"
#include "agent/forward/forwarder.h"
#include "agent/forward/kafka_uplink.h"
#include "agent/kafka/admin.h"
#include "agent/kafka/rv_header.h"
#include "agent/kafka/verify.h"
#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"

using namespace rivulet;
using namespace rivulet::forward;

namespace {

std::string run(const std::string& command) {
  std::string out;
  FILE* pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::array<char, 256> buffer{};
  while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) out += buffer.data();
  REQUIRE(::pclose(pipe) == 0);
  while (!out.empty() && (out.back() == '\n' || out.back() == ' ')) out.pop_back();
  return out;
}

bool within(int seconds, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

class Broker {
 public:
  Broker() {
    if (const char* given = std::getenv("RIVULET_BROKERS")) {
      address_ = given;
      return;
    }
    started_ = true;
    address_ = run(tool() + " start --dir " + folder_.path().string());
    if (const auto space = address_.find_last_of(" \n"); space != std::string::npos) address_ = address_.substr(space + 1);
    if (address_.find(':') == std::string::npos) address_ = "127.0.0.1:" + address_;
  }
  ~Broker() {
    if (started_) (void)std::system((tool() + " kill --dir " + folder_.path().string() + " >/dev/null").c_str());
  }
  const std::string& address() const { return address_; }

 private:
  static std::string tool() { return std::string(RIVULET_SOURCE_DIR) + "/tests/support/kafka"; }
  test::TempFolder folder_;
  std::string address_;
  bool started_ = false;
};

struct World {
  World() : connection{{broker.address()}, {}, {}, {}, "test"}, suffix(Uuid::random().text().substr(0, 8)) {
    auto admin = kafka::Admin::create(connection).value();
    REQUIRE(within(30, [&] { return admin->cluster(1'000).has_value(); }));
    progress = "progress-" + suffix;
    data = "data-" + suffix;
    REQUIRE(admin->create_topic({progress, 4, 1, {{"cleanup.policy", "compact"}}}, 10'000).has_value());
    REQUIRE(admin->create_topic({data, 3, 1, {}}, 10'000).has_value());
    REQUIRE(within(10, [&] { return admin->topic(data, 1'000).has_value() && admin->topic(progress, 1'000).has_value(); }));
    agent = "agent-" + suffix;
  }
  std::unique_ptr<Uplink> uplink() {
    return make_kafka_uplink({connection, agent, 20'000, 1 << 20});
  }
  std::unique_ptr<store::Store> open() {
    store::Options options;
    options.directory = folder / "store";
    options.agent_id = agent;
    return store::Store::open(options, clock).value();
  }
  Options options(const store::Store& store) const {
    Options o;
    o.agent_id = agent;
    o.incarnation = store.identity().incarnation;
    o.history = store.identity().history;
    o.progress_topic = progress;
    o.transaction_interval_ms = 50;
    o.transaction_timeout_ms = 20'000;
    o.transaction_max_bytes = 1 << 20;
    return o;
  }
  DriverOptions driver_options(const store::Store& store) const {
    DriverOptions o;
    o.protocol.transaction_timeout_ms = 20'000;
    o.agent_id = agent;
    o.incarnation = store.identity().incarnation;
    o.progress_topic = progress;
    return o;
  }
  void add(store::Store& store, int count) {
    const auto stream = store.stream("s", data).value();
    if (next == 0) next = stream.last;
    store::Epoch epoch;
    for (int i = 0; i < count; ++i) {
      ++next;
      const auto key = "k" + std::to_string(next % 11);
      const auto value = R"({"n":)" + std::to_string(next) + "}";
      epoch.append(stream.id, next, key, value, clock.wall_ms());
    }
    std::atomic<bool> durable{false};
    store.commit(std::move(epoch), [&](result<void> done) { durable = done.has_value(); });
    REQUIRE(within(10, [&] { return durable.load(); }));
  }
  static bool empty(store::Store& store) {
    const auto streams = store.streams().value();
    for (const auto& s : streams) {
      if (s.acknowledged < s.last) return false;
    }
    return true;
  }
  void expect(std::uint64_t records) {
    const auto report = kafka::verify(connection, data).value();
    CHECK(report.records == records);
    CHECK(report.missing == 0);
    CHECK(report.duplicates == 0);
    CHECK(report.out_of_order == 0);
  }

  Broker broker;
  kafka::Connection connection;
  std::string suffix, progress, data, agent;
  test::TempFolder folder;
  SystemClock clock;
  Sequence next = 0;
};

// Drives a real store and a real broker step by step until `state`; the "process" then dies with everything unfinished.
void die_in(World& world, store::Store& store, State state) {
  auto uplink = world.uplink();
  StoreOutbox outbox(store);
  Driver driver(world.driver_options(store), outbox, *uplink, world.clock);
  driver.start();
  REQUIRE(within(30, [&] {
    if (driver.protocol().state() == state) return true;
    const auto next = driver.step();
    if (next.waits && world.clock.steady_ms() >= next.until_ms) driver.tick();
    return driver.protocol().state() == state;
  }));
}

}  // namespace

TEST_CASE("the end of a partition is its last stable offset for a producer's handle, and its high watermark uncommitted") {
  World world;
  auto uplink = world.uplink();
  REQUIRE_FALSE(uplink->open(true));
  REQUIRE(within(30, [&] { return !uplink->init(500); }));
  REQUIRE_FALSE(uplink->begin());
  kafka::Message message;
  message.topic = uplink->topic(world.data);
  message.partition = 1;
  message.value = "open";
  REQUIRE_FALSE(uplink->send(message, 1'000));
  REQUIRE(within(10, [&] { return !uplink->flush(500); }));
  const kafka::TopicPartition where{world.data, 1};
  CHECK(uplink->stable_offsets({where}, 5'000).offsets == std::vector<std::int64_t>{0});
  CHECK(uplink->high_watermarks({where}, 5'000).offsets == std::vector<std::int64_t>{1});
  CHECK(uplink->committed_range(where, 5'000, [] { return false; }).end == 0);
  Uplink::Commit commit;
  REQUIRE(within(10, [&] { return !(commit = uplink->commit(500)).failure; }));
  CHECK(commit.end_txn_requests == 1);
  CHECK(commit.timed_out_requests == 0);
  CHECK(within(5, [&] { return uplink->stable_offsets({where}, 5'000).offsets == std::vector<std::int64_t>{2}; }));  // record and marker
  CHECK(uplink->cleanup_policy(world.progress, 5'000) == Uplink::Cleanup::compacts);
  CHECK(uplink->cleanup_policy(world.data, 5'000) == Uplink::Cleanup::deletes);
}

TEST_CASE("an aborted record is passed and not seen, and a fenced producer says so") {
  World world;
  auto old = world.uplink();
  REQUIRE_FALSE(old->open(true));
  REQUIRE(within(30, [&] { return !old->init(500); }));
  REQUIRE_FALSE(old->begin());
  kafka::Message message;
  message.topic = old->topic(world.data);
  message.partition = 0;
  message.value = "never";
  REQUIRE_FALSE(old->send(message, 1'000));
  REQUIRE(within(10, [&] { return !old->flush(500); }));
  auto young = world.uplink();
  REQUIRE_FALSE(young->open(true));
  REQUIRE(within(30, [&] { return !young->init(500); }));
  const kafka::TopicPartition where{world.data, 0};
  REQUIRE(within(10, [&] { return young->stable_offsets({where}, 1'000).offsets == std::vector<std::int64_t>{2}; }));
  int seen = 0;
  const auto progress = young->read({where, 0, 1}, 5'000, [] { return false; }, [&](const kafka::Fetched&) { return ++seen > 0; });
  CHECK_FALSE(progress.failure);
  CHECK(progress.positions[0] >= 1);
  CHECK(seen == 0);
  Failure last;
  REQUIRE(within(10, [&] { return (last = old->commit(500).failure).kind != FailureKind::pending; }));
  CHECK(last.kind == FailureKind::fenced);
}

TEST_CASE("records reach a real Kafka once and in order over restarts of the forwarder") {
  World world;
  std::uint64_t total = 0;
  for (int round = 0; round < 4; ++round) {
    auto store = world.open();
    Forwarder forwarder(world.options(*store), *store, world.uplink(), world.clock);
    store->on_outbox([&] { forwarder.wake(); });
    forwarder.start();
    for (int i = 0; i < 5; ++i) {
      world.add(*store, 500);
      total += 500;
    }
    if (round % 2 == 0) REQUIRE(within(30, [&] { return World::empty(*store); }));
    const auto begin = std::chrono::steady_clock::now();
    forwarder.stop();
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
    store->on_outbox([] {});
  }
  auto store = world.open();
  Forwarder forwarder(world.options(*store), *store, world.uplink(), world.clock);
  forwarder.start();
  CHECK(within(30, [&] { return World::empty(*store); }));
  CHECK(forwarder.status().link == Link::up);
  forwarder.stop();
  world.expect(total);
}

TEST_CASE("a forwarder that dies in any step of a transaction is resolved by its successor") {
  World world;
  auto store = world.open();
  std::uint64_t total = 0;
  for (const auto state : {State::flushing, State::preparing, State::committing, State::settling, State::trimming, State::closing}) {
    if (state == State::closing) break;
    world.add(*store, 300);
    total += 300;
    INFO(name_of(state));
    die_in(world, *store, state);
    Forwarder forwarder(world.options(*store), *store, world.uplink(), world.clock);
    forwarder.start();
    REQUIRE(within(40, [&] { return World::empty(*store); }));
    forwarder.stop();
    world.expect(total);
  }
}

TEST_CASE("a clone of the store stops with an alarm, and goes on after adopt") {
  World world;
  auto store = world.open();
  world.add(*store, 10);
  die_in(world, *store, State::flushing);  // opened; the witness of a first look is stored
  // What the other copy has forwarded: one more transaction of this incarnation.
  auto uplink = world.uplink();
  REQUIRE_FALSE(uplink->open(true));
  REQUIRE(within(30, [&] { return !uplink->init(500); }));
  REQUIRE_FALSE(uplink->begin());
  kafka::Message message;
  message.topic = uplink->topic(world.progress);
  const auto value = R"({"v":1,"incarnation":")" + store->identity().incarnation.text() + R"(","transaction":9,"streams":{}})";
  message.key = world.agent;
  message.value = value;
  for (message.partition = 0; message.partition < 4; ++message.partition) REQUIRE_FALSE(uplink->send(message, 1'000));
  REQUIRE(within(10, [&] { return !uplink->flush(500); }));
  REQUIRE(within(10, [&] { return !uplink->commit(500).failure; }));
  uplink.reset();
  {
    Forwarder forwarder(world.options(*store), *store, world.uplink(), world.clock);
    forwarder.start();
    REQUIRE(within(30, [&] { return forwarder.status().link == Link::stopped; }));
    CHECK_THAT(forwarder.status().alarm, ContainsSubstring("clone") && ContainsSubstring("rivulet adopt"));
    CHECK_FALSE(World::empty(*store));
    forwarder.stop();
  }
  REQUIRE(adopt(*store).has_value());
  Forwarder forwarder(world.options(*store), *store, world.uplink(), world.clock);
  forwarder.start();
  CHECK(within(30, [&] { return World::empty(*store); }));
  forwarder.stop();
  world.expect(10);
}

TEST_CASE("a record that is too large for the broker becomes a gap, and a missing topic holds its stream alone") {
  World world;
  auto store = world.open();
  const auto lost = store->stream("lost", "no-such-topic-" + world.suffix).value();
  const auto stream = store->stream("s", world.data).value();
  store::Epoch epoch;
  epoch.append(lost.id, 1, "k", "v", 1);
  for (Sequence s = 1; s <= 20; ++s) epoch.append(stream.id, s, "k", s == 7 ? std::string(3'000'000, 'x') : std::string("v"), world.clock.wall_ms());
  std::atomic<bool> durable{false};
  store->commit(std::move(epoch), [&](result<void> done) { durable = done.has_value(); });
  REQUIRE(within(10, [&] { return durable.load(); }));
  Forwarder forwarder(world.options(*store), *store, world.uplink(), world.clock);
  forwarder.start();
  CHECK(within(30, [&] {
    const auto streams = store->streams().value();
    return streams[1].acknowledged == 20;
  }));
  const auto status = forwarder.status();
  REQUIRE(status.held.size() == 1);
  CHECK(status.held[0].stream == "lost");
  forwarder.stop();
  const auto report = kafka::verify(world.connection, world.data).value();
  CHECK(report.ok());
  CHECK(report.records == 19);
  REQUIRE(report.streams.size() == 1);
  CHECK(report.streams[0].gap_sequences == 1);
  CHECK(store->quarantined(0, 10).value().size() == 1);
}

TEST_CASE("verify waits for the open transaction of another, and what it hides is neither missing nor in order") {
  World world;
  const auto producer = [&](const std::string& id) {
    auto made = make_kafka_uplink({world.connection, id + world.suffix, 60'000, 1 << 20});
    REQUIRE_FALSE(made->open(true));
    REQUIRE(within(30, [&] { return !made->init(500); }));
    return made;
  };
  const auto begin = [&](Uplink& uplink, const std::vector<std::pair<std::int32_t, Sequence>>& records) {
    REQUIRE_FALSE(uplink.begin());
    for (const auto& [partition, sequence] : records) {
      kafka::Message message;
      message.topic = uplink.topic(world.data);
      message.partition = partition;
      message.value = "x";
      std::string header;
      if (sequence > 0) kafka::encode_rv(header, kafka::rv_prefix(world.agent, 1, Uuid{}), sequence);
      message.rv = header;
      REQUIRE_FALSE(uplink.send(message, 1'000));
    }
    REQUIRE(within(10, [&] { return !uplink.flush(500); }));
  };
  const auto commit = [](Uplink& uplink) { REQUIRE(within(10, [&] { return !uplink.commit(500).failure; })); };
  // Markers come after the answer to a commit.
  const auto written = [&](Uplink& uplink, const std::vector<std::int64_t>& ends) {
    REQUIRE(within(10, [&] { return uplink.high_watermarks({{world.data, 0}, {world.data, 1}, {world.data, 2}}, 5'000).offsets == ends; }));
  };
  const kafka::VerifyOptions brief{5'000, {}, {}};  // so long open transactions are waited for

  const auto empty = kafka::verify(world.connection, world.data).value();
  CHECK(empty.ok());
  CHECK(empty.streams.empty());

  const auto ours = producer("ours"), other = producer("other");
  begin(*ours, {{0, 1}, {1, 2}});
  commit(*ours);
  written(*ours, {2, 2, 0});
  begin(*other, {{0, 0}});
  begin(*ours, {{0, 3}, {1, 4}, {2, 5}});
  commit(*ours);
  written(*ours, {5, 4, 2});
  const auto hidden = kafka::verify(world.connection, world.data, brief).value();
  CHECK(hidden.missing == 0);
  CHECK(hidden.undecided == 1);
  CHECK(hidden.records == 4);
  REQUIRE(hidden.open.size() == 1);
  CHECK(hidden.open[0].partition == 0);
  CHECK(hidden.open[0].from == 2);
  CHECK(hidden.open[0].until == 5);

  bool waited = false;
  const auto seen = kafka::verify(world.connection, world.data, {30'000, {}, [&] {  // it ends while it is waited for
    waited = true;
    commit(*other);
  }}).value();
  CHECK(waited);
  CHECK(seen.ok());
  CHECK(seen.undecided == 0);
  CHECK(seen.open.empty());
  CHECK(seen.records == 5);
  CHECK(seen.without_header == 1);

  begin(*other, {{0, 0}});
  begin(*ours, {{0, 7}, {2, 8}});  // 6 is in no log
  commit(*ours);
  written(*ours, {9, 4, 4});
  CHECK(kafka::verify(world.connection, world.data, brief).value().undecided == 2);
  commit(*other);
  written(*ours, {10, 4, 4});
  const auto missing = kafka::verify(world.connection, world.data).value();
  CHECK(missing.missing == 1);
  CHECK(missing.undecided == 0);
  REQUIRE(missing.streams.size() == 1);
  CHECK(missing.streams[0].missing_ranges == std::vector<kafka::SequenceRange>{{6, 6}});
}

TEST_CASE("a topic that is being forwarded to lacks nothing") {
  World world;
  auto store = world.open();
  const int total = 1'500;
  world.add(*store, total);
  auto options = world.options(*store);
  options.transaction_interval_ms = 1;
  options.transaction_max_bytes = 4'096;  // hundreds of transactions
  Forwarder forwarder(options, *store, world.uplink(), world.clock);
  forwarder.start();
  int during = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!World::empty(*store) && std::chrono::steady_clock::now() < deadline) {
    const auto report = kafka::verify(world.connection, world.data).value();
    CHECK(report.ok());
    CHECK(report.undecided == 0);
    if (report.records > 0 && report.records < static_cast<std::uint64_t>(total)) ++during;
  }
  CHECK(during > 0);
  CHECK(World::empty(*store));
  forwarder.stop();
  world.expect(total);
}
