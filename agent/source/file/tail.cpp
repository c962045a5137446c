#include "agent/source/file/tail.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "agent/base/words.h"

namespace rivulet::source {
namespace {

constexpr std::string_view key_prefix = "file:", head_prefix = "head:";

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = other.release();
  }
  return *this;
}

void Descriptor::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

int Descriptor::release() { return std::exchange(fd_, -1); }

std::string Tail::position() const {
  return fmt::format("1 {} {} {} {} {}{}", offset, inode, head.text(), path.size(), path, origin == path ? "" : origin);
}

std::string position_key(std::uint64_t serial) { return std::string(key_prefix) + std::to_string(serial); }

std::string head_key(std::uint64_t serial) { return std::string(head_prefix) + std::to_string(serial); }

bool is_head_key(std::string_view key) { return key.starts_with(head_prefix); }

std::optional<Tail> parse_position(std::string_view key, std::string_view value) {
  if (!key.starts_with(key_prefix)) return {};
  Tail tail;
  if (!whole_number(key.substr(key_prefix.size()), tail.serial) || next_word(value) != "1") return {};
  if (!whole_number(next_word(value), tail.offset) || !whole_number(next_word(value), tail.inode)) return {};
  const auto head = Head::parse(next_word(value));
  std::uint64_t path_length = 0;
  if (!head || !whole_number(next_word(value), path_length) || path_length == 0 || path_length > value.size()) return {};
  tail.head = *head;
  tail.path = value.substr(0, static_cast<std::size_t>(path_length));
  value.remove_prefix(static_cast<std::size_t>(path_length));
  tail.origin = value.empty() ? tail.path : std::string(value);
  tail.searched_to = tail.offset;
  return tail;
}

std::optional<std::string> read_head(int file) {
  std::string head(Head::max_bytes, '\0');
  const auto got = ::pread(file, head.data(), head.size(), 0);
  if (got < 0) return {};
  head.resize(static_cast<std::size_t>(got));
  return head;
}

std::uint64_t last_line_end(int file, std::uint64_t size, std::uint64_t max_line_bytes) {
  char block[4096];
  std::uint64_t end = size;
  while (end > 0 && size - end <= max_line_bytes) {
    const std::uint64_t begin = end > sizeof block ? end - sizeof block : 0;
    const auto got = ::pread(file, block, static_cast<std::size_t>(end - begin), static_cast<off_t>(begin));
    if (got <= 0) break;
    for (auto i = got; i > 0; --i) {
      if (block[i - 1] == '\n') return begin + static_cast<std::uint64_t>(i);
    }
    end = begin;
  }
  return end == 0 ? 0 : size;
}

LineReader::Outcome LineReader::read(Tail& tail, const OnLine& on_line) {
  Outcome outcome;
  const bool searching = tail.too_long || tail.hole;
  const std::uint64_t from = searching ? tail.searched_to : tail.offset;
  // A line that did not fit is read again into a larger buffer.
  const std::uint64_t longest = max_line_bytes_ + 2;
  std::size_t want = chunk_bytes;
  if (!searching && tail.searched_to - tail.offset >= chunk_bytes) {
    want = static_cast<std::size_t>(std::min(longest, 2 * (tail.searched_to - tail.offset)));
  }
  if (want > buffer_.size()) {
    buffer_.resize(want);
  } else if (want == chunk_bytes && buffer_.size() > chunk_bytes) {
    buffer_.resize(chunk_bytes);
    buffer_.shrink_to_fit();
  }
  const auto got = ::pread(tail.file.get(), buffer_.data(), want, static_cast<off_t>(from));
  if (got < 0) {
    outcome.error = errno;
    return outcome;
  }
  if (got == 0) {  // shorter than it was said to be: the next poll sees why
    tail.size = std::min(tail.size, from);
    return outcome;
  }
  std::string_view bytes(buffer_.data(), static_cast<std::size_t>(got));
  const bool full = bytes.size() == want;
  if (tail.too_long) {
    const auto end = bytes.find('\n');
    if (end == std::string_view::npos) {
      tail.searched_to = from + bytes.size();
      return outcome;
    }
    ++outcome.too_long;
    tail.too_long = false;
    tail.offset = tail.searched_to = from + end + 1;
    bytes.remove_prefix(end + 1);
  } else if (tail.hole || bytes.front() == '\0') {
    // Left by a power cut, or by a writer that goes on at its old place after a truncation: no line begins with NUL.
    const auto end = bytes.find_first_not_of('\0');
    if (end == std::string_view::npos) {
      tail.hole = true;
      tail.searched_to = from + bytes.size();
      return outcome;
    }
    outcome.hole_bytes += from + end - tail.offset;
    tail.hole = false;
    tail.offset = tail.searched_to = from + end;
    bytes.remove_prefix(end);
  }
  take_lines(tail, bytes, !full, on_line, outcome);
  return outcome;
}

// `bytes` stand at tail.offset.
void LineReader::take_lines(Tail& tail, std::string_view bytes, bool at_end, const OnLine& on_line, Outcome& outcome) {
  const std::uint64_t end_of_bytes = tail.offset + bytes.size();
  while (!bytes.empty()) {
    const auto* end = static_cast<const char*>(std::memchr(bytes.data(), '\n', bytes.size()));
    if (end == nullptr) break;
    const auto whole = static_cast<std::size_t>(end - bytes.data()) + 1;
    std::string_view line = bytes.substr(0, whole - 1);
    const std::size_t hole = std::min(line.find_first_not_of('\0'), line.size());
    line.remove_prefix(hole);
    if (!take_line(line, on_line, outcome)) {
      outcome.no_room = true;
      return;
    }
    outcome.hole_bytes += hole;
    bytes.remove_prefix(whole);
    tail.offset += whole;
    tail.searched_to = tail.offset;
  }
  if (!bytes.empty() && bytes.front() == '\0') {  // the next read begins with them
    if (at_end) tail.searched_to = end_of_bytes;
  } else if (bytes.size() > max_line_bytes_ + 1) {
    tail.too_long = true;
    tail.searched_to = end_of_bytes;
  } else if (at_end || outcome.lines + outcome.too_long + outcome.hole_bytes == 0) {
    tail.searched_to = end_of_bytes;
  }
}

bool LineReader::take_line(std::string_view line, const OnLine& on_line, Outcome& outcome) const {
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  if (line.size() > max_line_bytes_) {
    ++outcome.too_long;
    return true;
  }
  if (!on_line(line)) return false;
  ++outcome.lines;
  return true;
}

}  // namespace rivulet::source
