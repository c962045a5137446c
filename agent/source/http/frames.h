// A body's frames: each line that is not empty, or the whole. Thread: any. Lifetime: views into the body.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string_view>

namespace rivulet::source {

// take(frame, line from 1) answers whether to go on.
template <class Take>
void each_frame(std::string_view body, bool by_lines, const Take& take) {
  if (!by_lines) {
    if (!body.empty()) take(body, std::uint64_t{1});
    return;
  }
  for (std::uint64_t line = 1; !body.empty(); ++line) {
    const std::size_t end = body.find('\n');
    std::string_view frame = body.substr(0, end);
    body.remove_prefix(end == std::string_view::npos ? body.size() : end + 1);
    if (!frame.empty() && frame.back() == '\r') frame.remove_suffix(1);
    if (!frame.empty() && !take(frame, line)) return;
  }
}

inline std::uint64_t lines_before(std::string_view text, std::size_t at) {
  return static_cast<std::uint64_t>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(std::min(at, text.size())), '\n'));
}

}  // namespace rivulet::source
