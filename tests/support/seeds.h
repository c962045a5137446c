// Seeds of a random test: always the same ones, unless the environment asks otherwise.
//
// RIVULET_SEED=n runs that seed alone; RIVULET_RUNS=n runs n seeds from one that nobody has seen; RIVULET_PERCENT=n runs the first n of a hundred, one at
// least. The seed under way is in the message of every check that fails. Thread: one.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <random>

#include "tests/support/catch.h"

namespace rivulet::test {

inline void each_seed(std::uint64_t runs, const std::function<void(std::uint64_t)>& run) {
  std::uint64_t first = 1;
  if (const char* seed = std::getenv("RIVULET_SEED")) {
    first = std::strtoull(seed, nullptr, 10);
    runs = 1;
  } else if (const char* more = std::getenv("RIVULET_RUNS")) {
    first = std::random_device{}();
    runs = std::strtoull(more, nullptr, 10);
  } else if (const char* percent = std::getenv("RIVULET_PERCENT")) {
    runs = std::max<std::uint64_t>(1, runs * std::strtoull(percent, nullptr, 10) / 100);
  }
  for (std::uint64_t seed = first; seed < first + runs; ++seed) {
    INFO("RIVULET_SEED=" << seed);
    run(seed);
  }
}

// What random tests ask of their generator.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t below(std::uint64_t bound) { return bound == 0 ? 0 : engine_() % bound; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  template <typename List>
  const auto& pick(const List& list) { return *(std::begin(list) + static_cast<std::ptrdiff_t>(below(std::size(list)))); }

 private:
  std::mt19937_64 engine_;
};

}  // namespace rivulet::test
