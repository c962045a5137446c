// StateTable: ordered bytes -> bytes of one stateful step, with a write-back cache over what is on disk.
//
// Changes stay in memory as entries until they are in the file: first as one compressed row an epoch (the log), later folded into
// the B-tree (see state.h). A key that is not in memory is looked up on disk, unless everything that there is fits in memory.
// Keys are ordered by their bytes; what changes together should lie together (a window's start first: key.h).
// Thread: io. Lifetime: within its StateStore. Bounds: StateStore's budget; entries that are in the file go first.
// Errors: a read that fails makes StateStore::failure() answer: nothing computed after it may be committed.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"

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
  static constexpr std::uint64_t kInFile = 0, kChanged = UINT64_MAX;
  struct Entry {
    std::optional<std::string> value;  // none: erased
    std::uint64_t log = 0;    // in which log row the latest change is; kInFile: the B-tree has it
    bool used = true;         // since the last sweep
    bool logged = false;      // some row of the log has the key
    bool in_file = false;     // the B-tree may have the key: an erased entry is kept until it goes there too
  };
  using Entries = std::map<std::string, Entry, std::less<>>;

  StateTable(StateStore& store, std::uint32_t id) : store_(store), id_(id) {}
  Entry& change(std::string_view key);
  result<void> load(std::size_t up_to_bytes);  // from the file, as long as the store's memory is below
  void log_changes(std::uint64_t number, std::string& body);
  Entry& keep(std::string_view key, std::string value);  // as the file has it

  StateStore& store_;
  const std::uint32_t id_;
  Entries entries_;
  std::vector<Entries::iterator> changed_;
  bool whole_ = false;  // every row that is on disk is in entries_
};

}  // namespace rivulet::pipeline
