#include "agent/source/serial/frames.h"

#include <algorithm>
#include <utility>

namespace rivulet::source {

void Frames::reset(std::int64_t now_ms) {
  bytes_.clear();
  at_ = frame_at_ = searched_ = 0;
  skipping_ = false;
  // A start sequence finds a frame by itself; without it, or for a line, silence or an end has to come first.
  synchronous_ = config_.fixed && !config_.start.empty();
  last_ms_ = now_ms;
}

void Frames::add(std::string_view bytes, std::int64_t now_ms) {
  if (config_.idle_gap_ms > 0 && now_ms - last_ms_ >= config_.idle_gap_ms) silence();
  last_ms_ = now_ms;
  bytes_.erase(0, at_);
  searched_ -= std::min(searched_, at_);
  at_ = 0;
  bytes_ += bytes;
}

// Of lines only the beginning is told by it: a person at a keyboard pauses, too.
void Frames::silence() {
  const bool unfinished = held_bytes() > 0 || skipping_;
  if (!config_.fixed && synchronous_) return;
  if (unfinished) ++left_.incomplete;
  at_ = bytes_.size();
  skipping_ = false;
  synchronous_ = true;
}

void Frames::lost() {
  if (held_bytes() > 0 || skipping_) ++left_.incomplete;
  bytes_.clear();
  bytes_.shrink_to_fit();
  at_ = searched_ = 0;
  skipping_ = false;
}

bool Frames::next(std::string_view& frame) { return config_.fixed ? next_fixed(frame) : next_line(frame); }

bool Frames::next_line(std::string_view& frame) {
  const std::string& delimiter = config_.delimiter;
  for (;;) {
    const std::size_t end = bytes_.find(delimiter, std::max(at_, searched_));
    if (end == std::string::npos) break;
    std::string_view line = std::string_view(bytes_).substr(at_, end - at_);
    frame_at_ = at_;
    at_ = searched_ = end + delimiter.size();
    const bool skipped = std::exchange(skipping_, false);
    if (!synchronous_) {
      synchronous_ = true;
      ++left_.incomplete;
      continue;
    }
    if (delimiter == "\n" && !line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (delimiter == "\r" && !line.empty() && line.front() == '\n') line.remove_prefix(1);
    if (skipped || line.size() > config_.max_line_bytes) {
      ++left_.too_long;
      continue;
    }
    if (line.empty()) continue;
    frame = line;
    return true;
  }
  const std::size_t kept = std::min(held_bytes(), delimiter.size() - 1);  // it may have begun
  searched_ = bytes_.size() - kept;
  if (held_bytes() > config_.max_line_bytes + 1) skipping_ = true;  // + 1: a CR may be its last byte
  if (skipping_) at_ = searched_;
  return false;
}

bool Frames::next_fixed(std::string_view& frame) {
  if (!synchronous_) {  // the silence that is waited for comes before the next bytes
    left_.bytes += held_bytes();
    at_ = bytes_.size();
    return false;
  }
  if (!config_.start.empty() && !find_start()) return false;
  if (held_bytes() < config_.length) return false;
  frame_at_ = at_;
  frame = std::string_view(bytes_).substr(at_, config_.length);
  at_ += config_.length;
  return true;
}

// Leaves out what stands before the next start sequence, or before what may become one. False: there is no whole one.
bool Frames::find_start() {
  const std::string& start = config_.start;
  const std::string_view held = std::string_view(bytes_).substr(at_);
  std::size_t found = held.find(start);
  const bool whole = found != std::string_view::npos;
  if (!whole) {
    std::size_t part = std::min(held.size(), start.size() - 1);
    while (part > 0 && held.substr(held.size() - part) != std::string_view(start).substr(0, part)) --part;
    found = held.size() - part;
  }
  left_.bytes += found;
  at_ += found;
  return whole;
}

Frames::Left Frames::take_left() { return std::exchange(left_, Left{}); }

}  // namespace rivulet::source
