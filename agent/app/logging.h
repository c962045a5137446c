// Logging: where spdlog's lines go, how they look, and the limit on repeated ones.
//
// On a terminal or in a file a line has a time and a level; for systemd's journal (JOURNAL_STREAM names our stream) it has
// the priority prefix <N> of sd-daemon(3) and no time. Lines that differ only in their digits count as repeated: five in
// ten seconds are written, the rest is counted and said in one line. Warnings and errors are remembered (last_errors.h), whatever log.level says. Thread: any.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/app/last_errors.h"

namespace rivulet::app {

enum class LogTo { standard_output, standard_error };

void set_up_logging(LogTo to, const std::string& level);
void set_log_level(const std::string& level);
void report_suppressed_lines();  // says what was counted in intervals that are over
std::uint64_t suppressed_log_lines();
std::vector<LastError> last_errors();  // the newest first

// The event that a line is about: its text without digits, at most 120 bytes.
std::string log_shape(std::string_view line);

}  // namespace rivulet::app
