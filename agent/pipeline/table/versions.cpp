#include "agent/pipeline/table/versions.h"

#include <algorithm>
#include <utility>

#include "agent/base/bytes.h"
#include "agent/pipeline/stateful/operator.h"
#include "agent/pipeline/stateful/stream_time.h"
#include "agent/pipeline/table/each_row.h"
#include "agent/pipeline/table/ordered.h"

namespace rivulet::pipeline {

Versions::Versions(StepState& state, std::int64_t history_ms)
    : state_(state), time_(state.table(kTimePart)), rows_(state.table(kRowsPart)), deleted_(state.table(kDeletedPart)), history_ms_(history_ms), bucket_ms_(history_ms / kBuckets + 1) {
  if (const auto bytes = time_.get("t")) observed_ms_ = Reader(*bytes).zigzag();
}

void Versions::save() {
  if (!dirty_) return;
  std::string bytes;
  put_zigzag(bytes, observed_ms_);
  time_.put("t", bytes);
  dirty_ = false;
}

bool Versions::read_name(std::string_view name, std::string& key, std::optional<Timestamp>& until_ms) {
  if (!name.empty() && name[0] == kAfterNumbers) {
    key = name.substr(1);
    until_ms.reset();
    return true;
  }
  OrderedReader reader(name);
  reader.number();  // the bucket
  key = reader.key();
  until_ms = reader.time();
  return reader.whole();
}

std::optional<TableRow> Versions::readable(std::string_view bytes) {
  auto row = read_row(bytes);
  if (!row) state_.fail({ErrorCode::corrupt, "a row of a table's state does not read"});
  return row;
}

std::optional<TableRow> Versions::latest(std::string_view key) {
  name_.assign(1, kAfterNumbers);
  name_ += key;
  const auto bytes = rows_.get(name_);
  return bytes ? readable(*bytes) : std::nullopt;
}

std::optional<TableRow> Versions::current(std::string_view key) {
  auto row = latest(key);
  if (!row || row->tombstone) return std::nullopt;
  return row;
}

std::optional<TableRow> Versions::as_of(std::string_view key, Timestamp timestamp_ms) {
  const auto row = latest(key);
  if (row && row->timestamp_ms <= timestamp_ms) return row->tombstone ? std::nullopt : row;
  if (!row || timestamp_ms < oldest_ms()) return std::nullopt;
  auto version = ends_after(key, timestamp_ms, row->timestamp_ms);
  if (!version) return std::nullopt;
  found_ = std::move(version->bytes);
  const auto older = readable(found_);
  if (!older || older->timestamp_ms > timestamp_ms || older->tombstone) return std::nullopt;
  return older;
}

// A key's versions follow each other without a gap, so the first that ends after a time is the one that was there then, or the
// first of all. Buckets may be far apart where the clock jumped.
std::optional<Versions::Version> Versions::ends_after(std::string_view key, Timestamp timestamp_ms, Timestamp last_ms) {
  std::optional<Version> found;
  std::int64_t bucket = plus(std::max<Timestamp>(timestamp_ms, 0), 1) / bucket_ms_;
  while (bucket <= last_ms / bucket_ms_) {
    name_.clear();
    put_ordered(name_, static_cast<std::uint64_t>(bucket));
    put_ordered_key(name_, key);
    const std::string prefix = name_;
    put_ordered_time(name_, plus(timestamp_ms, 1));
    rows_.scan(name_, range_of_prefix(prefix).to, [&](std::string_view name, std::string_view bytes) {
      found = Version{OrderedReader(name.substr(prefix.size())).time(), std::string(bytes)};
      return false;
    });
    if (found) return found;
    name_.clear();
    put_ordered(name_, static_cast<std::uint64_t>(bucket) + 1);
    std::optional<std::int64_t> next;
    rows_.scan(name_, std::string(1, kAfterNumbers), [&](std::string_view name, std::string_view) {
      next = static_cast<std::int64_t>(OrderedReader(name).number());
      return false;
    });
    if (!next || *next <= bucket) break;
    bucket = *next;
  }
  return found;
}

void Versions::put_older(std::string_view key, Timestamp until_ms, const TableRow& row) {
  if (until_ms <= oldest_ms()) return;  // no lookup reaches it
  bytes_.clear();
  append_row(bytes_, row);
  name_.clear();
  put_ordered(name_, static_cast<std::uint64_t>(until_ms / bucket_ms_));
  put_ordered_key(name_, key);
  put_ordered_time(name_, until_ms);
  rows_.put(name_, bytes_);
}

void Versions::put_latest(std::string_view key, const TableRow& row) {
  bytes_.clear();
  append_row(bytes_, row);
  name_.assign(1, kAfterNumbers);
  name_ += key;
  rows_.put(name_, bytes_);
  if (!row.tombstone) return;
  name_.clear();
  put_ordered_time(name_, row.timestamp_ms);
  name_ += key;
  deleted_.put(name_, {});
}

Versions::Put Versions::put(std::string_view key, const TableRow& row) {
  if (row.timestamp_ms < oldest_ms()) return Put::expired;
  if (row.timestamp_ms > observed_ms_) {
    observed_ms_ = row.timestamp_ms;
    dirty_ = true;
    expire();
  }
  const auto before = latest(key);
  if (!before || row.timestamp_ms >= before->timestamp_ms) {
    if (before && row.timestamp_ms > before->timestamp_ms) put_older(key, row.timestamp_ms, *before);
    put_latest(key, row);
    return Put::latest;
  }
  Timestamp until_ms = before->timestamp_ms;
  if (const auto version = ends_after(key, row.timestamp_ms, until_ms)) {
    const auto other = readable(version->bytes);
    if (other && other->timestamp_ms > row.timestamp_ms) {
      until_ms = other->timestamp_ms;  // before the first that is known
    } else if (other) {
      until_ms = version->until_ms;  // it ends where this one begins, or is replaced
      if (other->timestamp_ms < row.timestamp_ms) put_older(key, row.timestamp_ms, *other);
    }
  }
  put_older(key, until_ms, row);
  return Put::older;
}

void Versions::expire() {
  const std::int64_t bucket = std::max<std::int64_t>(oldest_ms(), 0) / bucket_ms_;
  if (bucket == expired_bucket_) return;
  expired_bucket_ = bucket;
  std::string end;
  put_ordered(end, static_cast<std::uint64_t>(bucket));
  erase_rows(rows_, expired_rows_, end);
  expired_rows_ = std::exchange(end, {});
  put_ordered_time(end, oldest_ms());
  erase_rows(deleted_, expired_deleted_, end, [&](std::string_view name) {
    OrderedReader reader(name);
    const Timestamp deleted_ms = reader.time();
    const std::string key(reader.rest());
    if (const auto row = latest(key); row && row->tombstone && row->timestamp_ms == deleted_ms) rows_.erase(std::string(1, kAfterNumbers) + key);
  });
  expired_deleted_ = end;
}

}  // namespace rivulet::pipeline
