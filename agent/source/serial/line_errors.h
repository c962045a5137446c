// LineErrors: what the driver of a serial port counts of bytes that came wrong or not at all: parity, framing, overruns, breaks.
//
// Without it such bytes are only missing, or NUL, in a record. Ports that do not count (pseudo terminals, some USB adapters) say nothing.
// Thread: io. One ioctl per look; looked at most once in kEveryMs, when something comes.
#pragma once
#include <cstdint>

#include "agent/source/source.h"

namespace rivulet::source {

class LineErrors {
 public:
  static constexpr std::int64_t kEveryMs = 1000;

  void open(int descriptor, std::int64_t now_ms);
  // True: there are more of them than before, and they are counted.
  bool look(int descriptor, std::int64_t now_ms, Intake& intake);

 private:
  struct Counts {
    unsigned parity = 0, framing = 0, overruns = 0, breaks = 0;  // modulo 2^32
  };
  static bool read(int descriptor, Counts& counts);

  Counts before_;
  bool known_ = false;
  std::int64_t looked_ms_ = 0;
};

}  // namespace rivulet::source
