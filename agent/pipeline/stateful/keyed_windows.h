// KeyedWindows: what session and sliding windows share: all windows of a key together, and an index by when they are due.
//
// Tables: windows as key, start, end; remembered records (sliding) as key, timestamp; the index as due time, key. An index row may be
// too early (its key has moved on): it is then put where it belongs when its time comes. What closes at once goes out by slices of kKeysAtOnce keys,
// in the order of their times; keys that are due in the same millisecond and do not fit one slice, by key. Thread: io.
#pragma once
#include <string>
#include <vector>

#include "agent/pipeline/stateful/aggregating.h"
#include "agent/pipeline/stateful/by_key.h"

namespace rivulet::pipeline {

class KeyedWindows : public Aggregating {
 protected:
  explicit KeyedWindows(const OperatorParts& parts) : Aggregating(parts), grace_(config_.window.grace_ms) {}

  struct Open : Entry {
    Timestamp start = 0, end = 0;
  };
  struct Remembered {  // what a record adds to a window; of equal timestamps one
    Timestamp timestamp_ms = 0;
    AggState state;
    bool dirty = true;
  };
  struct Windows {
    std::vector<Open> open;           // ascending by (start, end)
    std::vector<Remembered> records;  // ascending
    Timestamp indexed = INT64_MAX;    // an index row is there at this time or before
  };

  virtual Timestamp due(const Open& window) const = 0;             // final once stream time is there
  virtual Timestamp forgotten(const Remembered& record) const = 0;  // no window needs it any more
  virtual Window window(const Open& open) const = 0;
  virtual bool before(const Open& a, std::string_view a_key, const Open& b, std::string_view b_key) const = 0;  // order of final results

  Windows& windows(std::string_view key);
  void remove(std::string_view key, Windows& from, std::size_t index);
  void index(std::string_view key, Windows& windows);  // after a change

  void load() override;
  void close_due(Timestamp now, Emit& out) override;
  void close_key(std::string_view key, StreamTime::Move move, Emit& out) override;
  std::optional<Timestamp> next_due() const override { return next_due_ == INT64_MAX ? std::nullopt : std::optional(next_due_); }
  Entry* find(std::string_view key, const Window& window) override;
  void save_entries() override;
  bool place(std::string_view name, std::string_view& key, Window& window) const override;
  KeyRange shown_range(std::string_view key) const override;

  const Timestamp grace_;

 private:
  struct Closing {
    std::string key;
    Open window;
  };
  void take_due(std::string_view key, Windows& from, Timestamp now, std::vector<Closing>& closing);
  void close(std::vector<Closing>& closing, Emit& out);
  void find_next_due(std::string_view from);

  ByKey<Windows> keys_;
  static constexpr std::size_t kKeysAtOnce = 1'000;
  Timestamp next_due_ = INT64_MAX;  // of the index's first row, or before it
};

}  // namespace rivulet::pipeline
