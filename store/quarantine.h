// Quarantine: records that could not go on, kept for a person. Bound: records and bytes; at the bound the oldest goes, counted
// since the process started; the newest always stays. No records as the bound: nothing goes.
// Works in the caller's transaction. Thread: store.
#pragma once
#include <cstdint>
#include <vector>

#include "store/sqlite.h"
#include "store/store.h"

namespace rivulet::store {

class Quarantine {
 public:
  Quarantine(Connection& connection, const QuarantineBound& bound) : connection_(connection), bound_(bound) {}
  result<void> prepare();
  result<void> load();   // after a rollback
  void set_bound(const QuarantineBound& bound) { bound_ = bound; }
  void committed() { kept_dropped_ = dropped_; }
  void dropped_before(std::uint64_t records) { dropped_ += records; }  // in the epoch that is being written
  result<void> add(const QuarantineEntry& entry, Timestamp now_ms);
  result<void> remove(std::int64_t id);  // if the bound has not taken it before
  result<std::uint64_t> drop(std::int64_t first_id, std::int64_t last_id);
  std::uint64_t records() const { return records_; }
  std::uint64_t dropped() const { return dropped_; }

 private:
  Connection& connection_;
  QuarantineBound bound_;
  std::uint64_t records_ = 0, bytes_ = 0, dropped_ = 0, kept_dropped_ = 0;
  Statement insert_, oldest_, remove_;
};

// Whether records keep where they go on: since format 3.
result<bool> has_places(Connection& connection);

// Also for read-only connections (inspect.h), and files of older formats.
result<std::vector<Store::Quarantined>> list_quarantine(Connection& connection, std::int64_t after_id, std::size_t limit);

}  // namespace rivulet::store
