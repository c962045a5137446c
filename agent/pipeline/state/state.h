// StateStore: the tables of all stateful steps of one agent, their memory, and what of them goes into an epoch.
//
// Measured: 100 random rows of 10,000 cost 420 KiB a commit, one packed row 36 KiB. So an epoch's changes are one row of the log; when the log
// or the memory is at its bound, the latest value of what the oldest half of the log changed is folded into the B-tree and those log rows
// go, in the same transaction. What was changed again or erased since (a window that is closed) is never written there.
// At the start the log is read into memory. Thread: io. Lifetime: the backend outlives it; tables live in it.
// Bounds: `budget_bytes` of entries; wants_end() asks for the epoch's end before changes alone exceed it; full(): they do.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/ids.h"
#include "agent/base/result.h"
#include "agent/pipeline/state/table.h"
#include "store/state.h"

namespace rivulet::pipeline {

// One stateful step's tables, by a number that the step chooses (0 to 15).
class StepState {
 public:
  static constexpr std::uint32_t kTables = store::kStateParts;
  StateTable& table(std::uint32_t part);
  // How many objects a step keeps decoded from one epoch to the next; the rest are bytes in its tables.
  std::size_t decoded_objects() const;
  // What was read makes no sense: nothing computed from it may be committed.
  void fail(Error error);

 private:
  friend class StateStore;
  StepState(StateStore& store, std::uint32_t step) : store_(store), step_(step) {}
  StateStore& store_;
  const std::uint32_t step_;
};

class StateStore {
 public:
  StateStore(store::StateBackend& backend, std::size_t budget_bytes);
  ~StateStore();
  StateStore(const StateStore&) = delete;
  StateStore& operator=(const StateStore&) = delete;

  // Start-up: every step first, then load(). Error: the step's state was written under another definition.
  result<StepState*> open(const std::string& pipeline, const std::string& step, const std::string& definition);
  result<void> load();
  struct Opened {
    std::uint32_t id;  // its tables are id * StepState::kTables + part
    std::string pipeline, step, definition;
    StepState* state;
  };
  const std::vector<Opened>& opened() const { return opened_; }

  // The end of an epoch: what has changed since the last call. Empty when nothing has.
  store::StateChanges take_changes();
  // Everything up to the changes with this number (StateChanges::number) is durable.
  void durable(std::uint64_t number);
  bool wants_end() const { return changed_bytes_ > budget_bytes_ / 2; }
  bool full() const { return changed_bytes_ > budget_bytes_ / 8 * 5; }  // no more, until the epoch has ended
  const std::optional<Error>& failure() const { return failure_; }
  std::size_t memory_bytes() const { return bytes_; }

 private:
  friend class StateTable;
  friend class StepState;
  // Of a change: about what it takes in memory, and in the log that is made of it.
  static std::size_t weight(std::size_t key_bytes, std::size_t value_bytes) { return key_bytes + value_bytes + kRowBytes; }
  static constexpr std::size_t kRowBytes = 40;
  StateTable& table(std::uint32_t id);
  void fold(store::StateChanges& changes);
  std::uint32_t since_start(std::uint64_t log) const { return static_cast<std::uint32_t>(log - base_); }  // as rows in memory have it
  void evict();

  store::StateBackend& backend_;
  const std::size_t budget_bytes_;
  std::map<std::uint32_t, std::unique_ptr<StateTable>> tables_;
  std::vector<std::unique_ptr<StepState>> steps_;
  std::vector<Opened> opened_;
  std::map<std::uint64_t, std::size_t> logs_;  // rows of the log that are not folded, with their sizes
  struct Folding {
    std::uint64_t number, up_to;
  };
  std::vector<Folding> folding_;  // under way: until it is durable its entries stay in memory
  std::uint64_t last_ = 0;        // number given
  std::uint64_t base_ = 0;        // one before the oldest log row at the start
  std::size_t bytes_ = 0, changed_bytes_ = 0, log_bytes_ = 0;
  std::optional<Error> failure_;
};

}  // namespace rivulet::pipeline
