// StateTable: ordered bytes -> bytes of one stateful step, with a write-back cache over what is on disk.
//
// Changes stay in memory until they are in the file: first as one compressed row an epoch (the log), later folded into the B-tree (see
// state.h). A key that is not in memory is looked up on disk, unless everything that there is fits in memory.
// Keys are ordered by their bytes; what changes together should lie together (a window's start first).
// Thread: io. Lifetime: within its StateStore. Bounds: StateStore's budget; rows that are in the file go first.
// Errors: a read that fails makes StateStore::failure() answer: nothing computed after it may be committed.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/result.h"
#include "agent/pipeline/state/packed_rows.h"
#include "store/state.h"

namespace rivulet::pipeline {

class StateStore;

class StateTable {
 public:
  // The value, until the next call on this table.
  std::optional<std::string_view> get(std::string_view key);
  void put(std::string_view key, std::string_view value);
  void erase(std::string_view key);
  // Ascending over [from, to); an empty `to` is the end. Ends when `visit` answers false. `visit` must not call this table: collect
  // first, then change.
  using Visit = std::function<bool(std::string_view key, std::string_view value)>;
  void scan(std::string_view from, std::string_view to, const Visit& visit);
  void scan_prefix(std::string_view prefix, const Visit& visit);

  StateTable(const StateTable&) = delete;
  StateTable& operator=(const StateTable&) = delete;

 private:
  friend class StateStore;
  using Position = PackedRows::Position;
  static constexpr std::uint32_t kInFile = 0, kChanged = UINT32_MAX;  // else: in which log row the latest change is
  enum Flag : std::uint8_t {
    kValue = 1,    // none: erased
    kUsed = 2,     // since the last sweep
    kLogged = 4,   // some row of the log has the key
    kMaybeInFile = 8,  // the B-tree may have the key: an erased row is kept until it is gone there too
  };

  StateTable(StateStore& store, std::uint32_t id) : store_(store), id_(id) {}
  void change(std::string_view key, std::optional<std::string_view> value);
  void keep(std::string_view key, std::string_view value);  // as the file has it
  void read_log(std::uint32_t log, std::string_view key, std::optional<std::string_view> value);
  result<void> load(std::size_t up_to_bytes);  // from the file, as long as the store's memory is below
  void log_changes(std::uint32_t log, std::string& body);
  void fold(std::uint32_t after, std::uint32_t up_to, std::string& folded);
  void settle(std::uint32_t up_to);
  void evict(bool all);
  Position drop(Position at);  // from memory
  void weigh();

  StateStore& store_;
  const std::uint32_t id_;
  PackedRows rows_;
  std::size_t weighed_ = 0;  // what of rows_ is in the store's bytes
  std::size_t changed_ = 0;
  bool whole_ = false;  // every row that is on disk is in rows_
};

}  // namespace rivulet::pipeline
