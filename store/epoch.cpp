#include "store/epoch.h"

#include <algorithm>

#include "agent/base/check.h"
#include "store/pack.h"

namespace rivulet::store {
namespace {
constexpr std::size_t kEntryOverhead = 64;  // what a row costs in memory beside its bytes, about
constexpr std::size_t kRecordOverhead = 64;  // a record's numbers in a pack, at most

// A string grows by doubling, which would take twice the bound for its last few bytes.
void make_room(std::string& bytes, std::size_t more) {
  if (bytes.size() + more <= bytes.capacity() || bytes.size() + more <= kPackBytes / 4) return;
  bytes.reserve(std::max(kPackBytes, bytes.size()) + more);
}

}  // namespace

void Epoch::append(StreamId stream, Sequence sequence, std::optional<std::string_view> key,
                   std::optional<std::string_view> value, Timestamp timestamp_ms, const std::optional<Window>& window) {
  if (open_.size() <= stream) open_.resize(stream + 1, 0);
  std::size_t& open = open_[stream];  // index + 1 into streams_; 0 = none
  if (open == 0 || streams_[open - 1].bytes.size() >= kPackBytes || (window && !streams_[open - 1].windows)) {
    RV_CHECK(open == 0 || streams_[open - 1].first + streams_[open - 1].count == sequence, "sequence numbers are contiguous");
    streams_.push_back(StreamRecords{stream, sequence, 0, 0, window.has_value(), {}});
    open = streams_.size();
  }
  StreamRecords& records = streams_[open - 1];
  RV_CHECK(records.first + records.count == sequence, "sequence numbers are contiguous");
  const std::size_t before = records.bytes.size();
  make_room(records.bytes, (key ? key->size() : 0) + (value ? value->size() : 0) + kRecordOverhead);
  append_to_body(records.bytes, key, value, timestamp_ms, records.last_timestamp_ms);
  if (records.windows) append_window_to_body(records.bytes, window);
  records.last_timestamp_ms = timestamp_ms;
  ++records.count;
  ++records_;
  size_bytes_ += records.bytes.size() - before;
}

// A source moves one position many times in an epoch: only its last value counts, and is written once.
PositionChange& Epoch::position(std::string_view source, std::string_view key) {
  if (!positions_.empty() && positions_.back().source == source && positions_.back().key == key) return positions_.back();
  std::string name(source);
  name.push_back('\0');
  name.append(key);
  const auto [found, added] = position_index_.try_emplace(std::move(name), positions_.size());
  if (added) {
    positions_.push_back({std::string(source), std::string(key), std::nullopt});
    size_bytes_ += 2 * (source.size() + key.size() + kEntryOverhead);
  }
  return positions_[found->second];
}

void Epoch::set_position(std::string_view source, std::string_view key, std::string_view value) {
  PositionChange& change = position(source, key);
  size_bytes_ += value.size();
  size_bytes_ -= change.value ? change.value->size() : 0;
  change.value = std::string(value);
}

void Epoch::erase_position(std::string_view source, std::string_view key) {
  PositionChange& change = position(source, key);
  size_bytes_ -= change.value ? change.value->size() : 0;
  change.value.reset();
}

void Epoch::quarantine(QuarantineEntry entry, const QuarantineBound& bound) {
  const auto in_memory = [](const QuarantineEntry& one) { return one.payload_bytes() + one.reason.size() + one.place.size() + sizeof one; };
  size_bytes_ += in_memory(entry);
  quarantine_bytes_ += entry.payload_bytes();
  quarantine_.push_back(std::move(entry));
  while (bound.exceeded(quarantine_.size(), quarantine_bytes_)) {
    size_bytes_ -= in_memory(quarantine_.front());
    quarantine_bytes_ -= quarantine_.front().payload_bytes();
    quarantine_.pop_front();
    ++quarantine_dropped_;
  }
}

void Epoch::release(std::int64_t id) {
  size_bytes_ += kEntryOverhead;
  released_.push_back(id);
}

void Epoch::set_state(StateChanges changes) {
  RV_CHECK(state_.empty(), "an epoch's state is set once");
  size_bytes_ += changes.size_bytes();
  state_ = std::move(changes);
}

}  // namespace rivulet::store
