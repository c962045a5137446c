// ClockTrust: whether the wall clock may be believed when it says that a record comes from the future.
//
// Not before it was set by a time service (a gateway without a battery starts in 1970), and not while it is behind the last commit that
// the store's files show. Thread: io. Lifetime: the Clock's.
#pragma once
#include <sys/timex.h>

#include <cstdint>
#include <string>

#include "agent/base/clock.h"

namespace rivulet::app {

// Who says that a time service has set the system's clock: the kernel (adjtimex(2)), and where a sandbox does not let it be asked,
// systemd-timesyncd by a file. Neither: it counts as not set, because what is set aside for a wrong clock does not come back by itself.
struct TimeWitnesses {
  int (*kernel)(timex*) = ::adjtimex;
  std::string timesyncd = "/run/systemd/timesync/synchronized";
  bool synchronised() const;
};

class ClockTrust {
 public:
  ClockTrust(const std::string& state_directory, const Clock& clock, TimeWitnesses witnesses = {});
  bool plausible() const;

 private:
  const Clock& clock_;
  const TimeWitnesses witnesses_;
  std::int64_t last_commit_ms_ = 0;  // of an earlier run
};

}  // namespace rivulet::app
