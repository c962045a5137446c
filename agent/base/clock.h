// Clock: the only place where rivulet reads time. A seam: tests and `replay` put their own here.
//
// wall_ms: milliseconds since 1970 UTC; may jump. steady_ms: monotonic milliseconds since an arbitrary start.
// Thread: any.
#pragma once
#include <cstdint>

namespace rivulet {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual std::int64_t wall_ms() const = 0;
  virtual std::int64_t steady_ms() const = 0;
};

class SystemClock final : public Clock {
 public:
  std::int64_t wall_ms() const override;
  std::int64_t steady_ms() const override;
};

// A clock that moves only when told; for tests and replay.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(std::int64_t start_ms = 0) : wall_ms_(start_ms) {}
  std::int64_t wall_ms() const override { return wall_ms_; }
  std::int64_t steady_ms() const override { return steady_ms_; }
  void advance(std::int64_t by_ms) { wall_ms_ += by_ms; steady_ms_ += by_ms; }
  void set_wall(std::int64_t to_ms) { wall_ms_ = to_ms; }

 private:
  std::int64_t wall_ms_;
  std::int64_t steady_ms_ = 0;
};

}  // namespace rivulet
