// Aggregating: what all kinds of `aggregate` steps share: the key, stream time, the aggregates, when results go out.
//
// emit: closed: a window's result goes out once, when it is final. every-change: at each change. updates: each window that changed in an
// epoch once, at its end, in the order of the last change. A result that `having` refuses is no row: where one was
// emitted before, a tombstone follows.
// Thread: io. Lifetime: the Topology's. Errors: process() changes nothing when an expression fails.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/pipeline/aggregate/aggregates.h"
#include "agent/pipeline/stateful/operator.h"
#include "agent/pipeline/stateful/stream_time.h"
#include "agent/pipeline/stateful/thinned.h"

namespace rivulet::pipeline {

class Aggregating : public Operator {
 public:
  std::string definition() const override { return definition_; }
  void attach(StepState& state) final;
  result<void> process(std::size_t input, const Row& row, Emit& out) override;
  bool pending() const final;
  void go_on(Emit& out) final { close_due(time_.now(), out); }
  void flush(Emit& out) final;
  void save() final;
  std::size_t held_bytes() const final { return held_entries_ * kHeldBytes; }
  std::optional<Timestamp> next_idle_ms() const final { return time_.next_idle_ms(next_due()); }
  void advance_idle(Timestamp now_ms, Emit& out) final;
  std::optional<Shown> shown() const final;
  result<bool> show(std::string_view name, std::string_view bytes, ShownRow& row) final;

 protected:
  explicit Aggregating(const OperatorParts& parts);

  // One window of one key, or the whole of a key.
  struct Entry {
    AggState state;
    Timestamp timestamp_ms = kNoTime;  // highest of its records
    bool emitted = false;              // the last thing that went out was a row
    bool dirty = true;                 // the table has it otherwise, or not
  };
  // What the kinds do.
  virtual bool takes_null_values() const = 0;
  virtual void load() = 0;  // state_ is set
  virtual void add(std::string_view key, Timestamp timestamp_ms, const Row& row, Timestamp now, Emit& out) = 0;
  // Scope stream. A kind that holds many windows that close at once may leave some for later when `out` is full.
  virtual void close_due(Timestamp now, Emit& out) = 0;
  virtual void close_key(std::string_view key, StreamTime::Move move, Emit& out) = 0;                   // scope key
  virtual std::optional<Timestamp> next_due() const = 0;  // scope stream: where the stream time must get for something to close
  virtual Entry* find(std::string_view key, const Window& window) = 0;
  virtual void save_entries() = 0;
  virtual bool place(std::string_view name, std::string_view& key, Window& window) const = 0;  // of a row of kMainPart; false: it is damaged

  result<bool> find_key(const Row& row);  // false: null
  void close_all_due(Emit& out);
  std::string_view key() const { return key_; }
  static result<void> check_time(Timestamp timestamp_ms);
  void arrived();  // a record that is going in
  void contribute(Entry& entry, Timestamp timestamp_ms);  // the record under way goes in
  void take_back(Entry& entry, Timestamp timestamp_ms);   // of a table: it goes out again
  void changed(std::string_view key, const Window& window, Entry& entry, Emit& out);
  void replaced(std::string_view key, const Window& window, Timestamp timestamp_ms, bool emitted, Emit& out);  // a session became part of another
  void final(std::string_view key, const Window& window, Entry& entry, Emit& out);
  void emit(std::string_view key, const Window& window, Entry& entry, Emit& out);

  static constexpr std::uint32_t kMainPart = 1, kOtherPart = 2, kIndexPart = 3;
  std::string encode(const Entry& entry) const;
  Entry decode(std::string_view bytes);
  AggState decode_state(std::string_view bytes);

  const config::Aggregate config_;
  const bool windowed_;
  const bool until_closed_;  // for a suppress step after it
  std::unique_ptr<Aggregates> aggregates_;
  StreamTime time_;
  StepState* state_ = nullptr;
  Thinned thinned_;

 private:
  void touch(Entry& entry, Timestamp timestamp_ms);

  std::unique_ptr<Group> by_;
  std::string definition_;
  config::EmitWhen emit_;
  std::uint64_t sequence_ = 0;  // of arrival: first and last go by it, also across merged sessions
  bool sequence_dirty_ = false;
  static constexpr std::size_t kHeldBytes = 256;  // of an entry, decoded and soon in the table, about
  std::size_t held_entries_ = 0;
  std::string_view key_;
  std::string text_;
};

std::unique_ptr<Operator> make_time_windows(const OperatorParts& parts);
std::unique_ptr<Operator> make_session_windows(const OperatorParts& parts);
std::unique_ptr<Operator> make_sliding_windows(const OperatorParts& parts);
std::unique_ptr<Operator> make_unwindowed(const OperatorParts& parts);
std::unique_ptr<Operator> make_table_groups(const OperatorParts& parts);

}  // namespace rivulet::pipeline
