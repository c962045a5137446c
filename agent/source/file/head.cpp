#include "agent/source/file/head.h"

#include <fmt/core.h>
#include <xxhash.h>

#include <algorithm>

#include "agent/base/words.h"

namespace rivulet::source {
namespace {

std::uint64_t hash_of(std::string_view bytes) { return XXH64(bytes.data(), bytes.size(), 0); }
std::uint32_t short_hash_of(std::string_view bytes) { return XXH32(bytes.data(), bytes.size(), 0); }

bool take(std::string_view& text, char expected) {
  if (text.empty() || text.front() != expected) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

void Head::set(std::string_view first_bytes) {
  bytes_ = first_bytes.substr(0, max_bytes);
  length_ = static_cast<std::uint16_t>(bytes_.size());
  hash_ = hash_of(bytes_);
  for (std::size_t i = 0; i < steps.size() && steps[i] <= length_; ++i) {
    ladder_[i] = short_hash_of(std::string_view(bytes_).substr(0, steps[i]));
  }
}

bool Head::restore(std::string_view bytes) {
  if (length_ == 0 || bytes.size() != length_ || hash_of(bytes) != hash_) return false;
  bytes_ = bytes;
  return true;
}

Head::Match Head::compare(std::string_view file_head) const {
  if (length_ == 0) return Match::unknown;
  if (file_head.size() >= length_) return hash_of(file_head.substr(0, length_)) == hash_ ? Match::same : Match::different;
  if (file_head.size() < steps.front()) return Match::different;  // too little to tell by: as if written anew
  if (!bytes_.empty()) return bytes_.starts_with(file_head) ? Match::shorter : Match::different;
  const auto above = std::upper_bound(steps.begin(), steps.end(), file_head.size());
  const auto step = static_cast<std::size_t>(above - steps.begin()) - 1;
  return short_hash_of(file_head.substr(0, steps[step])) == ladder_[step] ? Match::shorter : Match::different;
}

std::string Head::text() const {
  std::string text = fmt::format("{}:{:x}:", length_, hash_);
  for (std::size_t i = 0; i < steps.size() && steps[i] <= length_; ++i) text += fmt::format("{}{:x}", i == 0 ? "" : ",", ladder_[i]);
  return text;
}

std::optional<Head> Head::parse(std::string_view text) {
  Head head;
  if (!take_number(text, head.length_, 10) || head.length_ > max_bytes || !take(text, ':')) return {};
  if (!take_number(text, head.hash_, 16) || !take(text, ':')) return {};
  for (std::size_t i = 0; i < steps.size() && steps[i] <= head.length_; ++i) {
    if ((i > 0 && !take(text, ',')) || !take_number(text, head.ladder_[i], 16)) return {};
  }
  if (!text.empty()) return {};
  return head;
}

}  // namespace rivulet::source
