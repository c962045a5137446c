// The log, as the rooms see it: a line of a level, formatted as by fmt. Where the lines go is app's matter (app/logging.h), by spdlog,
// which only log.cpp and app know: its headers in each file that logs a line took a second or two a file to compile, and fmt's templates
// came once more in each.
//
// Thread: any.
#pragma once

#include <fmt/core.h>

#include <string>

namespace rivulet::log {

enum class Level { trace, debug, info, warn, error, critical };

bool is_written(Level level);
Level level_of(const std::string& name);  // as in the configuration: trace, debug, info, warning, error
void flush();
void vwrite(Level level, fmt::string_view text, fmt::format_args args);

template <typename... Args>
void write(Level level, fmt::format_string<Args...> text, Args&&... args) {
  vwrite(level, fmt::string_view(text), fmt::make_format_args(args...));
}
template <typename... Args>
void debug(fmt::format_string<Args...> text, Args&&... args) {
  vwrite(Level::debug, fmt::string_view(text), fmt::make_format_args(args...));
}
template <typename... Args>
void info(fmt::format_string<Args...> text, Args&&... args) {
  vwrite(Level::info, fmt::string_view(text), fmt::make_format_args(args...));
}
template <typename... Args>
void warn(fmt::format_string<Args...> text, Args&&... args) {
  vwrite(Level::warn, fmt::string_view(text), fmt::make_format_args(args...));
}
template <typename... Args>
void error(fmt::format_string<Args...> text, Args&&... args) {
  vwrite(Level::error, fmt::string_view(text), fmt::make_format_args(args...));
}
template <typename... Args>
void critical(fmt::format_string<Args...> text, Args&&... args) {
  vwrite(Level::critical, fmt::string_view(text), fmt::make_format_args(args...));
}

}  // namespace rivulet::log
