#include "agent/app/history.h"

#include <algorithm>
#include <limits>

namespace rivulet::app {
namespace {

template <class To>
To capped(std::uint64_t number) {
  return static_cast<To>(std::min<std::uint64_t>(number, std::numeric_limits<To>::max()));
}

}  // namespace

void History::add(const Totals& totals, std::int64_t now_ms) {
  Sample& sample = ring_[next_];
  sample.in = capped<std::uint32_t>(totals.in - std::min(in_, totals.in));
  sample.forwarded = capped<std::uint32_t>(totals.forwarded - std::min(forwarded_, totals.forwarded));
  sample.backlog = capped<std::uint32_t>(totals.backlog);
  sample.seconds = capped<std::uint16_t>(static_cast<std::uint64_t>(std::max<std::int64_t>((now_ms - since_ms_ + 500) / 1000, 1)));
  sample.link_up = totals.link_up ? 1 : 0;
  sample.healthy = totals.healthy ? 1 : 0;
  in_ = totals.in;
  forwarded_ = totals.forwarded;
  since_ms_ = now_ms;
  next_ = (next_ + 1) % kSteps;
  used_ = std::min(used_ + 1, kSteps);
}

std::vector<History::Sample> History::samples() const {
  std::vector<Sample> all;
  all.reserve(used_);
  for (std::size_t i = 0; i < used_; ++i) all.push_back(ring_[(next_ + kSteps - used_ + i) % kSteps]);
  return all;
}

}  // namespace rivulet::app
