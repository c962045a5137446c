#include "agent/source/kafka/kafka_source.h"

#include <boost/asio/io_context.hpp>

#include "agent/kafka/mock_cluster.h"
#include "agent/kafka/producer.h"
#include "tests/support/catch.h"
#include "tests/support/fake_intake.h"
#include "tests/support/run_until.h"

using namespace rivulet;
using namespace rivulet::source;
using test::FakeIntake;

namespace {

// Numbered records in an in-process Kafka, which has no isolation: aborted ones are for the end-to-end tests.
struct Topic {
  Topic() : cluster(kafka::MockCluster::start().value()) {
    connection.brokers = {cluster->bootstrap_servers()};
    REQUIRE(cluster->create_topic("in", 2));
  }
  void produce(int from, int to, bool tombstones = false) {
    auto producer = kafka::Producer::create(connection, {}).value();
    producer->start_report();
    for (int i = from; i < to; ++i) {
      const std::string key = "k" + std::to_string(i), value = "{\"n\":" + std::to_string(i) + "}";
      kafka::Message message;
      message.topic = producer->topic("in");
      message.partition = i % 2;
      message.key = key;
      if (!tombstones) message.value = value;
      message.timestamp_ms = 1000 + i;
      message.index = static_cast<std::uint32_t>(i);
      REQUIRE_FALSE(producer->produce(message, 10'000));
    }
    REQUIRE_FALSE(producer->flush(20'000));
  }
  void produce_gap(std::int32_t partition) {
    auto producer = kafka::Producer::create(connection, {}).value();
    producer->start_report();
    kafka::Message message;
    message.topic = producer->topic("in");
    message.partition = partition;
    message.key = "rivulet-gap";
    message.rv_gap = "gap";
    REQUIRE_FALSE(producer->produce(message, 10'000));
    REQUIRE_FALSE(producer->flush(20'000));
  }
  std::unique_ptr<KafkaSource> source(FakeIntake& intake, bool bootstrap = false) {
    config::KafkaSource config;
    config.topic = "in";
    config.bootstrap = bootstrap;
    auto made = std::make_unique<KafkaSource>(io, config, "s", connection, intake);
    made->start();
    return made;
  }
  std::unique_ptr<kafka::MockCluster> cluster;
  kafka::Connection connection;
  boost::asio::io_context io;
};

}  // namespace

TEST_CASE("a kafka source goes on where the last durable epoch ended") {
  Topic topic;
  topic.produce(0, 1000);
  FakeIntake intake;
  intake.room_up_to = 300;
  {
    auto source = topic.source(intake);
    REQUIRE(test::run_until(topic.io, [&] { return intake.accepted.size() == 300; }));
    test::run_ready(topic.io);
    CHECK(intake.accepted.size() == 300);  // no room
    intake.commit(*source);
    intake.room_up_to = 500;
    source->on_room();
    REQUIRE(test::run_until(topic.io, [&] { return intake.accepted.size() == 500; }));
  }  // 200 of them are lost with the process
  auto next = intake.after_crash();
  auto source = topic.source(*next);
  REQUIRE(test::run_until(topic.io, [&] { return next->accepted.size() >= 1000; }));
  topic.produce(1000, 1010);
  REQUIRE(test::run_until(topic.io, [&] { return next->accepted.size() >= 1010; }));
  next->commit(*source);
  auto payloads = next->payloads();
  std::sort(payloads.begin(), payloads.end());
  CHECK(std::adjacent_find(payloads.begin(), payloads.end()) == payloads.end());
  CHECK(payloads.size() == 1010);
  CHECK(next->positions == std::map<std::string, std::string>{{"offset/in/0", "505"}, {"offset/in/1", "505"}});
  CHECK(source->state() == "reads topic in (2 partitions)");
}

TEST_CASE("a record brings its key and time, and a tombstone is one") {
  Topic topic;
  topic.produce(0, 1);
  topic.produce(7, 8, true);
  FakeIntake intake;
  auto source = topic.source(intake);
  REQUIRE(test::run_until(topic.io, [&] { return intake.accepted.size() == 2; }));
  const auto& first = intake.accepted[intake.accepted[0].null ? 1 : 0];
  const auto& second = intake.accepted[intake.accepted[0].null ? 0 : 1];
  CHECK((first.payload == "{\"n\":0}" && first.key == "k0" && first.timestamp_ms == 1000 && !first.null));
  CHECK((second.payload.empty() && second.key == "k7" && second.timestamp_ms == 1007 && second.null));
  CHECK(first.topic == "in");
}

TEST_CASE("a table is ready when what it had at first is taken in, and from then on at once") {
  Topic topic;
  topic.produce(0, 100);
  FakeIntake intake;
  intake.room_up_to = 50;
  {
    auto source = topic.source(intake, true);
    REQUIRE(test::run_until(topic.io, [&] { return intake.accepted.size() == 50; }));
    CHECK_FALSE(source->ready());
    intake.room_up_to = SIZE_MAX;
    source->on_room();
    REQUIRE(test::run_until(topic.io, [&] { return source->ready(); }));
    CHECK(intake.accepted.size() == 100);
    intake.commit(*source);
  }
  auto next = intake.after_crash();
  CHECK(topic.source(*next, true)->ready());
  topic.cluster->cut_link();
  auto without_epoch = std::make_unique<FakeIntake>();
  auto source = topic.source(*without_epoch, true);
  REQUIRE(test::run_until(topic.io, [&] { return source->state().find("the broker is tried again") != std::string::npos; }));
  CHECK_FALSE(source->ready());
}

TEST_CASE("a topic of several partitions is read although a round trip takes more than half of a call's time", "[slow]") {
  Topic topic;
  topic.produce(0, 10);
  topic.cluster->set_delay(1'200);
  FakeIntake intake;
  auto source = topic.source(intake);
  REQUIRE(test::run_until(topic.io, [&] { return intake.accepted.size() == 10; }, std::chrono::seconds(40)));
}

TEST_CASE("positions that make no sense and topics that are not there are said, and nothing ends", "[slow]") {
  Topic topic;
  topic.produce(0, 10);
  FakeIntake intake;
  intake.start_with({{"offset/in/0", "x"}, {"offset/in/1", "5"}, {"offset/other/0", "3"}});
  auto source = topic.source(intake);
  REQUIRE(test::run_until(topic.io, [&] { return intake.accepted.size() == 5; }));
  FakeIntake beyond;
  beyond.start_with({{"offset/in/0", "99"}});
  auto stopped = topic.source(beyond);
  REQUIRE(test::run_until(topic.io, [&] { return stopped->state().find("was the topic made anew? Nothing of it is read: to read it from its beginning, give the source another name") != std::string::npos; }));
  CHECK(beyond.accepted.empty());
  beyond.commit(*stopped);
  CHECK(beyond.positions.count("stopped/in") == 1);  // also after a restart, however long the new topic has become
  stopped.reset();
  beyond.positions["offset/in/0"] = "1";
  auto next = beyond.after_crash();
  auto still = topic.source(*next);
  REQUIRE(test::run_until(topic.io, [&] { return still->state().find("give the source another name") != std::string::npos; }));
  CHECK(next->accepted.empty());
}

TEST_CASE("a table whose topic was made anew is read again from the beginning of every partition") {
  Topic topic;
  topic.produce(0, 10);
  FakeIntake intake;
  intake.start_with({{"offset/in/0", "99"}, {"offset/in/1", "3"}, {"whole/in", "1"}});
  auto source = topic.source(intake, true);
  REQUIRE(test::run_until(topic.io, [&] { return intake.accepted.size() == 10; }));
  intake.commit(*source);
  CHECK(intake.positions["offset/in/0"] == "5");
  CHECK(intake.positions["offset/in/1"] == "5");
}

TEST_CASE("a mark of what another agent dropped is behind the position once it was passed, and counted once") {
  Topic topic;
  topic.produce(0, 10);
  topic.produce_gap(1);
  FakeIntake intake;
  intake.room_up_to = 7;
  {
    auto source = topic.source(intake);
    REQUIRE(test::run_until(topic.io, [&] { return intake.accepted.size() == 7; }));
    test::run_ready(topic.io);
    intake.commit(*source);
    CHECK(intake.positions["offset/in/1"] != "6");  // records before it are not yet taken in
    intake.room_up_to = SIZE_MAX;
    source->on_room();
    REQUIRE(test::run_until(topic.io, [&] { return intake.counts["gap_records"] == 1; }));
    topic.produce(10, 12);
    REQUIRE(test::run_until(topic.io, [&] { return intake.accepted.size() == 12; }));
    topic.produce_gap(0);
    REQUIRE(test::run_until(topic.io, [&] { return intake.counts["gap_records"] == 2; }));
    intake.commit(*source);
  }
  CHECK(intake.positions == std::map<std::string, std::string>{{"offset/in/0", "7"}, {"offset/in/1", "7"}});
  auto next = intake.after_crash();
  auto source = topic.source(*next);
  topic.produce(12, 14);
  REQUIRE(test::run_until(topic.io, [&] { return next->accepted.size() >= 14; }));
  CHECK(next->accepted.size() == 14);
  CHECK(next->counts["gap_records"] == 0);
}
