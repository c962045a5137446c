#include "agent/base/fault_point.h"

#include <csignal>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>

namespace rivulet {
namespace {

// "name" or "name:n" of an environment variable.
struct At {
  std::string name;
  long count = 1;
  std::atomic<long> seen{0};

  explicit At(const char* variable) {
    const char* text = std::getenv(variable);
    if (text == nullptr) return;
    name = text;
    if (const auto colon = name.rfind(':'); colon != std::string::npos) {
      count = std::strtol(name.c_str() + colon + 1, nullptr, 10);
      name.resize(colon);
    }
  }
  bool is_here(std::string_view point) { return !name.empty() && name == point && seen.fetch_add(1) + 1 == count; }
};

}  // namespace

void fault_point(std::string_view name) {
  static At kill_at("RIVULET_KILL_AT"), hang_at("RIVULET_HANG_AT");
  if (kill_at.is_here(name)) {
    ::kill(::getpid(), SIGKILL);
    ::pause();
  }
  if (hang_at.is_here(name))
    for (;;) ::pause();
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
