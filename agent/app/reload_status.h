// ReloadStatus: what became of the last reload. Part of a Snapshot; plain data.
#pragma once
#include <cstdint>
#include <string>

namespace rivulet::app {

struct ReloadStatus {
  bool successful = true;        // the last one, or the start: the configuration at work is the file's as it was last read
  std::int64_t taken_ms = 0;     // wall clock: when the configuration at work was taken
  std::int64_t refused_ms = 0;   // when the last one was refused; 0: never
  std::string problem;           // not empty: why it was, until the next good one
  std::string under_way;         // not empty: one is going on, and what it waits for
  std::uint64_t reloads = 0;     // that were taken, since the start
  std::uint64_t last_pause_ms = 0;  // how long sources were refused by the last one that was taken
};

}  // namespace rivulet::app
