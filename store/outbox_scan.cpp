#include "store/outbox_scan.h"

#include <algorithm>

#include <fmt/core.h>

namespace rivulet::store {

result<std::unique_ptr<OutboxScan>> OutboxScan::begin(StateSnapshot& snapshot, const std::optional<std::string>& stream) {
  std::unique_ptr<OutboxScan> scan(new OutboxScan);
  auto streams = snapshot.connection().prepare("SELECT id, name, topic, last, acknowledged FROM streams WHERE last > acknowledged ORDER BY id");
  if (!streams) return streams.error();
  for (;;) {
    auto row = streams->step();
    if (!row) return row.error();
    if (!*row) break;
    if (stream && streams->bytes(1) != *stream) continue;
    StreamInfo info;
    info.id = static_cast<StreamId>(streams->integer(0));
    info.name = streams->bytes(1);
    info.topic = streams->bytes(2);
    info.last = static_cast<Sequence>(streams->integer(3));
    info.acknowledged = static_cast<Sequence>(streams->integer(4));
    scan->streams_.push_back(std::move(info));
  }
  auto rows = snapshot.connection().prepare("SELECT id, last, gap, bytes FROM packs WHERE id BETWEEN ?1 AND ?2 ORDER BY id");
  if (!rows) return rows.error();
  scan->rows_ = std::move(*rows);
  return scan;
}

// The row that rows_ is at, without what is acknowledged.
result<void> OutboxScan::open_pack() {
  const StreamInfo& stream = streams_[at_];
  const auto first = static_cast<Sequence>(rows_.integer(0)) & kMaxSequence, last = static_cast<Sequence>(rows_.integer(1));
  pack_ = {};
  place_ = 0;
  gap_.reset();
  if (last <= stream.acknowledged) return {};
  const Sequence from = std::max(first, stream.acknowledged + 1);
  sequence_ = from - 1;
  if (rows_.integer(2) != 0) {
    gap_ = fmt::format("{} records: {}", last - from + 1, rows_.bytes(3));
    return {};
  }
  auto decoded = codec_.decode(rows_.bytes(3), from - first);
  if (!decoded) return Error{decoded.error().code, fmt::format("stream '{}', records {} to {}: {}", stream.name, first, last, decoded.error().message)};
  pack_ = std::move(*decoded);
  return {};
}

result<bool> OutboxScan::next() {
  gap_.reset();
  for (;;) {
    if (place_ < pack_.records.size()) {
      record_ = pack_.records[place_++];
      ++sequence_;
      return true;
    }
    if (at_ >= streams_.size()) return false;
    if (!started_) {
      rows_.bind(1, row_id(streams_[at_].id, 0)).bind(2, row_id(streams_[at_].id, kMaxSequence));
      started_ = true;
    }
    auto row = rows_.step();
    if (!row) return row.error();
    if (!*row) {
      rows_.reset();
      started_ = false;
      ++at_;
      continue;
    }
    if (auto opened = open_pack(); !opened) return opened.error();
    if (!gap_) continue;
    record_ = {};
    ++sequence_;
    return true;
  }
}

}  // namespace rivulet::store
