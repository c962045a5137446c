#include "agent/source/serial/line_errors.h"

#include <linux/serial.h>
#include <sys/ioctl.h>

#include <utility>

namespace rivulet::source {

bool LineErrors::read(int descriptor, Counts& counts) {
  serial_icounter_struct driver{};
  if (::ioctl(descriptor, TIOCGICOUNT, &driver) != 0) return false;
  counts = {static_cast<unsigned>(driver.parity), static_cast<unsigned>(driver.frame), static_cast<unsigned>(driver.overrun) + static_cast<unsigned>(driver.buf_overrun),
            static_cast<unsigned>(driver.brk)};
  return true;
}

void LineErrors::open(int descriptor, std::int64_t now_ms) {
  known_ = read(descriptor, before_);
  looked_ms_ = now_ms;
}

bool LineErrors::look(int descriptor, std::int64_t now_ms, Intake& intake) {
  if (!known_ || now_ms - looked_ms_ < kEveryMs) return false;
  looked_ms_ = now_ms;
  Counts now;
  if (!read(descriptor, now)) return false;
  const Counts before = std::exchange(before_, now);
  bool more = false;
  const auto count = [&](const char* what, unsigned by) {
    if (by == 0) return;
    more = true;
    intake.count(what, by);
  };
  count("parity_errors", now.parity - before.parity);
  count("framing_errors", now.framing - before.framing);
  count("overruns", now.overruns - before.overruns);
  count("breaks", now.breaks - before.breaks);
  return more;
}

}  // namespace rivulet::source
