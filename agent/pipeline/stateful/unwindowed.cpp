#include "agent/pipeline/stateful/unwindowed.h"

namespace rivulet::pipeline {

Aggregating::Entry* Unwindowed::find(std::string_view key, const Window&) {
  if (const auto found = entries_.find(key); found != entries_.end()) return &found->second;
  const auto bytes = state_->table(kMainPart).get(key);
  return bytes ? &entries_.emplace(std::string(key), decode(*bytes)).first->second : nullptr;
}

Aggregating::Entry& Unwindowed::of(std::string_view key) {
  Entry* entry = find(key, {});
  return entry != nullptr ? *entry : entries_.emplace(std::string(key), Entry{aggregates_->fresh()}).first->second;
}

void Unwindowed::add(std::string_view key, Timestamp timestamp_ms, const Row&, Timestamp, Emit& out) {
  Entry& entry = of(key);
  contribute(entry, timestamp_ms);
  changed(key, {}, entry, out);
}

bool Unwindowed::place(std::string_view name, std::string_view& key, Window&) const {
  key = name;
  return true;
}

KeyRange Unwindowed::shown_range(std::string_view key) const { return {std::string(key), std::string(key) + '\0'}; }

void Unwindowed::save_entries() {
  for (auto& [key, entry] : entries_) {
    if (!entry.dirty) continue;
    state_->table(kMainPart).put(key, encode(entry));
    entry.dirty = false;
  }
  while (entries_.size() > state_->decoded_objects()) entries_.erase(entries_.begin());
}

std::unique_ptr<Operator> make_unwindowed(const OperatorParts& parts) { return std::make_unique<Unwindowed>(parts); }

}  // namespace rivulet::pipeline
