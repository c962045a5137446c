// Outbox: records that are committed here and that Kafka has not yet acknowledged, as packs (pack.h), and the streams' numbers.
//
// acknowledge() removes what Kafka has for good; nothing else removes a record without a gap in its place. Every method works in
// the caller's transaction; the counts in memory are right only after it committed, so a caller that rolls back calls load().
// Thread: store. Bound: outbox_bytes() is what the limit of Store is held against.
#pragma once
#include <cstdint>
#include <map>
#include <vector>

#include "agent/base/result.h"
#include "store/epoch.h"
#include "store/pack.h"
#include "store/sqlite.h"
#include "store/store.h"

namespace rivulet::store {

class Outbox {
 public:
  Outbox(Connection& connection, Compression compression) : connection_(connection), compression_(compression) {}
  result<void> prepare();  // once, after the schema is there
  result<void> load();     // counts from the tables

  result<StreamInfo> stream(const std::string& name, const std::string& topic);
  std::vector<StreamInfo> streams() const;
  result<void> append(const StreamRecords& records, Timestamp now_ms);
  result<std::vector<Pack>> read(StreamId stream, Sequence after, std::size_t max_bytes);
  result<void> acknowledge(StreamId stream, Sequence last);
  // Records [first, last] leave a gap behind; their contents, if wanted, are returned.
  result<std::vector<PackRecord>> make_gap(StreamId stream, Sequence first, Sequence last, const std::string& reason, Timestamp now_ms);
  // Replaces the oldest droppable pack by a gap. Records dropped; 0: nothing may be dropped.
  result<std::uint64_t> drop_oldest(const std::map<StreamId, Sequence>& keep_up_to);

  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t records() const;

 private:
  result<void> put(StreamId stream, Sequence first, Sequence last, bool gap, Timestamp at_ms, std::string_view bytes);
  result<void> put_data(StreamId stream, Sequence first, const std::vector<PackRecord>& records, std::size_t from, std::size_t to, Timestamp at_ms);
  result<void> update_stream(const StreamInfo& info);

  Connection& connection_;
  Compression compression_;
  PackCodec codec_;
  std::map<StreamId, StreamInfo> streams_;
  std::uint64_t bytes_ = 0;
  Statement insert_, remove_, read_, update_, size_before_, delete_before_, head_;
};

}  // namespace rivulet::store
