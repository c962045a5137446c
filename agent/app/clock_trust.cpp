#include "agent/app/clock_trust.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace rivulet::app {

bool TimeWitnesses::synchronised() const {
  timex state {};
  const int answer = kernel(&state);
  if (answer < 0) return ::access(timesyncd.c_str(), F_OK) == 0;
  return answer != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
}

ClockTrust::ClockTrust(const std::string& state_directory, const Clock& clock, TimeWitnesses witnesses) : clock_(clock), witnesses_(std::move(witnesses)) {
  for (const char* file : {"/rivulet.db", "/rivulet.db-wal"}) {
    struct stat info {};
    if (::stat((state_directory + file).c_str(), &info) == 0) last_commit_ms_ = std::max<std::int64_t>(last_commit_ms_, std::int64_t{info.st_mtim.tv_sec} * 1000);
  }
}

bool ClockTrust::plausible() const { return clock_.wall_ms() >= last_commit_ms_ && witnesses_.synchronised(); }

}  // namespace rivulet::app
