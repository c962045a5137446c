#include "agent/pipeline/table/versions.h"

#include <algorithm>
#include <vector>

#include "agent/base/bytes.h"
#include "agent/pipeline/table/ordered.h"

namespace rivulet::pipeline {
namespace {

constexpr std::size_t kErasedAtOnce = 256;

}  // namespace

Versions::Versions(StateTable& latest, StateTable& older, StateTable& deleted, StateTable& meta, std::int64_t history_ms)
    : latest_(latest), older_(older), deleted_(deleted), meta_(meta), history_ms_(history_ms), bucket_ms_(history_ms / kBuckets + 1) {
  if (const auto bytes = meta_.get("t")) observed_ms_ = Reader(*bytes).zigzag();
}

void Versions::save() {
  if (!dirty_) return;
  std::string bytes;
  put_zigzag(bytes, observed_ms_);
  meta_.put("t", bytes);
  dirty_ = false;
}

std::optional<TableRow> Versions::latest(std::string_view key) {
  const auto bytes = latest_.get(key);
  if (!bytes) return std::nullopt;
  return read_row(*bytes);
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
  auto version = ends_after(key, timestamp_ms);
  if (!version) return std::nullopt;
  found_ = std::move(version->bytes);
  const TableRow older = read_row(found_);
  if (older.timestamp_ms > timestamp_ms || older.tombstone) return std::nullopt;
  return older;
}

// A key's versions follow each other without a gap, so the first that ends after a time is the one that was there then, or the
// first of all.
std::optional<Versions::Version> Versions::ends_after(std::string_view key, Timestamp timestamp_ms) {
  std::optional<Version> found;
  for (std::int64_t bucket = plus(timestamp_ms, 1) / bucket_ms_; bucket <= observed_ms_ / bucket_ms_ && !found; ++bucket) {
    name_.clear();
    put_ordered(name_, static_cast<std::uint64_t>(bucket));
    put_ordered_key(name_, key);
    const std::string prefix = name_;
    put_ordered_time(name_, plus(timestamp_ms, 1));
    older_.scan(name_, after_prefix(prefix), [&](std::string_view name, std::string_view bytes) {
      std::string_view rest = name.substr(prefix.size());
      found = Version{std::string(name), take_ordered_time(rest), std::string(bytes)};
      return false;
    });
  }
  return found;
}

void Versions::put_older(std::string_view key, Timestamp until_ms, const TableRow& row) {
  if (until_ms <= oldest_ms()) return;  // no lookup reaches it
  name_.clear();
  put_ordered(name_, static_cast<std::uint64_t>(until_ms / bucket_ms_));
  put_ordered_key(name_, key);
  put_ordered_time(name_, until_ms);
  bytes_.clear();
  append_row(bytes_, row);
  older_.put(name_, bytes_);
}

void Versions::put_latest(std::string_view key, const TableRow& row) {
  bytes_.clear();
  append_row(bytes_, row);
  latest_.put(key, bytes_);
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
  if (auto version = ends_after(key, row.timestamp_ms)) {
    const TableRow other = read_row(version->bytes);
    if (other.timestamp_ms > row.timestamp_ms) {
      until_ms = other.timestamp_ms;  // before the first that is known
    } else {
      until_ms = version->until_ms;  // it ends where this one begins, or is replaced
      if (other.timestamp_ms < row.timestamp_ms) put_older(key, row.timestamp_ms, other);
    }
  }
  put_older(key, until_ms, row);
  return Put::older;
}

void Versions::expire() {
  const std::int64_t bucket = std::max<std::int64_t>(oldest_ms(), 0) / bucket_ms_;
  if (bucket == expired_bucket_) return;
  expired_bucket_ = bucket;
  std::vector<std::string> gone;
  std::string end;
  put_ordered(end, static_cast<std::uint64_t>(bucket));
  do {
    gone.clear();
    older_.scan({}, end, [&](std::string_view name, std::string_view) {
      gone.emplace_back(name);
      return gone.size() < kErasedAtOnce;
    });
    for (const std::string& name : gone) older_.erase(name);
  } while (gone.size() == kErasedAtOnce);
  end.clear();
  put_ordered_time(end, oldest_ms());
  do {
    gone.clear();
    deleted_.scan({}, end, [&](std::string_view name, std::string_view) {
      gone.emplace_back(name);
      return gone.size() < kErasedAtOnce;
    });
    for (const std::string& name : gone) {
      std::string_view key = name;
      const Timestamp deleted_ms = take_ordered_time(key);
      if (const auto row = latest(key); row && row->tombstone && row->timestamp_ms == deleted_ms) latest_.erase(key);
      deleted_.erase(name);
    }
  } while (gone.size() == kErasedAtOnce);
}

}  // namespace rivulet::pipeline
