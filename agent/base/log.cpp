#include "agent/base/log.h"

#include <spdlog/spdlog.h>

namespace rivulet::log {

namespace {

spdlog::level::level_enum of(Level level) {
  switch (level) {
    case Level::trace: return spdlog::level::trace;
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warn: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
    case Level::critical: return spdlog::level::critical;
  }
  return spdlog::level::critical;
}

}  // namespace

bool is_written(Level level) { return spdlog::should_log(of(level)); }

Level level_of(const std::string& name) {
  switch (spdlog::level::from_str(name)) {
    case spdlog::level::trace: return Level::trace;
    case spdlog::level::debug: return Level::debug;
    case spdlog::level::warn: return Level::warn;
    case spdlog::level::err: return Level::error;
    case spdlog::level::critical: return Level::critical;
    default: return Level::info;
  }
}

void flush() { spdlog::default_logger()->flush(); }

void vwrite(Level level, fmt::string_view text, fmt::format_args args) {
  if (is_written(level)) spdlog::default_logger_raw()->log(of(level), fmt::vformat(text, args));
}

}  // namespace rivulet::log
