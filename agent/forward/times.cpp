#include "agent/forward/times.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace rivulet::forward {
namespace {

std::optional<std::int64_t> number(const std::map<std::string, std::string>& settings, const char* name) {
  const auto found = settings.find(name);
  if (found == settings.end()) return std::nullopt;
  std::int64_t value = 0;
  const auto* end = found->second.data() + found->second.size();
  const auto parsed = std::from_chars(found->second.data(), end, value);
  return parsed.ec == std::errc{} && parsed.ptr == end && value >= 0 ? std::optional(value) : std::nullopt;
}

std::string span_of(std::int64_t ms) {
  for (const auto& [unit_ms, unit] : {std::pair{86'400'000, "d"}, {3'600'000, "h"}, {60'000, "min"}, {1'000, "s"}})
    if (ms >= unit_ms && ms % unit_ms == 0) return std::to_string(ms / unit_ms) + " " + unit;
  return std::to_string(ms) + " ms";
}

}  // namespace

TimeLimits time_limits(const std::map<std::string, std::string>& settings) {
  TimeLimits limits;
  if (const auto type = settings.find("message.timestamp.type"); type != settings.end() && type->second == "LogAppendTime") return {TimeLimits::none, TimeLimits::none};
  const auto both = number(settings, "message.timestamp.difference.max.ms").value_or(TimeLimits::none);
  const auto after = number(settings, "message.timestamp.after.max.ms"), before = number(settings, "message.timestamp.before.max.ms");
  if (both != TimeLimits::none) limits.after_ms = both;
  if (after) limits.after_ms = std::min(*after, both);
  limits.before_ms = std::min(before.value_or(TimeLimits::none), both);
  return limits;
}

std::string refused_for_time(const std::string& topic, const TimeLimits& limits, bool too_late) {
  return "time more than " + span_of(too_late ? limits.after_ms : limits.before_ms) + (too_late ? " ahead of" : " behind") + " the clock, which topic " + topic +
         " refuses (" + (too_late ? "message.timestamp.after.max.ms" : "message.timestamp.before.max.ms") +
         "): put right the device's clock or timestamp.unit of the source, or raise that setting of the topic";
}

}  // namespace rivulet::forward
