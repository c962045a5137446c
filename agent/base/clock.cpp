#include "agent/base/clock.h"

#include <time.h>

#include <chrono>

namespace rivulet {

// Asked of the system and not of std::chrono::system_clock, which reads it inside libstdc++: that of Debian 12's armhf has 32-bit seconds.
static_assert(sizeof(time_t) == 8, "seconds are needed beyond 2038: _TIME_BITS=64");

std::int64_t SystemClock::wall_ms() const {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

std::int64_t SystemClock::steady_ms() const {
  using namespace std::chrono;
  return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

}  // namespace rivulet
