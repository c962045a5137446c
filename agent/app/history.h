// History: the last hour in coarse steps, so that whoever opens the status page after something went wrong sees when.
//
// Bounds: kSteps samples of 16 bytes, in place: 2,880 bytes, whether somebody looks or not. What is finer (rates of each source, of seconds) the page keeps itself.
// Thread: io. Units: records, seconds, steady milliseconds. Counters that run over 32 bits in a step are cut there.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

namespace rivulet::app {

class History {
 public:
  static constexpr std::size_t kSteps = 180;
  static constexpr std::int64_t kStepMs = 20'000;

  struct Totals {  // since the start
    std::uint64_t in = 0, forwarded = 0, backlog = 0;
    bool link_up = false, healthy = true;
  };
  struct Sample {
    std::uint32_t in = 0, forwarded = 0;  // in this step
    std::uint32_t backlog = 0;            // at its end
    std::uint16_t seconds = 0;            // how long it was: more than usual when io was held up
    std::uint8_t link_up = 0, healthy = 0;
  };
  static_assert(sizeof(Sample) == 16);

  explicit History(std::int64_t now_ms) : since_ms_(now_ms) {}
  bool due(std::int64_t now_ms) const { return now_ms - since_ms_ >= kStepMs; }
  void add(const Totals& totals, std::int64_t now_ms);
  std::vector<Sample> samples() const;  // the oldest first

 private:
  std::array<Sample, kSteps> ring_{};
  std::size_t used_ = 0, next_ = 0;
  std::int64_t since_ms_;
  std::uint64_t in_ = 0, forwarded_ = 0;
};

}  // namespace rivulet::app
