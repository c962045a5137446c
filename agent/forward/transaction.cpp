#include "agent/forward/transaction.h"

#include <algorithm>
#include <map>

#include "agent/base/check.h"

namespace rivulet::forward {

std::uint32_t Transaction::add(StreamId stream, Sequence sequence) {
  if (!segments_.empty()) {
    auto& last = segments_.back();
    if (!last.gap && last.rows.stream == stream && last.rows.last + 1 == sequence) {
      last.rows.last = sequence;
      return records_++;
    }
  }
  segments_.push_back({records_, {stream, sequence, sequence}, false});
  return records_++;
}

std::uint32_t Transaction::add_gap(StreamId stream, Sequence first, Sequence last) {
  segments_.push_back({records_, {stream, first, last}, true});
  return records_++;
}

Rows Transaction::row(std::uint32_t index) const {
  RV_CHECK(index < records_, "the record is part of the transaction");
  const auto after = std::upper_bound(segments_.begin(), segments_.end(), index, [](auto i, const auto& s) { return i < s.index; });
  const auto& segment = *(after - 1);
  if (segment.gap) return segment.rows;
  const auto sequence = segment.rows.first + (index - segment.index);
  return {segment.rows.stream, sequence, sequence};
}

std::vector<Rows> Transaction::rows(const std::vector<kafka::IndexRange>& indexes) const {
  std::vector<Rows> rows;
  std::size_t at = 0;
  for (const auto& range : indexes) {  // both ascend
    while (at + 1 < segments_.size() && segments_[at + 1].index <= range.first) ++at;
    for (auto index = range.first; index <= range.last && index < records_;) {
      while (at + 1 < segments_.size() && segments_[at + 1].index <= index) ++at;
      const auto& segment = segments_[at];
      const auto end = at + 1 < segments_.size() ? segments_[at + 1].index : records_;
      const auto last = std::min(range.last, end - 1);
      if (segment.gap) {
        rows.push_back(segment.rows);
      } else {
        rows.push_back({segment.rows.stream, segment.rows.first + (index - segment.index), segment.rows.first + (last - segment.index)});
      }
      index = last + 1;
    }
  }
  return rows;
}

std::vector<Rows> Transaction::streams() const {
  std::map<StreamId, Rows> streams;
  for (const auto& segment : segments_) {
    auto [at, is_new] = streams.try_emplace(segment.rows.stream, segment.rows);
    if (is_new) continue;
    at->second.first = std::min(at->second.first, segment.rows.first);
    at->second.last = std::max(at->second.last, segment.rows.last);
  }
  std::vector<Rows> list;
  for (const auto& [stream, rows] : streams) list.push_back(rows);
  return list;
}

bool Transaction::complete(const kafka::DeliveryReport& report, std::uint32_t extra_records) const {
  std::uint64_t delivered = 0;
  for (const auto& partition : report.partitions) {
    for (const auto& range : partition.rows) delivered += range.last - range.first + 1;
  }
  return delivered == std::uint64_t{records_} + extra_records;
}

std::optional<Prepared> Transaction::prepared(const kafka::DeliveryReport& report, std::uint32_t progress_index) const {
  if (!complete(report, 1)) return std::nullopt;
  Prepared prepared;
  prepared.progress_offset = -1;
  for (const auto& partition : report.partitions) {
    if (partition.last_index == progress_index) {
      if (partition.rows.size() != 1 || partition.first_offset != partition.last_offset) return std::nullopt;
      prepared.progress = partition.where;
      prepared.progress_offset = partition.last_offset;
      continue;
    }
    const auto last = row(partition.last_index);
    prepared.partitions.push_back(
        {partition.where, partition.first_offset, partition.last_offset, last.stream, last.last, rows(partition.rows)});
  }
  if (prepared.progress_offset < 0) return std::nullopt;
  prepared.streams = streams();
  return prepared;
}

}  // namespace rivulet::forward
