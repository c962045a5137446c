#include "agent/source/stream/offences.h"

#include "agent/base/log.h"


namespace rivulet::source {

void Offences::operator()(const std::string& peer, const std::string& reason) {
  constexpr std::int64_t kLogEveryMs = 1000;
  intake_.count("client_errors");
  const auto now_ms = intake_.clock().steady_ms();
  if (now_ms - last_log_ms_ < kLogEveryMs) {
    ++unlogged_;
    return;
  }
  last_log_ms_ = now_ms;
  const std::string more = unlogged_ > 0 ? " (and " + std::to_string(unlogged_) + " more)" : "";
  log::warn("{}: closed {}: {}{}", name_, peer, reason, more);
  unlogged_ = 0;
}

}  // namespace rivulet::source
