#include "agent/source/first_line.h"

#include <unistd.h>

#include <algorithm>
#include <vector>

namespace rivulet::source {
namespace {

constexpr std::size_t kFirstRead = 1024;             // a header is short; what is left is read only if it is not
constexpr std::uint64_t kMaxBefore = 16 << 20;       // NUL bytes and blank lines before it that are looked through

bool blank(std::string_view line) { return line.find_first_not_of(" \t\r\xEF\xBB\xBF") == std::string_view::npos; }

}  // namespace

std::optional<FirstLineOfFile> read_first_line(int file) {
  std::vector<char> buffer(kFirstRead);
  std::uint64_t at = 0;  // where `line` begins
  while (at < kMaxBefore) {
    const auto got = ::pread(file, buffer.data(), buffer.size(), static_cast<off_t>(at));
    if (got <= 0) return {};
    std::string_view bytes(buffer.data(), static_cast<std::size_t>(got));
    const std::uint64_t before = at;
    for (;;) {
      const std::size_t hole = std::min(bytes.find_first_not_of('\0'), bytes.size());
      at += hole;
      bytes.remove_prefix(hole);
      const std::size_t end = bytes.find('\n');
      if (end == std::string_view::npos) break;
      std::string_view line = bytes.substr(0, end);
      at += end + 1;
      if (!blank(line)) {
        if (line.back() == '\r') line.remove_suffix(1);
        return FirstLineOfFile{line.size() <= FirstLine::max_bytes ? std::string(line) : std::string(), at};
      }
      bytes.remove_prefix(end + 1);
    }
    if (at != before) continue;
    if (static_cast<std::size_t>(got) < buffer.size()) return {};  // it has not ended
    if (buffer.size() < FirstLine::max_bytes + 2) {
      buffer.resize(std::min(2 * buffer.size(), FirstLine::max_bytes + 2));
      continue;
    }
    // Too long to be a header: only its end matters.
    for (std::uint64_t from = at;; from += buffer.size()) {
      const auto more = ::pread(file, buffer.data(), buffer.size(), static_cast<off_t>(from));
      if (more <= 0) return {};
      const std::size_t end = std::string_view(buffer.data(), static_cast<std::size_t>(more)).find('\n');
      if (end != std::string_view::npos) return FirstLineOfFile{{}, from + end + 1};
    }
  }
  return FirstLineOfFile{};  // given up: what comes after is undecodable, and says so
}

}  // namespace rivulet::source
