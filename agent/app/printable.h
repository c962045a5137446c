// Text of others on a terminal: it must not move the cursor, change colours or be wider than its place. Figures for people. Thread: any.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace rivulet::app {

// UTF-8 without control characters (C0, DEL, C1), which become '?', and at most `width` characters, the last of them "~" where something was cut.
std::string shown(std::string_view text, std::size_t width);
std::string escaped(std::string_view bytes);  // whole: each of the control characters C0 and DEL as \xHH
std::size_t characters(std::string_view text);
std::string left(std::string_view text, std::size_t width);   // padded with spaces, or cut
std::string right(std::string_view text, std::size_t width);

std::string count_text(std::uint64_t number);      // 1,234  1.23 M
std::string rate_text(double a_second);            // 0  0.4  12.3  1,234
std::string size_text(std::uint64_t bytes);        // 512 B  1.4 KiB
std::string span_text(std::int64_t ms);            // 12 s  5 min  3 h 10 min  4 d 2 h

}  // namespace rivulet::app
