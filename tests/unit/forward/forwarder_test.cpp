// The whole forwarder with a real store, on librdkafka's in-process cluster: what `rivulet demo` runs.
#include "agent/forward/forwarder.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "agent/base/check.h"
#include "agent/forward/kafka_uplink.h"
#include "agent/forward/prepared.h"
#include "agent/forward/protocol.h"
#include "agent/kafka/mock_cluster.h"
#include "agent/kafka/reader.h"
#include "agent/kafka/verify.h"
#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"

using namespace rivulet;
using namespace rivulet::forward;

namespace {

bool within(int seconds, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

// librdkafka's clients in this process but the mock's own: each has one thread of this name, which wakes up each second.
int clients() {
  int found = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm") >> std::ws, name);
    found += name == "rdk:main";
  }
  return found;
}

struct World {
  World() : cluster(kafka::MockCluster::start().value()) {
    REQUIRE(cluster->create_topic("rivulet-progress", 4).has_value());
    REQUIRE(cluster->create_topic("data", 3).has_value());
    connection.brokers = {cluster->bootstrap_servers()};
    open("store");
    stream = store->stream("s", "data").value().id;
  }
  void open(const std::string& name) {
    store.reset();
    store::Options o;
    o.directory = folder / name;
    o.agent_id = "gateway";
    store = store::Store::open(o, clock).value();
  }
  std::shared_ptr<Forwarder> forwarder(bool exactly_once = true, const std::string& progress_topic = "rivulet-progress") {
    Options o;
    o.agent_id = "gateway";
    o.progress_topic = progress_topic;
    o.incarnation = store->identity().incarnation;
    o.exactly_once = exactly_once;
    o.transaction_interval_ms = 20;
    o.transaction_timeout_ms = 15'000;
    o.idle_close_ms = idle_close_ms;
    o.transaction_max_bytes = 256 * 1024;
    return std::make_shared<Forwarder>(o, *store, make_kafka_uplink({connection, "gateway", 15'000, 256 * 1024}), clock);
  }
  void wakes(const std::shared_ptr<Forwarder>& forwarder) {
    store->on_outbox([weak = std::weak_ptr(forwarder)] {
      if (const auto alive = weak.lock()) alive->wake();
    });
  }
  void add(int count) {
    store::Epoch epoch;
    for (int i = 0; i < count; ++i) {
      ++last;
      epoch.append(stream, last, "k" + std::to_string(last % 7), "value", clock.wall_ms());
    }
    std::atomic<bool> durable{false};
    store->commit(std::move(epoch), [&](result<void> done) { durable = done.has_value(); });
    REQUIRE(within(10, [&] { return durable.load(); }));
  }
  // What it says when it has stopped; nothing: some transactions went through.
  std::string forwards(const std::string& progress_topic, int transactions = 1) {
    const auto forwarder = this->forwarder(true, progress_topic);
    wakes(forwarder);
    forwarder->start();
    std::string alarm;
    for (; transactions > 0 && alarm.empty(); --transactions) {
      add(10);
      REQUIRE(within(30, [&] { return empty() || !(alarm = forwarder->status().alarm).empty(); }));
    }
    forwarder->stop();
    return alarm;
  }
  bool empty() { return store->streams().value()[0].acknowledged == last; }
  void expect_everything() {
    const auto report = kafka::verify(connection, "data").value();
    CHECK(report.records == last);
    CHECK(report.ok());
  }

  std::unique_ptr<kafka::MockCluster> cluster;
  kafka::Connection connection;
  test::TempFolder folder;
  SystemClock clock;
  std::unique_ptr<store::Store> store;
  StreamId stream = 0;
  Sequence last = 0;
  std::int64_t idle_close_ms = 5 * 60'000;
};

}  // namespace

TEST_CASE("records go to the in-process cluster once and in order, in both delivery modes") {
  for (const bool exactly_once : {true, false}) {
    World world;
    const auto forwarder = world.forwarder(exactly_once);
    world.wakes(forwarder);
    forwarder->start();
    for (int i = 0; i < 4; ++i) world.add(700);
    REQUIRE(within(30, [&] { return world.empty(); }));
    forwarder->stop();
    CHECK(forwarder->status().forwarded_records == 2'800);
    CHECK(forwarder->status().transactions >= 1);
    CHECK(forwarder->status().last_settled_ms > 0);
    world.expect_everything();
  }
}

TEST_CASE("an agent that comes back to a progress topic of before goes on behind its own record there") {
  World world;
  REQUIRE(world.cluster->create_topic("other-progress", 8).has_value());
  for (const auto* topic : {"rivulet-progress", "other-progress", "rivulet-progress", "other-progress"}) {
    INFO(topic);
    CHECK(world.forwards(topic, 2) == "");
  }
  world.expect_everything();
}

TEST_CASE("a clone that went on in a progress topic of before is noticed when the agent comes back to it") {
  World world;
  REQUIRE(world.cluster->create_topic("other-progress", 1).has_value());
  REQUIRE(world.forwards("rivulet-progress") == "");
  world.store.reset();
  std::filesystem::copy(world.folder / "store", world.folder / "copy", std::filesystem::copy_options::recursive);
  const auto copied = world.last;
  world.open("copy");
  REQUIRE(world.forwards("rivulet-progress") == "");
  world.open("store");
  world.last = copied;
  REQUIRE(world.forwards("other-progress", 3) == "");  // more transactions than the clone had
  CHECK_THAT(world.forwards("rivulet-progress"), ContainsSubstring("transaction 2 of this very store"));
}

TEST_CASE("a progress topic that was made anew while another was in use is looked at as a new one") {
  const auto partition = GENERATE(1, 7);  // the last one is not there any more
  World world;
  REQUIRE(world.cluster->create_topic("other-progress", 1).has_value());
  REQUIRE(world.forwards("other-progress") == "");
  store::ForwardChange before;
  before.facts.emplace_back(former_witness_fact("rivulet-progress"), encode(Witness{"", {"rivulet-progress", partition}, 1'000'000, 9}));
  REQUIRE(world.store->change(before));
  CHECK(world.forwards("rivulet-progress") == "");
}

TEST_CASE("what is stored while the link is cut between transactions goes out soon after it is back") {
  World world;
  const auto forwarder = world.forwarder();
  world.wakes(forwarder);
  forwarder->start();
  for (int cut = 0; cut < 2; ++cut) {
    world.add(300);
    REQUIRE(within(30, [&] { return world.empty(); }));
    world.cluster->cut_link();
    world.add(300);
    CHECK(within(60, [&] { return forwarder->status().link != Link::up; }));
    CHECK_FALSE(world.empty());
    world.cluster->restore_link();
    CHECK(within(20, [&] { return world.empty(); }));
  }
  forwarder->stop();
  world.expect_everything();
}

TEST_CASE("an agent that starts without a broker stores, says offline, stops in time, and sends when there is one") {
  World world;
  world.cluster->cut_link();
  world.add(100);
  {
    const auto forwarder = world.forwarder();
    forwarder->start();
    CHECK(within(30, [&] { return forwarder->status().phase == "offline"; }));
    CHECK(forwarder->status().link == Link::offline);
    CHECK_FALSE(forwarder->status().connected);
    CHECK_THAT(forwarder->status().last_error, ContainsSubstring("127.0.0.1") && ContainsSubstring("Connection refused"));
    const auto begin = std::chrono::steady_clock::now();
    forwarder->stop();
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(3));
    CHECK_FALSE(world.empty());
  }
  world.cluster->restore_link();
  const auto forwarder = world.forwarder();
  forwarder->start();
  CHECK(within(20, [&] { return world.empty(); }));
  CHECK(forwarder->status().connected);
  forwarder->stop();
  world.expect_everything();
}

TEST_CASE("a record from the beginning of 1970 does not get the time of its sending") {
  World world;
  REQUIRE(world.cluster->create_topic("old", 1).has_value());
  store::Epoch epoch;
  epoch.append(world.store->stream("old", "old").value().id, 1, "k", "v", 0);
  epoch.append(world.store->stream("old", "old").value().id, 2, "k", "v", 7);
  std::atomic<bool> durable{false};
  world.store->commit(std::move(epoch), [&](result<void> done) { durable = done.has_value(); });
  REQUIRE(within(10, [&] { return durable.load(); }));
  const auto forwarder = world.forwarder();
  forwarder->start();
  REQUIRE(within(30, [&] { return forwarder->status().forwarded_records == 2; }));
  forwarder->stop();
  const auto reader = kafka::Reader::create(world.connection, kafka::Isolation::committed).value();
  const auto end = reader->watermarks({"old", 0}, 5'000).end;
  std::vector<Timestamp> times;
  const auto progress = reader->read({{{"old", 0}, 0, end}}, 5'000, [&](const kafka::Fetched& record) {
    times.push_back(record.timestamp_ms);
    return true;
  });
  REQUIRE_FALSE(progress.failure);
  CHECK(times == std::vector<Timestamp>{1, 7});
}

TEST_CASE("a forwarder with nothing to send closes its connection, which is no outage, and connects when there is something") {
  World world;
  world.idle_close_ms = 300;
  const auto forwarder = world.forwarder();
  world.wakes(forwarder);
  forwarder->start();
  for (int i = 0; i < 2; ++i) {  // the first time nothing was ever sent
    REQUIRE(within(30, [&] { return forwarder->status().phase == "asleep"; }));
    CHECK(forwarder->status().link == Link::idle);
    CHECK(is_well(forwarder->status().link));
    world.add(10);
    REQUIRE(within(30, [&] { return world.empty(); }));
  }
  REQUIRE(within(30, [&] { return forwarder->status().phase == "asleep"; }));
  world.cluster->cut_link();
  world.add(10);
  CHECK(within(30, [&] { return forwarder->status().link == Link::offline; }));
  forwarder->stop();
}

TEST_CASE("an outage is told once each, also one from the start") {
  World world;
  world.cluster->cut_link();
  std::ostringstream log;
  const auto before = spdlog::default_logger();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log, true)));
  auto forwarder = world.forwarder();
  world.wakes(forwarder);
  forwarder->start();
  CHECK(within(30, [&] { return forwarder->status().phase == "offline"; }));
  world.cluster->restore_link();
  CHECK(within(30, [&] { return forwarder->status().link == Link::up; }));
  world.cluster->cut_link();
  world.add(10);
  CHECK(within(30, [&] { return forwarder->status().phase == "offline"; }));
  forwarder->stop();
  spdlog::set_default_logger(before);
  const auto text = log.str();
  std::size_t told = 0;
  for (auto at = text.find("no broker can be reached"); at != std::string::npos; at = text.find("no broker can be reached", at + 1)) ++told;
  INFO(text);
  CHECK(told == 2);
}

TEST_CASE("a forwarder stops in time when the link dies in the middle of its work") {
  World world;
  const auto forwarder = world.forwarder();
  world.wakes(forwarder);
  forwarder->start();
  world.add(20'000);
  REQUIRE(within(20, [&] { return forwarder->status().transactions >= 1; }));
  world.cluster->cut_link();
  const auto begin = std::chrono::steady_clock::now();
  forwarder->stop();
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
}

TEST_CASE("a forwarder stops in time on a slow link, however many topics it asks for") {
  World world;
  for (int i = 0; i < 50; ++i) {
    const auto topic = "topic-" + std::to_string(i);
    REQUIRE(world.cluster->create_topic(topic, 1).has_value());
    store::Epoch epoch;
    epoch.append(world.store->stream("stream-" + std::to_string(i), topic).value().id, 1, "k", "value", 1);
    std::atomic<bool> durable{false};
    world.store->commit(std::move(epoch), [&](result<void> done) { durable = done.has_value(); });
    REQUIRE(within(10, [&] { return durable.load(); }));
  }
  world.cluster->set_delay(100);  // 5 s for 50 topics
  const auto phase = GENERATE(State::draining, State::sending);
  const auto forwarder = world.forwarder();
  forwarder->start();
  REQUIRE(within(60, [&] { return forwarder->status().phase == name_of(phase); }));
  const auto begin = std::chrono::steady_clock::now();
  forwarder->stop();
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
}

// Takes connections and answers each with a line that is no TLS: a handshake that fails reaches us the way a refused login does,
// which the in-process cluster cannot do.
class NoBroker {
 public:
  NoBroker() {
    const sockaddr_in loopback{AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {}};
    socklen_t size = sizeof address_;
    RV_CHECK(::bind(listener_, reinterpret_cast<const sockaddr*>(&loopback), sizeof loopback) == 0 && ::listen(listener_, 64) == 0, "a listener");
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address_), &size);
    thread_ = std::thread([this] {
      for (int client; (client = ::accept(listener_, nullptr, nullptr)) >= 0; ::close(client)) {
        std::array<char, 1024> hello;
        if (::recv(client, hello.data(), hello.size(), 0) > 0) (void)!::write(client, "this is no broker\r\n", 19);
      }
    });
  }
  ~NoBroker() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(ntohs(address_.sin_port)); }

 private:
  int listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address_{};
  std::thread thread_;
};

TEST_CASE("a link that the broker refuses says why in the status, in both delivery modes") {
  for (const bool exactly_once : {true, false}) {
    const NoBroker no_broker;
    World world;
    world.connection.brokers = {no_broker.address()};
    world.connection.tls.emplace();
    world.add(10);
    const auto forwarder = world.forwarder(exactly_once);
    forwarder->start();
    CHECK(within(20, [&] { return forwarder->status().last_error.find("SSL handshake failed") != std::string::npos; }));
    CHECK_THAT(forwarder->status().last_error, ContainsSubstring("_SSL"));
    CHECK(forwarder->status().forwarded_records == 0);
    forwarder->stop();
    CHECK_FALSE(world.empty());
  }
}

TEST_CASE("what only recovery needs of librdkafka is gone when it is over") {
  World world;
  const int before = clients();
  auto forwarder = world.forwarder();
  world.add(10);
  forwarder->start();
  REQUIRE(within(30, [&] { return world.empty(); }));
  CHECK(within(10, [&] { return clients() == before + 1; }));
  forwarder->stop();
  world.expect_everything();
}
