// Packs, with random records and with random damage. RIVULET_SEED=n repeats a run.
#include <array>
#include <cstdlib>
#include <limits>
#include <random>

#include "agent/base/bytes.h"
#include "store/pack.h"
#include "tests/support/catch.h"

using namespace rivulet;
using namespace rivulet::store;

namespace {

std::uint64_t base_seed() {
  const char* text = std::getenv("RIVULET_SEED");
  return text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
}

std::optional<std::string> random_bytes(std::mt19937_64& random) {
  switch (random() % 5) {
    case 0: return std::nullopt;
    case 1: return "";
    case 2: return std::string(random() % 300, static_cast<char>(random()));
    default: {
      std::string text(random() % (random() % 20 == 0 ? 70'000 : 200), '\0');
      for (char& c : text) c = static_cast<char>(random());
      return text;
    }
  }
}

Timestamp random_time(std::mt19937_64& random) {
  switch (random() % 4) {
    case 0: return std::numeric_limits<Timestamp>::min();
    case 1: return std::numeric_limits<Timestamp>::max();
    default: return 1'700'000'000'000 + static_cast<Timestamp>(random() % 1000);
  }
}

struct Kept {
  std::optional<std::string> key, value;
  Timestamp timestamp_ms = 0;
  std::optional<Window> window = std::nullopt;
};

struct Made {
  std::vector<Kept> records;
  std::string body;
  bool windows = false;
};

Made make(std::mt19937_64& random) {
  Made made;
  Timestamp previous_ms = 0;
  made.windows = random() % 2 == 0;
  for (std::uint64_t n = random() % 50 + 1; n > 0; --n) {
    Kept record{random_bytes(random), random_bytes(random), random_time(random)};
    if (made.windows && random() % 3 != 0) record.window = Window{random_time(random), random_time(random), random() % 2 == 0};
    append_to_body(made.body, record.key, record.value, record.timestamp_ms, previous_ms);
    if (made.windows) append_window_to_body(made.body, record.window);
    previous_ms = record.timestamp_ms;
    made.records.push_back(std::move(record));
  }
  return made;
}

bool same(const std::vector<PackRecord>& found, const std::vector<Kept>& expected, std::size_t skip) {
  if (found.size() != expected.size() - skip) return false;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const Kept& other = expected[i + skip];
    if (found[i].key != other.key || found[i].value != other.value || found[i].timestamp_ms != other.timestamp_ms || found[i].window != other.window) return false;
  }
  return true;
}

// As an attacker or a bug of ours would write it: the checksum is right, the rest need not be.
std::string resealed(std::string row) {
  PackCodec codec;
  if (row.size() < 6) return row;
  for (int sum_byte = 0; sum_byte < 4; ++sum_byte) row[2 + static_cast<std::size_t>(sum_byte)] = 0;
  const std::string sum = pack_checksum(std::string_view(row).substr(6));
  return row.replace(2, 4, sum);
}

}  // namespace

TEST_CASE("what goes into a pack comes out of it, whatever the bytes, the times and the codec") {
  PackCodec codec;
  for (std::uint64_t seed = base_seed(); seed < base_seed() + 300; ++seed) {
    INFO("RIVULET_SEED=" << seed);
    std::mt19937_64 random(seed);
    const Made made = make(random);
    const Compression compression = std::array{Compression::none, Compression::lz4, Compression::zstd}[seed % 3];
    const std::string row = codec.encode(made.body, made.records.size(), compression, made.windows);
    CHECK(row.size() <= made.body.size() + 32);
    const std::size_t skip = random() % made.records.size();
    const auto found = codec.decode(row, skip);
    REQUIRE(found.has_value());
    CHECK(same(found->records, made.records, skip));
  }
}

TEST_CASE("one flipped bit anywhere in a pack is noticed") {
  PackCodec codec;
  for (std::uint64_t seed = base_seed(); seed < base_seed() + 60; ++seed) {
    INFO("RIVULET_SEED=" << seed);
    std::mt19937_64 random(seed);
    const Made made = make(random);
    const Compression compression = std::array{Compression::none, Compression::lz4, Compression::zstd}[seed % 3];
    const std::string row = codec.encode(made.body, made.records.size(), compression, made.windows);
    int missed = 0;
    for (int i = 0; i < 40; ++i) {
      std::string bad = row;
      bad[random() % bad.size()] ^= static_cast<char>(1U << (random() % 8));
      const auto found = codec.decode(bad);
      // The codec byte is not summed; another codec must not give other records.
      if (found.has_value()) missed += same(found->records, made.records, 0) ? 0 : 1;
      else CHECK(found.error().code == ErrorCode::corrupt);
    }
    CHECK(missed == 0);
  }
}

TEST_CASE("whatever bytes are decoded, with a right checksum too, the answer is records or corrupt") {
  PackCodec codec;
  int refused = 0;
  for (std::uint64_t seed = base_seed(); seed < base_seed() + 60; ++seed) {
    INFO("RIVULET_SEED=" << seed);
    std::mt19937_64 random(seed);
    const Made made = make(random);
    const Compression compression = std::array{Compression::none, Compression::lz4, Compression::zstd}[seed % 3];
    const std::string row = codec.encode(made.body, made.records.size(), compression, made.windows);
    for (int i = 0; i < 60; ++i) {
      std::string bad = row;
      for (std::uint64_t n = random() % 4 + 1; n > 0; --n) {
        // Mostly in the head, where the sizes are.
        const std::size_t at = random() % (random() % 2 == 0 ? std::min<std::size_t>(bad.size(), 20) : bad.size());
        switch (random() % 4) {
          case 0: bad[at] = static_cast<char>(random()); break;
          case 1: bad.erase(at, random() % 10 + 1); break;
          case 2: bad.insert(at, std::string(random() % 10 + 1, '\xff')); break;
          default: bad.resize(at); break;
        }
        if (bad.empty()) bad = "x";
      }
      const auto found = codec.decode(resealed(bad), random() % 3);
      if (!found) {
        CHECK(found.error().code == ErrorCode::corrupt);
        ++refused;
      }
    }
  }
  CHECK(refused > 1000);
}
