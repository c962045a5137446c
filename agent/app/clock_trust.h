// ClockTrust: whether the wall clock may be believed when it says that a record comes from the future.
//
// Not before it was set by a time service (a gateway without a battery starts in 1970), and not while it is behind the last commit that
// the store's files show. Thread: io. Lifetime: the Clock's.
#pragma once
#include <cstdint>
#include <string>

#include "agent/base/clock.h"

namespace rivulet::app {

class ClockTrust {
 public:
  ClockTrust(const std::string& state_directory, const Clock& clock);
  bool plausible() const;

 private:
  const Clock& clock_;
  std::int64_t last_commit_ms_ = 0;  // of an earlier run
};

}  // namespace rivulet::app
