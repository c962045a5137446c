#include <random>

#include "agent/forward/prepared.h"
#include "agent/forward/progress.h"
#include "agent/forward/transaction.h"
#include "tests/support/catch.h"

using namespace rivulet;
using namespace rivulet::forward;

namespace {

Prepared example() {
  Prepared p;
  p.transaction = 1234567;
  p.cluster_id = "MkU3OEVBNTcwNTJENDM2Qk";
  p.progress = {"rivulet-progress", 11};
  p.progress_offset = 1LL << 40;
  p.streams = {{1, 5, 900}, {7, 1, 3}};
  p.partitions = {{{"a", 0}, 10, 500, 1, 899, {{1, 5, 700}, {1, 702, 899}, {7, 2, 2}}}, {{"b", 3}, 0, 0, 7, 3, {{7, 1, 1}, {7, 3, 3}}}};
  return p;
}

kafka::Delivered delivered(const std::string& topic, std::int32_t partition, std::int64_t first, std::vector<kafka::IndexRange> rows) {
  kafka::Delivered d;
  d.where = {topic, partition};
  d.first_offset = first;
  std::int64_t count = 0;
  for (const auto& range : rows) count += range.last - range.first + 1;
  d.last_offset = first + count - 1;
  d.last_index = rows.back().last;
  d.rows = std::move(rows);
  return d;
}

}  // namespace

TEST_CASE("PREPARED and the witness come back as they were stored") {
  const auto p = decode_prepared(encode(example()));
  REQUIRE(p.has_value());
  CHECK(*p == example());
  const Witness w{"c", {"t", 2}, -1, 0};
  CHECK(decode_witness(encode(w)).value() == w);
}

TEST_CASE("a PREPARED that is cut, extended or of another version is refused, never half read") {
  const auto whole = encode(example());
  for (std::size_t length = 0; length < whole.size(); ++length) {
    INFO(length);
    CHECK_FALSE(decode_prepared(whole.substr(0, length)).has_value());
  }
  CHECK_FALSE(decode_prepared(whole + '\0').has_value());
  auto newer = whole;
  newer[0] = 9;
  const auto refused = decode_prepared(newer);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::corrupt);
}

TEST_CASE("a PREPARED of random bytes never does harm", "[slow]") {
  const std::uint32_t seed = 1;
  INFO("seed " << seed);
  std::mt19937 random(seed);
  int refused = 0;
  const auto whole = encode(example());
  for (int i = 0; i < 20'000; ++i) {
    auto bytes = whole;
    for (int j = 0; j < 3; ++j) bytes[random() % bytes.size()] = static_cast<char>(random());
    refused += decode_prepared(bytes).has_value() ? 0 : 1;
  }
  CHECK(refused > 0);
}

TEST_CASE("the progress value is the documented JSON and is read back") {
  const auto id = Uuid::parse("11111111-1111-4111-8111-111111111111").value();
  const auto json = encode_progress(id, 17, {{1, 4000, 4711}, {3, 12, 12}});
  CHECK(json == R"({"v":1,"incarnation":"11111111-1111-4111-8111-111111111111","transaction":17,"streams":{"1":4711,"3":12}})");
  const auto progress = decode_progress(json);
  REQUIRE(progress);
  CHECK(progress->incarnation == id);
  CHECK(progress->transaction == 17);
}

TEST_CASE("a progress value that is not ours is no progress") {
  for (const std::string wrong : {"", "null", "[]", "{}", R"({"v":1})", R"({"incarnation":"x","transaction":1})",
                                  R"({"incarnation":"11111111-1111-4111-8111-111111111111","transaction":-1})",
                                  R"({"incarnation":"11111111-1111-4111-8111-111111111111","transaction":"1"})"}) {
    INFO(wrong);
    CHECK_FALSE(decode_progress(wrong));
  }
  CHECK_FALSE(decode_progress(std::string(100'000, '[')));
}

TEST_CASE("an agent's progress partition is within the topic and does not change") {
  std::vector<int> used(16);
  for (int i = 0; i < 1'000; ++i) {
    const auto p = choose_partition("gateway-" + std::to_string(i), 16);
    REQUIRE(p >= 0);
    REQUIRE(p < 16);
    CHECK(p == choose_partition("gateway-" + std::to_string(i), 16));
    ++used[static_cast<std::size_t>(p)];
  }
  for (const int count : used) CHECK(count > 20);
}

TEST_CASE("a transaction's rows are found again from the records' indexes") {
  Transaction t;
  for (Sequence s = 10; s < 20; ++s) CHECK(t.add(1, s) == s - 10);
  CHECK(t.add_gap(1, 20, 29) == 10);
  for (Sequence s = 30; s < 35; ++s) t.add(1, s);
  for (Sequence s = 1; s < 4; ++s) t.add(2, s);
  CHECK(t.records() == 19);
  CHECK(t.row(0) == Rows{1, 10, 10});
  CHECK(t.row(10) == Rows{1, 20, 29});
  CHECK(t.row(18) == Rows{2, 3, 3});
  CHECK(t.rows({{0, 3}, {8, 12}, {15, 17}}) == std::vector<Rows>{{1, 10, 13}, {1, 18, 19}, {1, 20, 29}, {1, 30, 31}, {1, 34, 34}, {2, 1, 2}});
  CHECK(t.streams() == std::vector<Rows>{{1, 10, 34}, {2, 1, 3}});
}

TEST_CASE("PREPARED needs the place of every record") {
  Transaction t;
  for (Sequence s = 1; s <= 4; ++s) t.add(1, s);
  kafka::DeliveryReport report;
  report.partitions = {delivered("a", 0, 100, {{0, 0}, {2, 2}}), delivered("a", 1, 50, {{1, 1}, {3, 3}}), delivered("p", 0, 7, {{4, 4}})};
  const auto prepared = t.prepared(report, 4);
  REQUIRE(prepared);
  CHECK(prepared->progress_offset == 7);
  CHECK(prepared->progress == kafka::TopicPartition{"p", 0});
  REQUIRE(prepared->partitions.size() == 2);
  CHECK(prepared->partitions[0].rows == std::vector<Rows>{{1, 1, 1}, {1, 3, 3}});
  CHECK(prepared->partitions[1].last_sequence == 4);
  report.partitions[1].rows.pop_back();
  CHECK_FALSE(t.prepared(report, 4));
  report.partitions.pop_back();
  CHECK_FALSE(t.prepared(report, 4));
}
