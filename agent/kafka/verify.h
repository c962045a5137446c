// verify(): reads a topic as a read_committed consumer and says whether every record is there once and in order.
//
// Each record's `rv` header names stream and sequence number. A stream's records are spread over the partitions by key, so
// completeness is checked over all of them and order within each. Where retention has already deleted records, a stream is
// checked from the first sequence number that is retained for certain. Where a partition lost records and has none of a stream (any more, or it never had),
// what of the stream is not there may have been among them: undecided. A restored agent
// (forward/restore.h) has a new incarnation, and its streams go on where those of the one before ended: what lies between is missing, what both
// have is there twice.
// While the topic is written: read is up to the last stable offsets of the start of the call, and the highest numbers seen there say how far each
// stream has to be complete. What is not there may be on its way behind a transaction that was open in another partition then: whatever is below
// a committed record was in its log before. So what the logs have by now is read too, as soon as those transactions end. What may lie behind one
// that does not end in time is undecided, not missing. (At least once has no transactions: a number on its way to a slow partition is missing until it is there.)
// Thread: the caller's; blocks while that is read, and at most timeout_ms for open transactions to end.
// Bounds: 64 MiB of bitmaps (see sequence_set.h) and 100,000 streams; beyond that: ErrorCode::full.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/ids.h"
#include "agent/base/result.h"
#include "agent/kafka/connection.h"
#include "agent/kafka/sequence_set.h"

namespace rivulet::kafka {

struct StreamReport {
  std::string agent;
  StreamId stream = 0;
  Uuid incarnation;
  Sequence first = 0, last = 0;               // seen
  std::uint64_t records = 0;                  // gap records not counted
  std::uint64_t missing = 0;
  std::vector<SequenceRange> missing_ranges;  // the first few
  std::uint64_t not_retained = 0;             // not there, above `first`, but below what is retained for certain
  std::uint64_t undecided = 0;                // not there: behind an open transaction, deleted with all that a partition had of the stream, or missing
  std::uint64_t duplicates = 0;
  std::uint64_t out_of_order = 0;             // a record after a higher sequence number in its partition
  std::uint64_t gap_records = 0;              // gaps on purpose
  std::uint64_t gap_sequences = 0;            // sequence numbers they stand for
};

struct OpenTransaction {
  std::int32_t partition = 0;
  std::int64_t from = 0, until = 0;  // offsets that it keeps from being read; `until` is not included
};

struct VerifyReport {
  std::string topic;
  std::int32_t partitions = 0;
  std::uint64_t records = 0;          // with a header, without the gap records
  std::uint64_t without_header = 0;   // not rivulet's, or headers are off
  std::uint64_t retained_from = 0;    // partitions whose beginning was already deleted
  std::vector<StreamReport> streams;  // by agent, incarnation, stream
  std::vector<OpenTransaction> open;  // that did not end in time
  std::uint64_t missing = 0, not_retained = 0, undecided = 0, duplicates = 0, out_of_order = 0;
  bool ok() const { return missing == 0 && duplicates == 0 && out_of_order == 0; }
};

struct VerifyOptions {
  std::int64_t timeout_ms = 30'000;                        // without any progress
  std::function<void(std::uint64_t records)> on_progress;  // every 10,000 records
  std::function<void()> on_wait;                           // before open transactions are waited for
};

result<VerifyReport> verify(const Connection& connection, const std::string& topic, const VerifyOptions& options = {});

// The counting, apart from the reading; verify() feeds it, tests do too.
class Tally {
 public:
  // `trimmed[p]`: partition p begins after its offset 0.
  explicit Tally(std::vector<bool> trimmed);
  ~Tally();
  result<void> add(std::int32_t partition, std::string_view rv, std::optional<std::string_view> rv_gap);
  void add_without_header() { ++without_header_; }
  // How far each stream has to be complete is known: up to what was added so far. What is added later fills in. `trimmed`: as it is
  // now, with the partitions that came meanwhile.
  void settle(std::vector<bool> trimmed);
  // `open`: where not everything could be added.
  VerifyReport report(std::vector<OpenTransaction> open = {}) const;

 private:
  struct Stream;
  Sequence own_from(const Stream& stream, std::uint64_t& twice) const;
  void count_lacking(const Stream& stream, const std::vector<bool>& open, StreamReport& counts) const;
  std::vector<bool> trimmed_;
  bool settled_ = false;
  std::map<std::string, Stream, std::less<>> streams_;  // by the header up to the sequence number
  Stream* last_used_ = nullptr;
  std::string last_prefix_;
  std::size_t chunks_ = 0;
  std::uint64_t without_header_ = 0;
};

}  // namespace rivulet::kafka
