#include "agent/app/quarantine_log.h"

#include <limits>

#include "agent/app/printable.h"
#include "agent/base/log.h"

namespace rivulet::app {
namespace {

constexpr std::size_t kMaxReason = 200;

void tell_more(const std::string& place, std::uint64_t count) {
  log::warn("quarantine: {}: {} more record{} put there since; `rivulet quarantine list` shows what is kept", place, count, count == 1 ? " was" : "s were");
}

}  // namespace

QuarantineLog::QuarantineLog() : limit_({.burst = 1, .interval_ms = kIntervalMs, .keys = 256}, tell_more) {}

QuarantineLog::~QuarantineLog() { limit_.end_intervals(std::numeric_limits<std::int64_t>::max()); }

void QuarantineLog::add(const store::QuarantineEntry& entry, std::int64_t now_ms) {
  const bool of_source = entry.pipeline.empty();
  place_.assign(of_source ? "source " : "pipeline ").append(of_source ? entry.source : entry.pipeline).append(", ").append(entry.step);
  if (!limit_.allow(place_, now_ms)) return;
  log::warn("quarantine: {}: a record was put there: {}; `rivulet quarantine list` shows what is kept", place_, shown(entry.reason, kMaxReason));
}

}  // namespace rivulet::app
