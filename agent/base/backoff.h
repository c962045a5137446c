// Backoff: how long to wait before the next attempt: doubling from the first wait to the longest, each cut by up to a half at random.
//
// The cut keeps many devices that lost the same thing at the same moment from coming back together. Thread: the owner's. Unit: ms.
#pragma once
#include <algorithm>
#include <cstdint>
#include <random>

namespace rivulet {

class Backoff {
 public:
  Backoff(std::int64_t first_ms, std::int64_t last_ms, std::uint32_t seed = std::random_device{}())
      : first_ms_(first_ms), last_ms_(std::max(first_ms, last_ms)), now_ms_(first_ms), random_(seed) {}

  std::int64_t next_ms() {
    const std::int64_t whole = now_ms_;
    now_ms_ = whole > last_ms_ / 2 ? last_ms_ : 2 * whole;
    return whole - std::uniform_int_distribution<std::int64_t>(0, whole / 2)(random_);
  }
  void reset() { now_ms_ = first_ms_; }

 private:
  std::int64_t first_ms_, last_ms_, now_ms_;
  std::minstd_rand random_;
};

}  // namespace rivulet
