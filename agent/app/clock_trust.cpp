#include "agent/app/clock_trust.h"

#include <sys/stat.h>
#include <sys/timex.h>

#include <algorithm>

namespace rivulet::app {
namespace {

bool synchronised() {
  struct timex state {};
  return ::adjtimex(&state) != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
}

}  // namespace

ClockTrust::ClockTrust(const std::string& state_directory, const Clock& clock) : clock_(clock) {
  for (const char* file : {"/rivulet.db", "/rivulet.db-wal"}) {
    struct stat info {};
    if (::stat((state_directory + file).c_str(), &info) == 0) last_commit_ms_ = std::max<std::int64_t>(last_commit_ms_, std::int64_t{info.st_mtim.tv_sec} * 1000);
  }
}

bool ClockTrust::plausible() const { return clock_.wall_ms() >= last_commit_ms_ && synchronised(); }

}  // namespace rivulet::app
