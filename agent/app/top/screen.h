// Screen: what `rivulet top` shows, from two answers of /status: a pure function to lines.
//
// No line is wider than `columns`, there are at most `rows` lines. What does not fit is left out from the bottom of each part, and a line says how much.
// Colours are escapes of ECMA-48 that every terminal since the VT100 knows or ignores; `plain` has none. Thread: any.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace rivulet::app {

struct ScreenSize {
  std::size_t columns = 80, rows = 24;
  bool plain = false;
};

// `before` may be empty: then no rates are known. Both are bodies of /status; one that is not becomes a line that says so.
std::vector<std::string> top_screen(std::string_view before, std::string_view now, const ScreenSize& size);

}  // namespace rivulet::app
