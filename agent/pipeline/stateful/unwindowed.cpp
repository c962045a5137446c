// An aggregate without windows (SEMANTICS.md 13): one result a key, for ever; nothing is late.
#include "agent/pipeline/stateful/aggregating.h"
#include "agent/pipeline/stateful/by_key.h"

namespace rivulet::pipeline {
namespace {

class Unwindowed final : public Aggregating {
 public:
  explicit Unwindowed(const OperatorParts& parts) : Aggregating(parts) {}

 private:
  bool takes_null_values() const override { return false; }
  void load() override { entries_.clear(); }
  std::optional<Timestamp> next_due() const override { return std::nullopt; }
  void close_due(Timestamp, Emit&) override {}
  void close_key(std::string_view, StreamTime::Move, Emit&) override {}

  Entry* find(std::string_view key, const Window&) override {
    if (const auto found = entries_.find(key); found != entries_.end()) return &found->second;
    const auto bytes = state_->table(kMainPart).get(key);
    return bytes ? &entries_.emplace(std::string(key), decode(*bytes)).first->second : nullptr;
  }

  void add(std::string_view key, Timestamp timestamp_ms, const Row&, Timestamp, Emit& out) override {
    Entry* entry = find(key, {});
    if (entry == nullptr) entry = &entries_.emplace(std::string(key), Entry{aggregates_->fresh()}).first->second;
    contribute(*entry, timestamp_ms);
    changed(key, {}, *entry, out);
  }

  bool place(std::string_view name, std::string_view& key, Window&) const override {
    key = name;
    return true;
  }
  KeyRange shown_range(std::string_view key) const override { return {std::string(key), std::string(key) + '\0'}; }

  void save_entries() override {
    for (auto& [key, entry] : entries_) {
      if (!entry.dirty) continue;
      state_->table(kMainPart).put(key, encode(entry));
      entry.dirty = false;
    }
    while (entries_.size() > state_->decoded_objects()) entries_.erase(entries_.begin());
  }

  ByKey<Entry> entries_;
};

}  // namespace

std::unique_ptr<Operator> make_unwindowed(const OperatorParts& parts) { return std::make_unique<Unwindowed>(parts); }

}  // namespace rivulet::pipeline
