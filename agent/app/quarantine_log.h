// QuarantineLog: says that records go to quarantine, and why, without a line for each.
//
// Of each place where records fail (a source or a pipeline, and its step) the first is told with its reason, and how many more
// came when a minute is over or this ends. A record that is only counted costs 0.4 us. Thread: io. Bound: LogLimit's, of places.
#pragma once
#include <string>

#include "agent/base/log_limit.h"
#include "store/epoch.h"

namespace rivulet::app {

class QuarantineLog {
 public:
  static constexpr std::int64_t kIntervalMs = 60'000;

  QuarantineLog();
  QuarantineLog(const QuarantineLog&) = delete;
  QuarantineLog& operator=(const QuarantineLog&) = delete;
  ~QuarantineLog();

  void add(const store::QuarantineEntry& entry, std::int64_t now_ms);  // steady
  void tell(std::int64_t now_ms) { limit_.end_intervals(now_ms); }     // of places whose minute is over

 private:
  LogLimit limit_;
  std::string place_;
};

}  // namespace rivulet::app
