// Epoch: what happened between two commits. One self-contained object, committed in one SQLite transaction: all or nothing.
//
// Filled on the io thread, then moved to the store thread; it never changes after that, so that a commit that failed is
// retried unchanged. Bound: whoever fills it ends it by size_bytes().
#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/base/ids.h"
#include "agent/base/window.h"
#include "store/state.h"

namespace rivulet::store {

// A source's position: (source, key) -> value. No value = the row is deleted. Later changes of a key win.
struct PositionChange {
  std::string source;
  std::string key;
  std::optional<std::string> value;
};

// A record that could not go on, kept for a person to look at.
struct QuarantineEntry {
  std::string source;    // empty when unknown
  std::string pipeline;  // empty: it failed before any pipeline (decoding)
  std::string step;      // "decode", "where", ..., "forward"
  std::string reason;    // for a person
  std::optional<std::string> key;
  std::optional<std::string> value;
  Timestamp timestamp_ms = 0;  // event time, or arrival time where there is none
  std::string topic;           // of the stream, when it failed in forwarding; else of the message that it came as
  // For `quarantine retry`: where it goes on, as the pipelines say it (Topology::retry); kStreamPlace and the stream's name when it failed in
  // forwarding; kNoPlace and why: nowhere. Empty: put there by a version that did not know.
  std::string place = {};
  std::optional<Window> window = std::nullopt;
  std::optional<std::string> first_line = std::nullopt;  // what names the fields of CSV
  std::size_t payload_bytes() const { return (key ? key->size() : 0) + (value ? value->size() : 0) + (first_line ? first_line->size() : 0); }
};
inline constexpr std::string_view kStreamPlace = "stream ", kNoPlace = "none: ";

// Of the quarantine: beyond either its oldest entry goes. Bytes are those of keys, values and first lines.
struct QuarantineBound {
  std::uint64_t records = 10'000;  // 0: no bound
  std::uint64_t bytes = 16ULL << 20;
  bool exceeded(std::uint64_t has_records, std::uint64_t has_bytes) const { return records > 0 && has_records > 1 && (has_records > records || has_bytes > bytes); }
};

// Uncompressed size at which a pack is closed: large enough to compress well, small enough to hold a few in memory.
inline constexpr std::size_t kPackBytes = 64 * 1024;

// One pack to be: records of one stream as a raw body of pack.h; the store thread compresses it when it commits.
struct StreamRecords {
  StreamId stream = 0;
  Sequence first = 0;
  std::uint64_t count = 0;
  Timestamp last_timestamp_ms = 0;
  bool windows = false;  // some may have one
  std::string bytes;
};

class Epoch {
 public:
  // Adds one record; `sequence` must be the stream's next (check). Null key and null value differ from empty ones.
  void append(StreamId stream, Sequence sequence, std::optional<std::string_view> key,
              std::optional<std::string_view> value, Timestamp timestamp_ms, const std::optional<Window>& window = std::nullopt);
  void set_position(std::string_view source, std::string_view key, std::string_view value);
  void erase_position(std::string_view source, std::string_view key);
  // What the table would not keep is not collected first: one message may be as many records that fail.
  void quarantine(QuarantineEntry entry, const QuarantineBound& bound = {});
  void release(std::int64_t id);  // a record of the quarantine is taken up again: its effects are in this epoch
  void set_state(StateChanges changes);  // once, at the epoch's end

  bool empty() const { return streams_.empty() && positions_.empty() && quarantine_.empty() && released_.empty() && state_.empty(); }
  std::uint64_t records() const { return records_; }
  std::size_t size_bytes() const { return size_bytes_; }

  const std::vector<StreamRecords>& streams() const { return streams_; }
  const std::vector<PositionChange>& positions() const { return positions_; }
  const std::deque<QuarantineEntry>& quarantined() const { return quarantine_; }
  std::uint64_t quarantine_dropped() const { return quarantine_dropped_; }  // by the bound
  const std::vector<std::int64_t>& released() const { return released_; }
  const StateChanges& state() const { return state_; }

 private:
  PositionChange& position(std::string_view source, std::string_view key);

  std::vector<StreamRecords> streams_;
  std::vector<std::size_t> open_;  // by stream: index + 1 of the pack that is being filled
  std::vector<PositionChange> positions_;
  std::unordered_map<std::string, std::size_t> position_index_;  // source, NUL, key -> index into positions_
  std::deque<QuarantineEntry> quarantine_;
  std::uint64_t quarantine_bytes_ = 0, quarantine_dropped_ = 0;
  std::vector<std::int64_t> released_;
  StateChanges state_;
  std::uint64_t records_ = 0;
  std::size_t size_bytes_ = 0;
};

}  // namespace rivulet::store
