// What the forwarder keeps in the store: PREPARED, the transaction whose end is not yet known for certain, and the
// witness, our last acknowledged progress record. Both are facts of the store (store/store.h), one blob each.
//
// decode_* refuse bytes that are damaged or of a newer version. Bound: PREPARED holds about 2-4 bytes for each run of
// records that went to one partition. Thread: any (plain data).
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/ids.h"
#include "agent/base/result.h"
#include "agent/kafka/producer.h"

namespace rivulet::forward {

inline constexpr const char* prepared_fact = "prepared";
inline constexpr const char* witness_fact = "witness";
// The last witness in a topic that was the progress topic before; it counts again when that topic is. Bound: one for each topic that ever was it.
inline std::string former_witness_fact(const std::string& topic) { return "witness:" + topic; }
inline constexpr const char* clean_fact = "clean";  // the last process ended with nothing under way
inline constexpr const char* changelogs_fact = "changelogs";  // topic -> partition: chosen once, like the progress partition
inline constexpr const char* adopt_fact = "adopt";  // an operator has decided: see adopt.h

struct Rows {
  StreamId stream = 0;
  Sequence first = 0, last = 0;  // both included
  bool operator==(const Rows&) const = default;
};

struct PreparedPartition {
  kafka::TopicPartition where;
  std::int64_t first_offset = 0, last_offset = 0;
  StreamId last_stream = 0;  // of the record at last_offset
  Sequence last_sequence = 0;
  std::vector<Rows> rows;    // everything that went there
  bool operator==(const PreparedPartition&) const = default;
};

struct Prepared {
  std::uint64_t transaction = 0;  // counts from 1 within an incarnation
  std::string cluster_id;
  kafka::TopicPartition progress;
  std::int64_t progress_offset = 0;  // X
  std::vector<Rows> streams;         // one entry a stream
  std::vector<PreparedPartition> partitions;
  bool operator==(const Prepared&) const = default;
};

struct Witness {
  std::string cluster_id;
  kafka::TopicPartition progress;  // chosen once
  std::int64_t offset = -1;        // X; everything at or below it in that partition is accounted for
  std::uint64_t transaction = 0;   // 0: none of ours yet
  bool operator==(const Witness&) const = default;
};

using ChangelogPartitions = std::map<std::string, std::int32_t>;

std::string encode(const ChangelogPartitions& partitions);
std::string encode(const Prepared& prepared);
std::string encode(const Witness& witness);
result<ChangelogPartitions> decode_changelogs(std::string_view bytes);
result<Prepared> decode_prepared(std::string_view bytes);
result<Witness> decode_witness(std::string_view bytes);

}  // namespace rivulet::forward
