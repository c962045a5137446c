#include "agent/app/last_errors.h"

#include <algorithm>

namespace rivulet::app {
namespace {

// Cut between characters of UTF-8.
std::string cut(std::string_view text) {
  if (text.size() <= LastErrors::kTextBytes) return std::string(text);
  std::size_t end = LastErrors::kTextBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return std::string(text.substr(0, end)) + "...";
}

}  // namespace

void LastErrors::add(bool error, std::string_view shape, std::string_view text, std::int64_t wall_ms) {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.what.error == error && entry.shape == shape; });
  if (found != entries_.end()) {
    std::rotate(found, found + 1, entries_.end());
  } else {
    if (entries_.size() >= kEntries) entries_.erase(entries_.begin());
    entries_.push_back({std::string(shape), {error, {}, wall_ms, wall_ms, 0}});
  }
  LastError& entry = entries_.back().what;
  entry.text = cut(text);
  entry.last_ms = wall_ms;
  ++entry.count;
}

std::vector<LastError> LastErrors::newest_first() const {
  std::vector<LastError> all;
  all.reserve(entries_.size());
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) all.push_back(entry->what);
  return all;
}

}  // namespace rivulet::app
