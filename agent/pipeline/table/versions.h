// Versions: the latest value of each key and what it was before, as far back as `history` (SEMANTICS.md 17, D5).
//
// The clock is the highest timestamp over all keys of the table; `rivulet state reset-time` undoes it. The latest version of a key is a row
// under its key; older ones lie in buckets of the time at which they ended, so that what expires together lies together and an as-of lookup
// looks into the kBuckets + 2 that are there. Deletes are versions; one that nothing can ask for any more goes.
// Thread: io. Lifetime: its StepState's. Bounds: what is older than `history` by a bucket is gone from the disk.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "agent/pipeline/state/state.h"
#include "agent/pipeline/table/table_view.h"

namespace rivulet::pipeline {

class Versions {
 public:
  static constexpr std::int64_t kBuckets = 4;  // that cover `history`
  static constexpr std::uint32_t kRowsPart = 1, kDeletedPart = 2;
  Versions(StepState& state, std::int64_t history_ms);

  enum class Put { latest, older, expired };  // expired: nothing was kept
  Put put(std::string_view key, const TableRow& row);
  std::optional<TableRow> current(std::string_view key);
  std::optional<TableRow> as_of(std::string_view key, Timestamp timestamp_ms);
  void save();

  // What a row of kRowsPart is called: its key, and until when it was valid; none: it is the latest. False: damaged.
  static bool read_name(std::string_view name, std::string& key, std::optional<Timestamp>& until_ms);

 private:
  struct Version {
    Timestamp until_ms = 0;
    std::string bytes;
  };
  std::optional<TableRow> latest(std::string_view key);
  // The first of the key's older versions that ends after a time; no later than `last_ms`.
  std::optional<Version> ends_after(std::string_view key, Timestamp timestamp_ms, Timestamp last_ms);
  std::optional<TableRow> readable(std::string_view bytes);
  void put_older(std::string_view key, Timestamp until_ms, const TableRow& row);
  void put_latest(std::string_view key, const TableRow& row);
  void expire();
  Timestamp oldest_ms() const { return observed_ms_ - history_ms_; }

  StepState& state_;
  StateTable& time_;
  StateTable& rows_;
  StateTable& deleted_;  // deletes that are the latest of their key, by time
  const std::int64_t history_ms_, bucket_ms_;
  Timestamp observed_ms_ = -1;
  bool dirty_ = false;
  std::int64_t expired_bucket_ = -1;  // buckets before this one are gone
  std::string expired_rows_, expired_deleted_;  // what is before these names is gone
  std::string bytes_, name_, found_;
};

}  // namespace rivulet::pipeline
