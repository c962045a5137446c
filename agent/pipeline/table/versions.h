// Versions: the latest value of each key and what it was before, as far back as `history` (SEMANTICS.md 17, D5).
//
// The clock is the highest timestamp over all keys of the table. The latest version of a key is a row by itself; older ones
// lie in buckets of the time at which they ended, so that what expires together lies together and an as-of lookup looks into at most
// kBuckets + 2 of them. Deletes are versions; one that nothing can ask for any more goes. Thread: io. Lifetime: its StateTables'.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "agent/pipeline/state/table.h"
#include "agent/pipeline/table/table_view.h"

namespace rivulet::pipeline {

class Versions {
 public:
  static constexpr std::int64_t kBuckets = 4;  // that cover `history`
  Versions(StateTable& latest, StateTable& older, StateTable& deleted, StateTable& meta, std::int64_t history_ms);

  enum class Put { latest, older, expired };  // expired: nothing was kept
  Put put(std::string_view key, const TableRow& row);
  std::optional<TableRow> current(std::string_view key);
  std::optional<TableRow> as_of(std::string_view key, Timestamp timestamp_ms);
  void save();
  Timestamp observed_ms() const { return observed_ms_; }

 private:
  struct Version {
    std::string key;  // of its row in older_
    Timestamp until_ms;
    std::string bytes;
  };
  std::optional<TableRow> latest(std::string_view key);
  std::optional<Version> ends_after(std::string_view key, Timestamp timestamp_ms);  // the first that does, by its end
  void put_older(std::string_view key, Timestamp until_ms, const TableRow& row);
  void put_latest(std::string_view key, const TableRow& row);
  void expire();
  Timestamp oldest_ms() const { return observed_ms_ - history_ms_; }

  StateTable& latest_;
  StateTable& older_;
  StateTable& deleted_;  // deletes that are the latest of their key, by time
  StateTable& meta_;
  const std::int64_t history_ms_, bucket_ms_;
  Timestamp observed_ms_ = -1;
  bool dirty_ = false;
  std::int64_t expired_bucket_ = -1;  // buckets before this one are gone
  std::string bytes_, name_, found_;
};

}  // namespace rivulet::pipeline
