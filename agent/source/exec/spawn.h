// spawn(): fork and exec, with what a process of many threads has to mind.
//
// Between fork and exec the child calls only what is async-signal-safe, on memory that was made before. Every signal is blocked meanwhile: a
// handler of the agent's would write into pipes that both share. What it ignores (SIGPIPE) and blocks is set back for the command.
// fork() and not posix_spawn() or vfork(): those cannot ask for a signal at the agent's death, and hold up the caller until the
// program was read from a disk. Thread: the one whose end is to kill the child. Errors: returned; those of the child are a SpawnReport.
#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

#include "agent/base/result.h"

namespace rivulet::source {

// What the child writes to the report pipe before it ends, when exec did not happen.
struct SpawnReport {
  int error = 0;  // errno
  int step = 0;   // 0: the program, 1: the working directory
};

struct Spawned {
  pid_t id = -1;
  int out = -1, err = -1, report = -1;  // read ends, non-blocking
};

// `program` is a path. Of each vector only the strings' bytes are used.
result<Spawned> spawn(const std::string& program, const std::vector<std::string>& arguments, const std::vector<std::string>& environment, const std::string& directory);

}  // namespace rivulet::source
