// Outbox: records that are committed here and that Kafka has not yet acknowledged, as packs (pack.h), and the streams' numbers.
//
// acknowledge() moves the mark up to which Kafka has everything for good; trim() removes the packs below it, a bounded number
// at a time; nothing else removes a record without a gap in its place. A pack that the mark cuts stays, and is cut when read.
// A pack's row id is stream << 48 | its first sequence number: a stream's packs lie together and no second index is written.
// Every method works in the caller's transaction; what is held in memory is right only after it committed, so a caller that
// rolls back calls load() (which reads two rows a stream). Thread: store.
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "agent/base/result.h"
#include "store/epoch.h"
#include "store/pack.h"
#include "store/sqlite.h"
#include "store/store.h"

namespace rivulet::store {

inline constexpr StreamId kMaxStreams = 32'767;             // 15 bits of a row id
inline constexpr int kSequenceBits = 48;
inline constexpr Sequence kMaxSequence = (1ULL << kSequenceBits) - 1;  // at 100,000 records/s: 89 years

inline std::int64_t row_id(StreamId stream, Sequence first) {
  return static_cast<std::int64_t>(std::uint64_t{stream} << kSequenceBits | first);
}

// Of the sequence numbers [first, last] those above `acknowledged`.
inline std::uint64_t count_above(Sequence acknowledged, Sequence first, Sequence last) {
  return last <= acknowledged ? 0 : last - std::max(first, acknowledged + 1) + 1;
}

inline StreamId stream_of(std::int64_t id) { return static_cast<StreamId>(static_cast<std::uint64_t>(id) >> kSequenceBits); }
inline Sequence first_of(std::int64_t id) { return static_cast<std::uint64_t>(id) & kMaxSequence; }

class Outbox {
 public:
  using Taken = std::function<result<void>(const PackRecord&, bool whole)>;

  Outbox(Connection& connection, Compression compression) : connection_(connection), compression_(compression) {}
  result<void> prepare();  // once, after the schema is there
  result<void> load();     // what is in memory, from the tables
  void set_compression(Compression compression) { compression_ = compression; }  // of packs from now on

  result<StreamInfo> stream(const std::string& name, const std::string& topic);  // found or made; at most kMaxStreams (check)
  std::vector<StreamInfo> streams() const;
  void streams(std::vector<StreamInfo>& copy) const;  // the same into a copy of before: names are copied only of new ones
  const StreamInfo* find(StreamId stream) const;

  result<void> append(const StreamRecords& records, Timestamp now_ms);
  // Stops before a pack that cannot be decoded; when that is the first one the answer is empty and damaged() names it.
  result<std::vector<Pack>> read(StreamId stream, Sequence after, std::size_t max_bytes);
  std::optional<ForwardChange::Gap> damaged() const { return damaged_; }

  result<void> acknowledge(StreamId stream, Sequence last);
  result<std::uint64_t> trim(std::uint64_t max_packs);  // packs removed
  bool wants_trim() const { return !trim_due_.empty(); }

  // Records [first, last] that are not acknowledged become a gap; each one's content is handed to `taken`. Of a pack that
  // cannot be decoded all becomes a gap, and its bytes as they are stored are handed over as one record that is not `whole`.
  result<void> make_gap(const ForwardChange::Gap& gap, Timestamp now_ms, const Taken& taken);
  // Replaces the oldest droppable pack (never of a changelog) by a gap. Answers how many records that were; 0: nothing may be dropped.
  result<std::uint64_t> drop_oldest(const std::map<StreamId, Sequence>& keep_up_to);

  std::uint64_t bytes() const;
  std::uint64_t records() const;        // that wait: gaps are none
  std::uint64_t local_records() const;  // of them: for local outputs

 private:
  struct Row {
    Sequence first = 0, last = 0;
    bool gap = false;
    std::int64_t at_ms = 0;
    std::string bytes;
  };
  result<std::optional<Row>> row_at(StreamId stream, Sequence at);  // the row that holds `at`, or the next one
  result<void> put(StreamInfo& info, const Row& row);
  result<void> put_part(StreamInfo& info, const Row& whole, const std::vector<PackRecord>& records, Sequence first, Sequence last);
  result<void> remove(StreamInfo& info, const Row& row);
  result<void> update(const StreamInfo& info);

  Connection& connection_;
  Compression compression_;
  PackCodec codec_;
  std::map<StreamId, StreamInfo> streams_;
  std::set<StreamId> trim_due_;
  std::optional<ForwardChange::Gap> damaged_;
  Statement insert_, remove_, read_, update_, trimmable_, trim_, oldest_, raise_writer_, head_, gaps_;
};

}  // namespace rivulet::store
