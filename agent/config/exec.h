// What an exec source is told: the command, when it runs, where, and with what environment.
//
// Thread: any (plain data). Units: ms, bytes. Values of the environment may be secrets: they are held as such.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "agent/config/secret.h"

namespace rivulet::config {

struct ExecSource {
  std::vector<std::string> command;  // the program and its arguments; no shell reads them
  std::int64_t interval_ms = 0;      // 0: it goes on, and is started again when it ends
  std::int64_t timeout_ms = 0;       // of one run, with interval; 0: as long as the interval
  std::int64_t kill_after_ms = 5000;  // from SIGTERM to SIGKILL
  std::int64_t restart_ms = 1000, restart_max_ms = 60'000;  // without interval: the first wait and the longest
  std::string directory;  // empty: the agent's
  std::vector<std::pair<std::string, Secret>> environment;  // besides the agent's
  std::uint64_t max_line_bytes = 1ULL << 20;
  bool first_line_names = false;  // csv with a header: a run's first line is no record
};

}  // namespace rivulet::config
