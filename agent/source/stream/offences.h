// Offences: what clients do wrong is counted always and logged once a second at most, with how many more there were.
//
// Thread: io. Lifetime: the Intake outlives it.
#pragma once
#include <cstdint>
#include <string>

#include "agent/source/source.h"

namespace rivulet::source {

class Offences {
 public:
  Offences(Intake& intake, std::string source_name) : intake_(intake), name_(std::move(source_name)) {}
  void operator()(const std::string& peer, const std::string& reason);

 private:
  Intake& intake_;
  const std::string name_;
  std::int64_t last_log_ms_ = -1'000'000;
  std::uint64_t unlogged_ = 0;
};

}  // namespace rivulet::source
