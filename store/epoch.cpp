#include "store/epoch.h"

#include "agent/base/check.h"
#include "store/pack.h"

namespace rivulet::store {
namespace {
constexpr std::size_t kEntryOverhead = 64;  // what a row costs in memory beside its bytes, about
}

void Epoch::append(StreamId stream, Sequence sequence, std::optional<std::string_view> key,
                   std::optional<std::string_view> value, Timestamp timestamp_ms) {
  if (open_.size() <= stream) open_.resize(stream + 1, 0);
  std::size_t& open = open_[stream];  // index + 1 into streams_; 0 = none
  if (open == 0 || streams_[open - 1].bytes.size() >= kPackBytes) {
    RV_CHECK(open == 0 || streams_[open - 1].first + streams_[open - 1].count == sequence, "sequence numbers are contiguous");
    streams_.push_back(StreamRecords{stream, sequence, 0, 0, {}});
    open = streams_.size();
  }
  StreamRecords& records = streams_[open - 1];
  RV_CHECK(records.first + records.count == sequence, "sequence numbers are contiguous");
  const std::size_t before = records.bytes.size();
  append_to_body(records.bytes, key, value, timestamp_ms, records.last_timestamp_ms);
  records.last_timestamp_ms = timestamp_ms;
  ++records.count;
  ++records_;
  size_bytes_ += records.bytes.size() - before;
}

void Epoch::set_position(std::string_view source, std::string_view key, std::string_view value) {
  // A source usually moves one position many times in an epoch: only its last value counts.
  for (auto it = positions_.rbegin(); it != positions_.rend() && it - positions_.rbegin() < 4; ++it)
    if (it->source == source && it->key == key) {
      it->value = std::string(value);
      return;
    }
  positions_.push_back({std::string(source), std::string(key), std::string(value)});
  size_bytes_ += source.size() + key.size() + value.size() + kEntryOverhead;
}

void Epoch::erase_position(std::string_view source, std::string_view key) {
  positions_.push_back({std::string(source), std::string(key), std::nullopt});
  size_bytes_ += source.size() + key.size() + kEntryOverhead;
}

void Epoch::quarantine(QuarantineEntry entry) {
  size_bytes_ += entry.reason.size() + (entry.value ? entry.value->size() : 0) + (entry.key ? entry.key->size() : 0) + kEntryOverhead;
  quarantine_.push_back(std::move(entry));
}

}  // namespace rivulet::store
