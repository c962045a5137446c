#include "agent/pipeline/state/packed_rows.h"

#include <map>
#include <random>

#include "tests/support/catch.h"

using namespace rivulet::pipeline;

namespace {

struct Kept {
  std::string value;
  std::uint32_t log = 0;
  std::uint8_t flags = 0;
};

std::string some_key(std::mt19937_64& random) {
  static const std::string starts[] = {"", "a", std::string(8, '\0'), std::string(7, '\0') + "\x01sensor-", std::string(7, '\0') + "\x01sensor-1", "\xff\xff", std::string(200, 'x')};
  std::string key = starts[random() % std::size(starts)];
  for (auto more = random() % 4; more > 0; --more) key += static_cast<char>(random() % 3 * 127);
  return key;
}

void require_same(const PackedRows& rows, const std::map<std::string, Kept>& model) {
  auto at = rows.begin();
  for (const auto& [key, kept] : model) {
    REQUIRE(!rows.at_end(at));
    REQUIRE(rows.key(at) == key);
    REQUIRE(rows.value(at) == kept.value);
    REQUIRE(rows.head(at).log == kept.log);
    REQUIRE(rows.head(at).flags == kept.flags);
    REQUIRE(rows.head(at).value_bytes == kept.value.size());
    at = rows.next(at);
  }
  REQUIRE(rows.at_end(at));
}

}  // namespace

TEST_CASE("packed rows are a map in order, whatever keys have in common", "[slow]") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    PackedRows rows;
    std::map<std::string, Kept> model;
    for (int i = 0; i < 800; ++i) {
      const std::string key = some_key(random);
      auto at = rows.lower_bound(key);
      const auto expected = model.lower_bound(key);
      REQUIRE(rows.at_end(at) == (expected == model.end()));
      if (!rows.at_end(at)) REQUIRE(rows.key(at) == expected->first);
      REQUIRE(rows.is(at, key) == (model.count(key) == 1));
      if (random() % 4 == 0) {
        if (rows.is(at, key)) rows.erase(at);
        model.erase(key);
      } else {
        const std::string value(random() % 50 == 0 ? random() % 20'000 : random() % 40, static_cast<char>('a' + random() % 26));
        at = rows.put(at, key, value);
        Kept& kept = model[key];
        kept.value = value;
        REQUIRE(rows.key(at) == key);
        if (random() % 2 == 0) {
          kept.log = static_cast<std::uint32_t>(random());
          kept.flags = static_cast<std::uint8_t>(random());
          rows.set(at, kept.log, kept.flags);
        }
      }
      if (i % 50 == 0) require_same(rows, model);
    }
    require_same(rows, model);
    while (!rows.empty()) rows.erase(rows.begin());
    REQUIRE(rows.memory_bytes() == 0);
  }
}

TEST_CASE("what the keys of a leaf share takes memory once", "[slow]") {
  std::mt19937_64 random(1);
  PackedRows rows;
  std::map<std::string, int> keys;
  std::size_t most = 0;
  for (const char* window : {"\x01", "\x02", "\x03"}) {
    for (int i = 0; i < 20'000; ++i) {
      const std::string key = std::string(7, '\0') + window + "sensor-" + std::to_string(random() % 1'000'000);
      rows.put(rows.lower_bound(key), key, std::string(27, 'v'));
      keys[key] = i;
    }
    most = std::max(most, rows.memory_bytes() / keys.size());
  }
  REQUIRE(most < 27 + 6 + 22);  // value, what keys do not share, all else
}
