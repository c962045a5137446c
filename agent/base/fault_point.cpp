#include "agent/base/fault_point.h"

#include <csignal>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>

namespace rivulet {
namespace {

struct KillAt {
  std::string name;
  long count = 1;
  std::atomic<long> seen{0};

  KillAt() {
    const char* text = std::getenv("RIVULET_KILL_AT");
    if (text == nullptr) return;
    name = text;
    if (const auto colon = name.rfind(':'); colon != std::string::npos) {
      count = std::strtol(name.c_str() + colon + 1, nullptr, 10);
      name.resize(colon);
    }
  }
};

}  // namespace

void fault_point(std::string_view name) {
  static KillAt kill_at;
  if (kill_at.name.empty() || kill_at.name != name) return;
  if (kill_at.seen.fetch_add(1) + 1 == kill_at.count) {
    ::kill(::getpid(), SIGKILL);
    ::pause();
  }
}

bool broken_on_purpose(std::string_view name) {
  static const std::string list = [] {
    const char* text = std::getenv("RIVULET_BREAK");
    return "," + std::string(text == nullptr ? "" : text) + ",";
  }();
  if (list.size() == 2) return false;
  return list.find("," + std::string(name) + ",") != std::string::npos;
}

}  // namespace rivulet
