// Where something stands in the configuration, and what is wrong there. Thread: any (plain data).
#pragma once
#include <string>

namespace rivulet::config {

// Where something stands in the configuration, for messages about it.
struct Location {
  std::string file;
  int line = 0;    // from 1
  int column = 0;  // from 1
};

struct Problem {
  Location at;
  std::string path;  // "pipelines.overheating.steps[1].set"
  std::string message;
  bool warning = false;
  std::string text() const;  // file:line:col: path: message
};

}  // namespace rivulet::config
