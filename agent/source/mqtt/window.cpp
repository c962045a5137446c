#include "agent/source/mqtt/window.h"

#include <algorithm>
#include <utility>

namespace rivulet::source::mqtt {

void Window::connected() {
  in_flight_ = stalled_ = candidate_ = times_ = small_ = 0;
  most_ = kUsual;
}

void Window::delivered(std::int64_t now_ms) {
  const bool prompt = now_ms - freed_ms_ <= kPromptMs;
  if (!prompt && in_flight_ == 0) small_ = 0;  // it had room and nothing to send: it is not what holds it up
  if (const std::size_t stalled = std::exchange(stalled_, 0); stalled > 0) {
    times_ = prompt && stalled == candidate_ ? times_ + 1 : prompt ? 1 : 0;
    candidate_ = stalled;
    if (times_ >= 2) {
      small_ = stalled;
      small_ms_ = now_ms;
    }
  }
  if (in_flight_++ == 0) first_ms_ = now_ms;
  last_ms_ = now_ms;
  most_ = std::max(most_, in_flight_);
  if (in_flight_ > small_) small_ = 0;
}

void Window::freed(std::size_t count, std::int64_t now_ms) {
  if (count == 0) return;
  const std::int64_t quiet_ms = now_ms - last_ms_, burst_ms = last_ms_ - first_ms_;
  const bool all = count >= in_flight_;
  stalled_ = all && quiet_ms >= kQuietMs && quiet_ms >= 4 * burst_ms ? in_flight_ : 0;
  in_flight_ -= std::min(count, in_flight_);
  freed_ms_ = now_ms;
}

std::size_t Window::half(std::int64_t now_ms) const {
  const bool small = small_ > 0 && now_ms - small_ms_ < kForgetMs;
  return std::max<std::size_t>(1, std::min(small ? small_ : most_, receive_maximum_) / 2);
}

}  // namespace rivulet::source::mqtt
