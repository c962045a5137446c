// Aggregates over random records: however they are split, merged, written and read back, the result is that of adding them one by one.
// RIVULET_SEED=n repeats a run.
#include <algorithm>
#include <cmath>
#include <random>

#include "tests/support/seeds.h"
#include "tests/unit/pipeline/aggregate_fixture.h"

using namespace rivulet;
using namespace rivulet::pipeline;
using rivulet::test::each_seed;

namespace {

const Fields kExact = {{"n", "count(*)"}, {"c", "count(x)"}, {"s", "sum(i)"}, {"a", "avg(i)"}, {"lo", "min(t)"}, {"hi", "max(t)"}, {"f", "first(t)"}, {"l", "last(t)"},
                       {"d", "delta(i)"}, {"all", "collect(t)"}, {"set", "collect_set(t)"}, {"u", "count_distinct(t)"}, {"p", "percentile(x, 90)"}, {"m", "median(i)"},
                       {"k", "topk(x, 5)"}, {"y", "topk(t + 0, 7)"}, {"h", "histogram(x, -10, 0, 10)"}, {"w", "count_distinct(i)"}};
// The order in which doubles are added shows in the last digits.
const Fields kNear = {{"s", "sum(x)"}, {"a", "avg(x)"}, {"v", "stddev_pop(x)"}, {"t", "time_weighted_avg(x)"}};

std::string random_record(std::mt19937_64& random) {
  if (random() % 12 == 0) return "null";
  std::string text = "{\"z\":0";
  if (random() % 8 != 0) text += ",\"i\":" + std::to_string(random() % 4 == 0 ? static_cast<std::int64_t>(random()) : static_cast<std::int64_t>(random() % 100) - 50);
  if (random() % 8 != 0) text += ",\"x\":" + std::to_string((static_cast<double>(random() % 200'000) - 100'000) / 1000);
  if (random() % 8 != 0) {
    switch (random() % 5) {
      case 0: text += ",\"t\":" + std::to_string(random() % 20); break;
      case 1: text += ",\"t\":\"" + std::string(random() % 40, static_cast<char>('a' + random() % 26)) + "\""; break;
      case 2: text += ",\"t\":" + std::to_string(static_cast<double>(random() % 40) / 4); break;
      case 3: text += ",\"t\":\"" + std::string(random() % 400, 'w') + std::to_string(random() % 1000) + "\""; break;
      default: text += random() % 2 == 0 ? ",\"t\":true" : ",\"t\":null";
    }
  }
  return text + "}";
}

AggState through_bytes(const Aggregates& aggregates, const AggState& state) {
  std::string bytes, again;
  aggregates.encode(state, bytes);
  auto read = aggregates.decode(bytes);
  REQUIRE(read);
  aggregates.encode(*read, again);
  REQUIRE(again == bytes);
  return std::move(*read);
}

std::vector<double> numbers_of(const std::string& row) {
  std::vector<double> numbers;
  for (std::size_t at = row.find(':'); at != std::string::npos; at = row.find(':', at + 1)) numbers.push_back(row.compare(at + 1, 4, "null") == 0 ? NAN : std::atof(row.c_str() + at + 1));
  return numbers;
}

void check_near(const std::string& a, const std::string& b) {
  const auto one = numbers_of(a), other = numbers_of(b);
  REQUIRE(one.size() == other.size());
  for (std::size_t i = 0; i < one.size(); ++i)
    if (std::isnan(one[i]) != std::isnan(other[i]) || std::fabs(one[i] - other[i]) > 1e-9 * (1 + std::fabs(one[i]))) FAIL(a << " is not " << b);
}

std::string first_difference(const std::string& a, const std::string& b) {
  const auto [at, other] = std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(std::min(a.size(), b.size())), b.begin());
  if (a == b) return "none";
  return std::string(at - std::min<std::ptrdiff_t>(40, at - a.begin()), at + std::min<std::ptrdiff_t>(40, a.end() - at)) + " instead of " +
         std::string(other, other + std::min<std::ptrdiff_t>(40, b.end() - other));
}

// Each record goes to one of some parts, which pass through bytes now and then; then the parts are merged in a random order.
void check_parts(const Fields& select, std::uint64_t seed, bool exact) {
  std::mt19937_64 random(seed);
  AggregateFixture whole(select);
  std::vector<AggState> parts(1 + random() % 5);
  const std::size_t records = random() % (seed % 7 == 0 ? 4000 : 80);
  for (std::size_t i = 0; i < records; ++i) {
    REQUIRE(whole.add(random_record(random), static_cast<Timestamp>(random() % 500)));
    AggState& part = parts[random() % parts.size()];
    whole.aggregates->add(part, whole.arrival);
    if (random() % 20 == 0) part = through_bytes(*whole.aggregates, part);
    if (random() % 50 == 0) whole.state = through_bytes(*whole.aggregates, whole.state);
  }
  std::shuffle(parts.begin(), parts.end(), random);
  AggState merged = whole.aggregates->fresh();
  for (AggState& part : parts) whole.aggregates->merge(merged, through_bytes(*whole.aggregates, part));
  const std::string expected = whole.whole();
  whole.state = std::move(merged);
  if (exact) CHECK(first_difference(whole.whole(), expected) == "none");
  else check_near(expected, whole.whole());
}

}  // namespace

TEST_CASE("parts of a random stream merged in any order give what adding its records one by one gives") {
  each_seed(60, [](std::uint64_t seed) { check_parts(kExact, seed, true); });
}

TEST_CASE("sums of reals, deviations and means over time merge to the same but for rounding") {
  each_seed(60, [](std::uint64_t seed) {
    if (seed % 7 != 0) check_parts(kNear, seed, false);
  });
}

TEST_CASE("subtracting any records that were added leaves what adding the others gives") {
  each_seed(60, [](std::uint64_t seed) {
    std::mt19937_64 random(seed);
    const Fields select = {{"n", "count(*)"}, {"c", "count(x)"}, {"s", "sum(i)"}, {"a", "avg(i)"}, {"h", "histogram(x, 0)"}};
    AggregateFixture table(select, "", false, true), others(select, "", false, true);
    table.windowed = others.windowed = false;
    std::vector<std::string> present;
    for (int i = 0; i < 200; ++i) {
      if (!present.empty() && random() % 3 == 0) {
        const auto gone = present.begin() + static_cast<std::ptrdiff_t>(random() % present.size());
        REQUIRE(table.take(*gone));
        table.aggregates->subtract(table.state);
        present.erase(gone);
      } else {
        REQUIRE(table.add(present.emplace_back(random_record(random))));
      }
      if (random() % 10 == 0) table.state = through_bytes(*table.aggregates, table.state);
    }
    for (const std::string& record : present) REQUIRE(others.add(record));
    CHECK(table.whole() == others.whole());
  });
}

TEST_CASE("bytes that were made up with a right checksum are read or refused, and what is read can be used") {
  const auto check = [](std::uint64_t seed) {
    std::mt19937_64 random(seed);
    AggregateFixture fixture(seed % 2 == 0 ? kExact : kNear);
    for (std::uint64_t i = 0; i < seed % 40; ++i) REQUIRE(fixture.add(random_record(random), static_cast<Timestamp>(i)));
    std::string bytes = fixture.bytes();
    bytes.resize(bytes.size() - 4);
    for (std::uint64_t changes = 1 + random() % 4; changes > 0; --changes) {
      const std::size_t at = 1 + random() % (bytes.size() - 1);
      if (random() % 4 == 0) bytes.resize(at + 1);
      else bytes[at] = static_cast<char>(random() % 3 == 0 ? 0xff : random());
      if (bytes.size() < 3) break;
    }
    put_u32_be(bytes, Aggregates::checksum(bytes));
    auto read = fixture.aggregates->decode(bytes);
    if (!read) return;
    fixture.aggregates->merge(fixture.state, *read);
    fixture.state = std::move(*read);
    REQUIRE(fixture.add(random_record(random), 7));
    CHECK_FALSE(fixture.whole().empty());
    CHECK(fixture.aggregates->decode(fixture.bytes()));
  };
  check(20'283);  // a sum so large that the next merge made it infinite
  each_seed(300, check);
}
