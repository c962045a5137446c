#include <librdkafka/rdkafka.h>

#include <memory>
#include <random>
#include <set>

#include "agent/kafka/connection.h"
#include "agent/kafka/delivery.h"
#include "agent/kafka/producer.h"
#include "agent/kafka/reader.h"
#include "agent/kafka/rv_header.h"
#include "agent/kafka/sequence_set.h"
#include "agent/kafka/verify.h"
#include "tests/support/catch.h"

using namespace rivulet;
using namespace rivulet::kafka;

namespace {

std::string rv(Sequence sequence, StreamId stream = 1) {
  std::string bytes;
  encode_rv(bytes, rv_prefix("gateway", stream, Uuid{}), sequence);
  return bytes;
}

std::string rv_gap(Sequence first, Sequence last) {
  std::string bytes;
  encode_rv_gap(bytes, {first, last, "storage limit"});
  return bytes;
}

void add(Tally& tally, std::int32_t partition, std::initializer_list<Sequence> sequences, StreamId stream = 1) {
  for (const Sequence s : sequences) REQUIRE(tally.add(partition, rv(s, stream), std::nullopt).has_value());
}

}  // namespace

TEST_CASE("an rv header comes back as it was written") {
  const auto incarnation = Uuid::random();
  std::string bytes;
  encode_rv(bytes, rv_prefix("gateway-042", 300, incarnation), 1'000'000'007);
  const auto header = decode_rv(bytes);
  REQUIRE(header);
  CHECK(header->agent == "gateway-042");
  CHECK(header->stream == 300);
  CHECK(header->incarnation == incarnation);
  CHECK(header->sequence == 1'000'000'007);
}

TEST_CASE("an rv header that is cut, extended or of another version is not ours") {
  const auto whole = rv(77);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    INFO(length);
    CHECK_FALSE(decode_rv(whole.substr(0, length)));
  }
  CHECK_FALSE(decode_rv(whole + "x"));
  auto newer = whole;
  newer[0] = 2;
  CHECK_FALSE(decode_rv(newer));
  CHECK_FALSE(decode_rv(rv(0)));
  CHECK_FALSE(decode_rv_gap(rv_gap(9, 3)));
}

TEST_CASE("a broker address is host and port, also for IPv6, and nothing else") {
  CHECK(parse_broker("kafka-1:9093")->port == 9093);
  CHECK(parse_broker("kafka-1")->port == 9092);
  CHECK(parse_broker("PLAINTEXT://kafka-1:1")->host == "kafka-1");
  CHECK(parse_broker("[::1]:19092")->host == "::1");
  CHECK(parse_broker("[::1]:19092")->port == 19092);
  for (const auto* wrong : {"", ":9092", "kafka:", "kafka:0", "kafka:65536", "kafka:9092x", "[::1"}) {
    INFO(wrong);
    CHECK_FALSE(parse_broker(wrong));
  }
}

TEST_CASE("a passed-through setting that exactly-once stands on is refused by name") {
  Connection connection{{"127.0.0.1:1"}, {}, {}, {{"enable.idempotence", "false"}}};
  const auto producer = Producer::create(connection, {});
  REQUIRE_FALSE(producer.has_value());
  CHECK_THAT(producer.error().message, ContainsSubstring("enable.idempotence"));
}

TEST_CASE("settings that librdkafka refuses are all told by name, and none with its value") {
  const std::string secret = "sEcReT";
  Connection connection{{"127.0.0.1:1"}, {}, {}, {{"ssl.key.pasword", secret}, {"linger.ms", secret}, {"compression.codec", secret}, {"socket.keepalive.enable", "true"}}};
  const auto producer = Producer::create(connection, {});
  REQUIRE_FALSE(producer.has_value());
  const auto& message = producer.error().message;
  CHECK_THAT(message, !ContainsSubstring(secret));
  CHECK_THAT(message, ContainsSubstring("kafka.librdkafka.compression.codec: ") && ContainsSubstring("kafka.librdkafka.linger.ms: "));
  CHECK_THAT(message, ContainsSubstring("kafka.librdkafka.ssl.key.pasword: librdkafka ") && ContainsSubstring("knows no such setting"));
  CHECK_THAT(message, !ContainsSubstring("keepalive"));
}

TEST_CASE("a wrong password file or mechanism is reported without the password") {
  Connection connection{{"127.0.0.1:1"}, {}, Sasl{"NO-SUCH", "user", "sEcReT"}, {}};
  const auto producer = Producer::create(connection, {});
  REQUIRE_FALSE(producer.has_value());
  CHECK_THAT(producer.error().message, !ContainsSubstring("sEcReT"));
}

TEST_CASE("a sequence set tells what is new, what was there and what is missing, as a std::set does", "[slow]") {
  const std::uint64_t seed = 1;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  SequenceSet set;
  std::set<Sequence> model;
  const Sequence top = 200'000;
  for (int i = 0; i < 100'000; ++i) {
    const Sequence sequence = 1 + random() % top;
    if (set.add(sequence) != model.insert(sequence).second) FAIL(sequence);
  }
  std::uint64_t count = 0;
  for (Sequence s = 1; s <= top; ++s) count += model.contains(s) ? 0 : 1;
  const auto missing = set.missing({1, top}, 1'000'000);
  CHECK(missing.count == count);
  std::uint64_t in_ranges = 0;
  Sequence before = 0;
  for (const auto& range : missing.ranges) {
    CHECK(range.first > before + (before == 0 ? 0 : 1));  // neighbours are one range
    for (auto s = range.first; s <= range.last; ++s)
      if (model.contains(s)) FAIL(s);
    in_ranges += range.last - range.first + 1;
    before = range.last;
  }
  CHECK(in_ranges == count);
}

TEST_CASE("a full stretch of sequence numbers costs no bitmap") {
  SequenceSet set;
  CHECK(set.add({1, 300'000}) == 0);
  CHECK(set.chunks() <= 2);
  CHECK(set.add({299'990, 300'010}) == 11);
  CHECK(set.missing({1, 300'010}, 10).count == 0);
}

TEST_CASE("a stream that is complete over its partitions is in order") {
  Tally tally({false, false});
  for (Sequence s = 1; s <= 100; ++s) REQUIRE(tally.add(s % 3 == 0 ? 1 : 0, rv(s), std::nullopt).has_value());
  const auto report = tally.report();
  CHECK(report.ok());
  CHECK(report.records == 100);
  REQUIRE(report.streams.size() == 1);
  CHECK(report.streams[0].first == 1);
  CHECK(report.streams[0].last == 100);
}

TEST_CASE("verify counts what is missing, doubled and out of order") {
  Tally tally({false});
  for (const Sequence s : {1, 2, 2, 5, 4, 9}) REQUIRE(tally.add(0, rv(s), std::nullopt).has_value());
  const auto report = tally.report();
  CHECK(report.missing == 4);  // 3, 6, 7, 8
  CHECK(report.duplicates == 1);
  CHECK(report.out_of_order == 1);
  CHECK(report.streams[0].missing_ranges == std::vector<SequenceRange>{{3, 3}, {6, 8}});
  CHECK_FALSE(report.ok());
}

TEST_CASE("a first record that is not number one is missing unless retention deleted it") {
  for (const bool trimmed : {false, true}) {
    Tally tally({trimmed});
    for (Sequence s = 5; s <= 8; ++s) REQUIRE(tally.add(0, rv(s), std::nullopt).has_value());
    CHECK(tally.report().missing == (trimmed ? 0U : 4U));
  }
}

TEST_CASE("what retention may have deleted with a whole partition is undecided, neither missing nor in order") {
  Tally tally({false, true});  // partition 1 is empty, and had records
  add(tally, 0, {3, 4, 8});
  auto report = tally.report();
  CHECK(report.ok());
  CHECK(report.missing == 0);
  CHECK(report.undecided == 3);  // 5, 6, 7
  CHECK(report.streams[0].undecided == 3);
  add(tally, 1, {6, 9, 11});  // it has a record after all: from there on it is certain
  report = tally.report();
  CHECK(report.missing == 2);  // 7, 10
  CHECK(report.undecided == 0);
  CHECK(report.not_retained == 1);  // 5
  add(tally, 0, {1, 2, 3}, 2);  // another stream that is complete, without a record there
  report = tally.report();
  CHECK(report.missing == 2);
  CHECK(report.not_retained == 1);
}

TEST_CASE("what was on its way when the reading began fills in, and is missing if it does not come") {
  Tally tally({false, false});
  add(tally, 0, {1, 2});
  add(tally, 1, {3, 7});
  CHECK(tally.report().missing == 3);
  tally.settle({false, false, true});  // a partition came, and has lost its first records already
  add(tally, 0, {4, 6, 9});
  add(tally, 1, {12});
  add(tally, 0, {2}, 2);  // a stream that began later
  CHECK(tally.report().missing == 0);
  CHECK(tally.report().undecided == 1);  // 5: up to 7 it is complete; what came later need not be
  tally.settle({false, false, false});
  CHECK(tally.report().streams[0].missing == 4);  // 5, 8, 10, 11
  add(tally, 2, {5, 8});
  REQUIRE(tally.add(0, rv(14), rv_gap(10, 14)).has_value());
  const auto report = tally.report();
  CHECK(report.streams[0].missing == 0);
  CHECK(report.streams[0].last == 14);
  CHECK(report.streams[0].duplicates == 1);  // the gap says 12 too
  CHECK(report.streams[1].missing == 1);
}

TEST_CASE("what may lie behind an open transaction is undecided, what cannot is missing") {
  Tally tally({false, false});
  add(tally, 0, {1, 4});
  add(tally, 1, {5, 8});
  add(tally, 1, {2}, 2);
  add(tally, 0, {1}, 3);
  tally.settle({false, false});
  const auto report = tally.report({{0, 7, 9}});
  CHECK(report.streams[0].missing == 2);  // 2, 3: partition 0 has 4 already
  CHECK(report.streams[0].undecided == 2);  // 6, 7
  CHECK(report.streams[0].missing_ranges == std::vector<SequenceRange>{{2, 3}});
  CHECK(report.streams[1].missing == 0);
  CHECK(report.streams[1].undecided == 1);
  CHECK(report.streams[2].missing + report.streams[2].undecided == 0);
  CHECK(report.undecided == 3);
  REQUIRE(report.open.size() == 1);
  CHECK(report.open[0].from == 7);
  CHECK(tally.report({{0, 7, 9}, {1, 3, 4}}).streams[0].missing == 2);
  CHECK(tally.report({{1, 3, 4}}).streams[0].missing == 4);
}

TEST_CASE("a stream that a restored incarnation goes on with is one stream: what lies between is missing, what both have is twice") {
  const Uuid before{{1}}, after{{2}};
  const auto of = [](const Uuid& incarnation, Sequence sequence) {
    std::string header;
    encode_rv(header, rv_prefix("gateway", 3, incarnation), sequence);
    return header;
  };
  const auto verified = [&](Sequence last, Sequence first, Sequence other_last = 0) {
    Tally tally({false});
    for (Sequence s = 1; s <= other_last; ++s) REQUIRE(tally.add(0, of(Uuid{{9}}, s), std::nullopt).has_value());
    for (Sequence s = 1; s <= last; ++s) REQUIRE(tally.add(0, of(before, s), std::nullopt).has_value());
    for (Sequence s = first; s <= 40; ++s) REQUIRE(tally.add(0, of(after, s), std::nullopt).has_value());
    return tally.report();
  };
  CHECK(verified(20, 21).ok());
  CHECK(verified(20, 21, 30).ok());  // a store before that ended otherwise is not what was restored
  CHECK(verified(20, 24).missing == 3);
  CHECK(verified(20, 18).duplicates == 3);
  CHECK(verified(20, 1).ok());  // it began anew
  CHECK(verified(0, 21).missing == 20);
  Tally tally({false, false});
  for (Sequence s = 1; s <= 14; ++s) REQUIRE(tally.add(1, of(before, s), std::nullopt).has_value());
  for (Sequence s = 21; s <= 30; ++s) REQUIRE(tally.add(1, of(after, s), std::nullopt).has_value());
  CHECK(tally.report().missing == 6);
  tally.settle({false, false});
  for (Sequence s = 15; s <= 20; ++s) REQUIRE(tally.add(0, of(before, s), std::nullopt).has_value());  // they were on their way
  CHECK(tally.report().ok());
}

TEST_CASE("a gap on purpose is neither missing nor a record") {
  Tally tally({false});
  REQUIRE(tally.add(0, rv(1), std::nullopt).has_value());
  REQUIRE(tally.add(0, rv(4), rv_gap(2, 4)).has_value());
  REQUIRE(tally.add(0, rv(5), std::nullopt).has_value());
  const auto report = tally.report();
  CHECK(report.ok());
  CHECK(report.records == 2);
  CHECK(report.streams[0].gap_sequences == 3);
}

TEST_CASE("records of others do not disturb a verification") {
  Tally tally({false});
  REQUIRE(tally.add(0, "\x01garbage", std::nullopt).has_value());
  REQUIRE(tally.add(0, rv(1), std::nullopt).has_value());
  REQUIRE(tally.add(0, rv(1, 2), std::nullopt).has_value());
  tally.add_without_header();
  const auto report = tally.report();
  CHECK(report.ok());
  CHECK(report.without_header == 2);
  CHECK(report.streams.size() == 2);
}

TEST_CASE("a SCRAM login that the loaded librdkafka gets wrong is told apart by its version") {
  CHECK_THAT(login_problem("SCRAM-SHA-512", 0x020002ff), ContainsSubstring("(2.0.2; mended in 2.6.1)"));
  CHECK_THAT(login_problem("SCRAM-SHA-256", 0x020600ff), ContainsSubstring("SCRAM-SHA-256 does not work with Kafka 4.0"));
  CHECK(login_problem("SCRAM-SHA-512", 0x020601ff).empty());
  CHECK(login_problem("SCRAM-SHA-512", 0x020800ff).empty());
  CHECK(login_problem("PLAIN", 0x020002ff).empty());
  CHECK(library_version() >= 0x02000000);
}

TEST_CASE("of a refused batch the records that were the cause are reported, not those that were only in it") {
  const std::unique_ptr<rd_kafka_t, void (*)(rd_kafka_t*)> handle(rd_kafka_new(RD_KAFKA_PRODUCER, nullptr, nullptr, 0), rd_kafka_destroy);
  const std::unique_ptr<rd_kafka_topic_t, void (*)(rd_kafka_topic_t*)> good(rd_kafka_topic_new(handle.get(), "good", nullptr), rd_kafka_topic_destroy);
  const std::unique_ptr<rd_kafka_topic_t, void (*)(rd_kafka_topic_t*)> odd(rd_kafka_topic_new(handle.get(), "odd", nullptr), rd_kafka_topic_destroy);
  Delivery delivery;
  const auto add = [&](const auto& topic, std::uintptr_t index, rd_kafka_resp_err_t error) {
    rd_kafka_message_t message{};
    message.rkt = topic.get();
    message._private = reinterpret_cast<void*>(index);
    message.err = error;
    message.offset = error == RD_KAFKA_RESP_ERR_NO_ERROR ? static_cast<std::int64_t>(index) : -1;
    delivery.add(message);
  };
  add(good, 0, RD_KAFKA_RESP_ERR_NO_ERROR);
  add(odd, 1, RD_KAFKA_RESP_ERR_INVALID_RECORD);
  add(odd, 2, RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP);
  add(odd, 3, RD_KAFKA_RESP_ERR_INVALID_RECORD);
  add(odd, 4, RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP);
  add(good, 5, RD_KAFKA_RESP_ERR__PURGE_QUEUE);
  auto report = delivery.report();
  CHECK(report.failure.code == invalid_timestamp);
  CHECK(report.failed_topic == "odd");
  CHECK(report.failed_index == 2);
  CHECK(report.failed_records == 2);
  delivery.reset();  // and when the broker has no better word for the cause
  add(odd, 7, RD_KAFKA_RESP_ERR__PURGE_QUEUE);
  add(odd, 8, RD_KAFKA_RESP_ERR_INVALID_RECORD);
  add(odd, 9, RD_KAFKA_RESP_ERR_INVALID_RECORD);
  report = delivery.report();
  CHECK(report.failure.code == RD_KAFKA_RESP_ERR_INVALID_RECORD);
  CHECK(report.failed_index == 8);
  CHECK(report.failed_records == 2);
}
