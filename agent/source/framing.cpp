#include "agent/source/framing.h"

#include <algorithm>
#include <cstring>

#include "agent/base/check.h"

namespace rivulet::source {
namespace {

constexpr std::size_t length_bytes = 4;

std::uint64_t length_of(std::string_view bytes) {
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < length_bytes; ++i) length = length << 8 | static_cast<unsigned char>(bytes[i]);
  return length;
}

const char* find_newline(std::string_view bytes) {
  return static_cast<const char*>(std::memchr(bytes.data(), '\n', bytes.size()));
}

}  // namespace

Framer::Status Framer::feed(std::string_view chunk, const OnFrame& on_frame) {
  RV_CHECK(!stopped_, "a stopped framer is resumed before it is fed");
  if (skipping()) chunk = after_skipped(chunk);
  while (!carry_.empty() && !chunk.empty()) {
    const std::size_t taken = missing(chunk);
    append(chunk.substr(0, taken));
    chunk.remove_prefix(taken);
    const Cut first = cut(carry_, on_frame);
    if (first.status == Status::too_long) return first.status;
    carry_.erase(0, first.used);
    if (first.status == Status::stopped) {
      stopped_ = true;
      append(chunk);
      return Status::stopped;
    }
    if (first.used == 0 && kind_ == Kind::newline) return keep({});
  }
  if (chunk.empty()) return Status::more;
  const Cut rest = cut(chunk, on_frame);
  if (rest.status == Status::too_long) return rest.status;
  chunk.remove_prefix(rest.used);
  if (rest.status == Status::stopped) {
    stopped_ = true;
    append(chunk);
    return Status::stopped;
  }
  return keep(chunk);
}

Framer::Status Framer::resume(const OnFrame& on_frame) {
  if (!stopped_) return Status::more;
  stopped_ = false;
  const Cut held = cut(carry_, on_frame);
  if (held.status == Status::too_long) return held.status;
  carry_.erase(0, held.used);
  stopped_ = held.status == Status::stopped;
  return stopped_ ? Status::stopped : keep({});
}

std::uint64_t Framer::take_skipped() {
  const std::uint64_t skipped = skipped_;
  skipped_ = 0;
  return skipped;
}

void Framer::shrink() {
  if (carry_.capacity() > 2 * carry_.size() + 64) carry_.shrink_to_fit();
}

Framer::Cut Framer::cut(std::string_view bytes, const OnFrame& on_frame) {
  return kind_ == Kind::newline ? cut_lines(bytes, on_frame) : cut_sized(bytes, on_frame);
}

Framer::Cut Framer::cut_lines(std::string_view bytes, const OnFrame& on_frame) {
  Cut cut;
  while (cut.used < bytes.size()) {
    const std::string_view rest = bytes.substr(cut.used);
    const char* end = find_newline(rest);
    if (end == nullptr) return cut;
    std::string_view line = rest.substr(0, static_cast<std::size_t>(end - rest.data()));
    const std::size_t whole = line.size() + 1;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.size() > max_bytes_) {
      if (!skip_) return {cut.used, Status::too_long};
      ++skipped_;
      cut.used += whole;
      continue;
    }
    const Verdict verdict = on_frame(line);
    if (verdict == Verdict::refused) return {cut.used, Status::stopped};
    cut.used += whole;
    if (verdict == Verdict::taken_and_stop) return {cut.used, Status::stopped};
  }
  return cut;
}

Framer::Cut Framer::cut_sized(std::string_view bytes, const OnFrame& on_frame) const {
  Cut cut;
  while (bytes.size() - cut.used >= length_bytes) {
    const std::uint64_t length = length_of(bytes.substr(cut.used));
    if (length > max_bytes_) return {cut.used, Status::too_long};
    if (bytes.size() - cut.used < length_bytes + length) return cut;
    const Verdict verdict = on_frame(bytes.substr(cut.used + length_bytes, length));
    if (verdict == Verdict::refused) return {cut.used, Status::stopped};
    cut.used += length_bytes + length;
    if (verdict == Verdict::taken_and_stop) return {cut.used, Status::stopped};
  }
  return cut;
}

// What follows the line that is being left out; empty when its end is not in `bytes`.
std::string_view Framer::after_skipped(std::string_view bytes) {
  const char* end = find_newline(bytes);
  if (end == nullptr) {
    skipping_bytes_ += bytes.size();
    return {};
  }
  skipping_bytes_ = 0;
  ++skipped_;
  return bytes.substr(static_cast<std::size_t>(end - bytes.data()) + 1);
}

// How much of `chunk` belongs to the unfinished frame in carry_.
std::size_t Framer::missing(std::string_view chunk) const {
  if (kind_ == Kind::newline) {
    const char* end = find_newline(chunk);
    return end == nullptr ? chunk.size() : static_cast<std::size_t>(end - chunk.data()) + 1;
  }
  const std::uint64_t whole = carry_.size() < length_bytes ? length_bytes : length_bytes + length_of(carry_);
  return static_cast<std::size_t>(std::min<std::uint64_t>(chunk.size(), whole - carry_.size()));
}

// Keeps the unfinished frame at the end of a chunk, within the limit.
Framer::Status Framer::keep(std::string_view rest) {
  append(rest);
  if (kind_ == Kind::newline && carry_.size() > max_bytes_ + 1) {  // + 1: a CR may be its last byte
    if (!skip_) return Status::too_long;
    skipping_bytes_ = carry_.size();
    carry_.clear();
    carry_.shrink_to_fit();
  }
  return Status::more;
}

// Grows by doubling, but never far beyond the longest frame.
void Framer::append(std::string_view bytes) {
  const std::size_t need = carry_.size() + bytes.size();
  if (need > carry_.capacity()) {
    const std::size_t limit = std::max<std::size_t>(need, static_cast<std::size_t>(max_bytes_) + length_bytes + 1);
    carry_.reserve(std::min(limit, std::max(need, 2 * carry_.capacity())));
  }
  carry_.append(bytes);
}

}  // namespace rivulet::source
