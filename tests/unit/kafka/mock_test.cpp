#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <thread>
#include <utility>

#include "agent/kafka/admin.h"
#include "agent/kafka/mock_cluster.h"
#include "agent/kafka/producer.h"
#include "agent/kafka/reader.h"
#include "agent/kafka/rv_header.h"
#include "agent/kafka/verify.h"
#include "tests/support/catch.h"

using namespace rivulet;
using namespace rivulet::kafka;

namespace {

struct Fixture {
  Fixture() : cluster(MockCluster::start().value()) { connection.brokers = {cluster->bootstrap_servers()}; }
  std::unique_ptr<MockCluster> cluster;
  Connection connection;

  std::unique_ptr<Producer> producer(bool transactional = true) {
    ProducerOptions options;
    if (transactional) options.transactional_id = "rivulet-test";
    options.transaction_timeout_ms = 10'000;
    auto made = Producer::create(connection, options).value();
    if (transactional) REQUIRE_FALSE(until([&] { return made->init_transactions(500); }));
    return made;
  }

  static Failure until(const std::function<Failure()>& call) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    for (;;) {
      const auto failure = call();
      const bool again = failure.kind == FailureKind::pending || failure.kind == FailureKind::retry;
      if (!again || std::chrono::steady_clock::now() > deadline) return failure;
    }
  }

  std::vector<std::pair<std::optional<std::string>, std::optional<std::string>>> read(const std::string& topic, int partition) {
    auto reader = Reader::create(connection, Isolation::committed).value();
    const auto marks = reader->watermarks({topic, partition}, 5'000);
    REQUIRE_FALSE(marks.failure);
    std::vector<std::pair<std::optional<std::string>, std::optional<std::string>>> records;
    const auto progress = reader->read({{{topic, partition}, marks.start, marks.end}}, 5'000, [&](const Fetched& f) {
      records.emplace_back(f.key, f.value);
      return true;
    });
    CHECK_FALSE(progress.failure);
    return records;
  }
};

}  // namespace

TEST_CASE("a transaction's delivery report says for each partition which records went where") {
  Fixture f;
  REQUIRE(f.cluster->create_topic("data", 4).has_value());
  auto producer = f.producer();
  REQUIRE_FALSE(producer->begin());
  const int topic = producer->topic("data");
  CHECK(producer->topic("data") == topic);
  for (std::uint32_t i = 0; i < 1000; ++i) {
    const auto key = "k" + std::to_string(i % 17);
    std::string header;
    encode_rv(header, rv_prefix("a", 1, Uuid{}), i + 1);
    Message message;
    message.topic = topic;
    message.key = key;
    message.value = "v";
    message.rv = header;
    message.index = i;
    REQUIRE_FALSE(producer->produce(message, 1000));
  }
  REQUIRE_FALSE(Fixture::until([&] { return producer->flush(500); }));
  const auto report = producer->report();
  CHECK_FALSE(report.failure);
  CHECK_FALSE(report.without_offset);
  std::vector<bool> seen(1000);
  for (const auto& p : report.partitions) {
    CHECK(p.where.topic == "data");
    std::uint64_t rows = 0;
    for (const auto& range : p.rows) {
      for (auto i = range.first; i <= range.last; ++i) {
        CHECK_FALSE(seen[i]);
        seen[i] = true;
        ++rows;
      }
    }
    CHECK(p.first_offset == 0);
    CHECK(p.last_offset == static_cast<std::int64_t>(rows) - 1);
    CHECK(p.last_index == p.rows.back().last);
  }
  CHECK(std::count(seen.begin(), seen.end(), true) == 1000);
  REQUIRE_FALSE(Fixture::until([&] { return producer->commit(500); }));
  CHECK(producer->end_txn_requests() == 1);
  CHECK(producer->timed_out_requests() == 0);

  std::vector<TopicPartition> where;
  for (const auto& p : report.partitions) where.push_back(p.where);
  const auto stable = producer->stable_offsets(where, 5'000);
  REQUIRE_FALSE(stable.failure);
  for (std::size_t i = 0; i < where.size(); ++i) CHECK(stable.offsets[i] == report.partitions[i].last_offset + 1);
  const auto verified = verify(f.connection, "data");
  REQUIRE(verified.has_value());
  CHECK(verified->ok());
  CHECK(verified->records == 1000);
}

TEST_CASE("a null key or value differs from an empty one on the wire") {
  Fixture f;
  REQUIRE(f.cluster->create_topic("data", 1).has_value());
  auto producer = f.producer(false);
  producer->start_report();
  Message message;
  message.topic = producer->topic("data");
  REQUIRE_FALSE(producer->produce(message, 1000));
  message.key = "";
  message.value = "";
  message.index = 1;
  REQUIRE_FALSE(producer->produce(message, 1000));
  REQUIRE_FALSE(Fixture::until([&] { return producer->flush(500); }));
  const auto records = f.read("data", 0);
  REQUIRE(records.size() == 2);
  CHECK(records[0] == std::pair<std::optional<std::string>, std::optional<std::string>>{std::nullopt, std::nullopt});
  CHECK(records[1] == std::pair<std::optional<std::string>, std::optional<std::string>>{"", ""});
}

TEST_CASE("a record that is too large fails alone and says so") {
  Fixture f;
  REQUIRE(f.cluster->create_topic("data", 1).has_value());
  auto producer = f.producer();
  REQUIRE_FALSE(producer->begin());
  const std::string big(2'000'000, 'x');
  Message message;
  message.topic = producer->topic("data");
  message.value = big;
  CHECK(producer->produce(message, 1000).kind == FailureKind::record);
}

TEST_CASE("a batch that the broker refuses is reported with its first record and its size") {
  Fixture f;
  REQUIRE(f.cluster->create_topic("data", 1).has_value());
  auto producer = f.producer(false);
  f.cluster->push_errors(0, 87, 1);  // Produce: INVALID_RECORD
  producer->start_report();
  Message message;
  message.topic = producer->topic("data");
  message.value = "x";
  for (std::uint32_t i = 0; i < 3; ++i) {
    message.index = i;
    REQUIRE_FALSE(producer->produce(message, 1000));
  }
  REQUIRE_FALSE(Fixture::until([&] { return producer->flush(500); }));
  const auto report = producer->report();
  CHECK(report.failure.kind == FailureKind::record);
  CHECK(report.failed_index == 0);
  CHECK(report.failed_topic == "data");
  CHECK(report.failed_records >= 1);
}

TEST_CASE("a topic that a transaction may not write is named, in the next one it is forgotten") {
  Fixture f;
  for (const char* topic : {"data", "more"}) REQUIRE(f.cluster->create_topic(topic, 1).has_value());
  auto producer = f.producer();
  for (const char* topic : {"data", "more"}) REQUIRE_FALSE(Fixture::until([&] { return producer->metadata(topic, 500).failure; }));
  REQUIRE_FALSE(producer->begin());
  f.cluster->push_errors(24, 29, 1);  // AddPartitionsToTxn: TOPIC_AUTHORIZATION_FAILED
  for (const char* topic : {"data", "more"}) {
    Message message;
    message.topic = producer->topic(topic);
    message.value = "x";
    REQUIRE_FALSE(producer->produce(message, 1000));
  }
  REQUIRE_FALSE(Fixture::until([&] { return producer->flush(500); }));
  const auto report = producer->report();
  CHECK(report.failure.kind == FailureKind::topic);
  CHECK(report.denied_topics.contains(report.failed_topic));
  CHECK_THAT(report.failure.message, ContainsSubstring("authorization"));
  producer->start_report();
  CHECK_FALSE(producer->report().failure);
}

TEST_CASE("a lost EndTxn reply shows as a second EndTxn request") {
  Fixture f;
  REQUIRE(f.cluster->create_topic("data", 1).has_value());
  auto producer = f.producer();
  REQUIRE_FALSE(producer->begin());
  Message message;
  message.topic = producer->topic("data");
  message.value = "x";
  REQUIRE_FALSE(producer->produce(message, 1000));
  REQUIRE_FALSE(Fixture::until([&] { return producer->flush(500); }));
  f.cluster->push_errors(26, 14, 1);  // EndTxn: COORDINATOR_LOAD_IN_PROGRESS, retried inside librdkafka
  REQUIRE_FALSE(Fixture::until([&] { return producer->commit(500); }));
  CHECK(producer->end_txn_requests() == 2);
}

TEST_CASE("a fenced producer is told apart from other failures") {
  Fixture f;
  REQUIRE(f.cluster->create_topic("data", 1).has_value());
  auto producer = f.producer();
  REQUIRE_FALSE(producer->begin());
  Message message;
  message.topic = producer->topic("data");
  message.value = "x";
  REQUIRE_FALSE(producer->produce(message, 1000));
  REQUIRE_FALSE(Fixture::until([&] { return producer->flush(500); }));
  f.cluster->push_errors(26, 90, 1);  // EndTxn: PRODUCER_FENCED
  CHECK(Fixture::until([&] { return producer->commit(500); }).kind == FailureKind::fenced);
}

TEST_CASE("a request without an answer is counted") {
  Fixture f;
  f.connection.extra["socket.timeout.ms"] = "1000";
  REQUIRE(f.cluster->create_topic("data", 1).has_value());
  auto producer = f.producer();
  REQUIRE_FALSE(producer->metadata("data", 5'000).failure);
  REQUIRE_FALSE(producer->begin());
  f.cluster->set_delay(4'000);
  Message message;
  message.topic = producer->topic("data");
  message.value = "x";
  REQUIRE_FALSE(producer->produce(message, 1000));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (producer->timed_out_requests() == 0 && std::chrono::steady_clock::now() < deadline) (void)producer->flush(50);
  CHECK(producer->timed_out_requests() > 0);
}

TEST_CASE("a producer with records in flight and a dead link is destroyed at once") {
  Fixture f;
  REQUIRE(f.cluster->create_topic("data", 1).has_value());
  auto producer = f.producer();
  REQUIRE_FALSE(producer->begin());
  f.cluster->cut_link();
  Message message;
  message.topic = producer->topic("data");
  message.value = "x";
  for (std::uint32_t i = 0; i < 100; ++i) {
    message.index = i;
    REQUIRE_FALSE(producer->produce(message, 1000));
  }
  CHECK(producer->flush(100).kind == FailureKind::pending);
  const auto begin = std::chrono::steady_clock::now();
  producer.reset();
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));  // the messages would wait for 10
}

TEST_CASE("a record of any size that message.max.bytes allows fits into the queue") {
  Fixture f;
  REQUIRE(f.cluster->create_topic("data", 1).has_value());
  f.connection.extra["message.max.bytes"] = "8388608";
  ProducerOptions options;
  options.transaction_timeout_ms = 60'000;
  options.buffer_bytes = 1 << 20;
  const auto producer = Producer::create(f.connection, options).value();
  REQUIRE_FALSE(Fixture::until([&] { return producer->metadata("data", 500).failure; }));
  const std::string large(7'000'000, 'x');
  Message message;
  message.topic = producer->topic("data");
  message.value = large;
  CHECK_FALSE(producer->produce(message, 0));
}

TEST_CASE("a full queue says so at once, and is filled again when all of it has left") {
  Fixture f;
  REQUIRE(f.cluster->create_topic("data", 1).has_value());
  ProducerOptions options;
  options.transaction_timeout_ms = 60'000;
  options.buffer_bytes = 1 << 20;
  auto producer = Producer::create(f.connection, options).value();
  REQUIRE_FALSE(Fixture::until([&] { return producer->metadata("data", 500).failure; }));
  f.cluster->cut_link();
  Message message;
  message.topic = producer->topic("data");
  message.value = "x";
  std::uint32_t queued = 0;
  Failure failure;
  for (; queued < 100'000; ++queued) {
    message.index = queued;
    failure = producer->produce(message, 0);
    if (failure) break;
  }
  CHECK(failure.kind == FailureKind::pending);
  CHECK(queued > 1000);
  CHECK(queued < 4000);  // 640 bytes are counted for each
  CHECK(producer->produce(message, 50).kind == FailureKind::pending);
  f.cluster->restore_link();
  REQUIRE_FALSE(producer->produce(message, 20'000));
  const auto report = producer->report();
  CHECK_FALSE(report.failure);
  REQUIRE(report.partitions.size() == 1);
  REQUIRE(report.partitions[0].rows.size() == 1);
  CHECK(report.partitions[0].rows[0].first == 0);
  CHECK(report.partitions[0].rows[0].last == queued - 1);  // all but the one that waited
  CHECK_FALSE(producer->flush(20'000));
  CHECK(producer->report().partitions[0].rows[0].last == queued);
}

TEST_CASE("admin names a topic that does not exist and a cluster that does not answer") {
  Fixture f;
  REQUIRE(f.cluster->create_topic("data", 3).has_value());
  auto admin = Admin::create(f.connection).value();
  const auto info = admin->cluster(5'000);
  REQUIRE(info.has_value());
  CHECK(info->brokers == 1);
  CHECK_FALSE(info->id.empty());
  CHECK(admin->topic("data", 5'000)->partitions == 3);
  f.cluster->cut_link();
  const auto gone = admin->cluster(300);
  REQUIRE_FALSE(gone.has_value());
  CHECK(gone.error().code == ErrorCode::unavailable);
}

TEST_CASE("where a partition begins and ends is known although a round trip takes most of a call's time") {
  Fixture f;
  REQUIRE(f.cluster->create_topic("data", 1).has_value());
  auto reader = Reader::create(f.connection, Isolation::committed).value();
  REQUIRE_FALSE(reader->metadata("data", 5'000).failure);
  REQUIRE_FALSE(reader->watermarks({"data", 0}, 5'000).failure);  // it is connected
  f.cluster->set_delay(600);
  CHECK_FALSE(reader->watermarks({"data", 0}, 1'000).failure);
  CHECK(reader->watermarks({"data", 0}, 1'000, [] { return true; }).failure.kind == FailureKind::pending);
}

// A forwarder that is to end, and the watchdog, count on it: librdkafka keeps a request for a broker that is gone for socket.timeout.ms, a minute.
TEST_CASE("a question to a broker that is gone ends in its time") {
  Fixture f;
  REQUIRE(f.cluster->create_topic("data", 3).has_value());
  const std::vector<TopicPartition> all{{"data", 0}, {"data", 1}, {"data", 2}};
  auto producer = f.producer(false);
  auto reader = Reader::create(f.connection, Isolation::uncommitted).value();
  REQUIRE_FALSE(producer->metadata("data", 5'000).failure);
  REQUIRE_FALSE(reader->metadata("data", 5'000).failure);
  REQUIRE_FALSE(reader->watermarks(all[0], 5'000).failure);
  CHECK(reader->ends(all, 5'000).offsets == std::vector<std::int64_t>{0, 0, 0});
  CHECK(producer->stable_offsets(all, 5'000).offsets == std::vector<std::int64_t>{0, 0, 0});
  f.cluster->cut_link();
  const auto in_time = [](const char* what, const std::function<Failure()>& call) {
    INFO(what);
    const auto begin = std::chrono::steady_clock::now();
    const auto failure = call();
    CHECK(failure);
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
  };
  in_time("watermarks", [&] { return reader->watermarks(all[0], 300).failure; });
  in_time("ends", [&] { return reader->ends(all, 300).failure; });
  in_time("stable offsets", [&] { return producer->stable_offsets(all, 300).failure; });
  in_time("a reader's metadata", [&] { return reader->metadata("data", 300).failure; });
  in_time("a producer's metadata", [&] { return producer->metadata("data", 300).failure; });
  in_time("a reader's end", [&] { return reader.reset(), Failure{FailureKind::link, 0, "it is gone"}; });
  in_time("a producer's end", [&] { return producer.reset(), Failure{FailureKind::link, 0, "it is gone"}; });
}

// librdkafka registers a partition with the transaction on a thread of its own: a producer that went in that moment took the process with it.
TEST_CASE("a producer may go in any moment of a transaction") {
  Fixture f;
  REQUIRE(f.cluster->create_topic("data", 8).has_value());
  for (int turn = 0; turn < 150; ++turn) {
    auto producer = f.producer();
    REQUIRE_FALSE(producer->begin());
    Message message;
    message.topic = producer->topic("data");
    message.value = "x";
    for (message.partition = 0; message.partition < 8; ++message.partition) REQUIRE_FALSE(producer->produce(message, 1'000));
    std::this_thread::sleep_for(std::chrono::microseconds(turn * 20));  // it is registered after about 1 ms
  }
}
