// Unwindowed: an aggregate without windows (SEMANTICS.md 13): one result a key, for ever; nothing is late.
//
// Thread: io. Lifetime: the Topology's. Bounds: StepState::decoded_objects() groups decoded beside those of the epoch under way.
#pragma once
#include "agent/pipeline/stateful/aggregating.h"
#include "agent/pipeline/stateful/by_key.h"

namespace rivulet::pipeline {

class Unwindowed : public Aggregating {
 public:
  explicit Unwindowed(const OperatorParts& parts) : Aggregating(parts) {}
  KeyRange shown_range(std::string_view key) const override;

 protected:
  bool takes_null_values() const override { return false; }
  void load() override { entries_.clear(); }
  std::optional<Timestamp> next_due() const override { return std::nullopt; }
  void close_due(Timestamp, Emit&) override {}
  void close_key(std::string_view, StreamTime::Move, Emit&) override {}
  Entry* find(std::string_view key, const Window&) override;
  void add(std::string_view key, Timestamp timestamp_ms, const Row&, Timestamp, Emit& out) override;
  bool place(std::string_view name, std::string_view& key, Window&) const override;
  void save_entries() override;

  Entry& of(std::string_view key);  // made if missing

 private:
  ByKey<Entry> entries_;
};

}  // namespace rivulet::pipeline
