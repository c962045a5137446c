// StateSnapshot: the state of stateful steps as of one commit, for another process, while the agent runs or not.
//
// What a step's table holds is `state` with the rows of `state_log` over it (state.h). A Scan merges both, ascending by key. What the log
// changed of a table is kept in memory, at most about kOverlayBytes of it at a time: a longer log is read again for each further part of
// the keys.
// Everything is read in one transaction, from open() to the destructor: the agent's WAL grows meanwhile, so `stop` says when it has to end.
// Thread: one. Lifetime: Scans live within their StateSnapshot. Errors as inspect.h; unavailable: `stop` said so; corrupt: a row does not read.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "store/pack.h"
#include "store/sqlite.h"
#include "store/state.h"

namespace rivulet::store {

inline constexpr std::size_t kOverlayBytes = 16 << 20;

class StateSnapshot {
 public:
  using Stop = std::function<bool()>;  // asked often; true: read no more
  static result<std::unique_ptr<StateSnapshot>> open(const std::string& directory, Stop stop, std::size_t overlay_bytes = kOverlayBytes);

  struct Step {
    std::uint32_t id = 0;
    std::string definition;
  };
  // None: the step has never run.
  result<std::optional<Step>> step(const std::string& pipeline, const std::string& step);

  // Rows of one table (Step::id * kStateParts + part) with keys in [from, to); an empty `to` is the end.
  class Scan {
   public:
    // False: there are no more.
    result<bool> next();
    const std::string& key() const { return key_; }
    const std::string& value() const { return value_; }

   private:
    friend class StateSnapshot;
    using Overlay = std::map<std::string, std::optional<std::string>, std::less<>>;
    Scan(StateSnapshot& snapshot, std::uint32_t table, std::string from, std::string to) : snapshot_(snapshot), table_(table), from_(std::move(from)), to_(std::move(to)) {}
    result<void> begin();
    result<void> read_overlay();
    result<bool> read_file();

    StateSnapshot& snapshot_;
    const std::uint32_t table_;
    std::string from_;             // of the overlay
    const std::string to_;
    Statement rows_;
    bool in_file_ = false, file_done_ = false;
    std::shared_ptr<const Overlay> overlay_;
    Overlay::const_iterator here_;
    std::optional<std::string> cut_;  // the overlay ends before this key; none: at `to`
    std::string key_, value_;
  };
  result<std::unique_ptr<Scan>> scan(std::uint32_t table, std::string from, std::string to);

  Connection& connection() { return connection_; }  // for reading other tables as of the same commit

 private:
  StateSnapshot(Connection connection, Stop stop, std::size_t overlay_bytes) : connection_(std::move(connection)), stop_(std::move(stop)), overlay_bytes_(overlay_bytes) {}
  struct Part {
    std::shared_ptr<const Scan::Overlay> rows;
    std::optional<std::string> cut;
  };
  // What the log says about the keys of `table` from `from` on, as far as it fits.
  result<Part> overlay(std::uint32_t table, const std::string& from);

  Connection connection_;
  Stop stop_;
  const std::size_t overlay_bytes_;
  bool has_state_ = false;  // the file is of a version that keeps state
  PackCodec codec_;
  std::map<std::uint32_t, std::shared_ptr<const Scan::Overlay>> whole_;  // tables of which everything that the log says fits
  std::set<std::uint32_t> long_;                                         // of which it does not
};

}  // namespace rivulet::store
