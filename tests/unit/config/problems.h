// All that load() has to say, one problem a line.
#pragma once
#include <string>

#include "agent/config/config.h"

namespace rivulet::config {

inline std::string all(const Loaded& loaded) {
  std::string text;
  for (const Problem& problem : loaded.problems) text += problem.text() + "\n";
  return text;
}

}  // namespace rivulet::config
