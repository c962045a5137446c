// Transaction: which records are in the transaction under way, by their index in it.
//
// Nothing of a record is kept but its place: librdkafka has the only copy. Pure. Thread: the owner's.
// Bound: one segment for each slice that was read.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "agent/forward/prepared.h"
#include "agent/kafka/producer.h"

namespace rivulet::forward {

class Transaction {
 public:
  void clear() { *this = {}; }
  std::uint32_t add(StreamId stream, Sequence sequence);  // answers the record's index
  std::uint32_t add_gap(StreamId stream, Sequence first, Sequence last);
  std::uint32_t records() const { return records_; }

  Rows row(std::uint32_t index) const;  // check: index < records()
  std::vector<Rows> rows(const std::vector<kafka::IndexRange>& indexes) const;
  std::vector<Rows> streams() const;    // first and last of each stream, by stream

  // PREPARED from the delivery reports; `progress_index` is the progress record's. Nothing when the reports do not account
  // for every record.
  std::optional<Prepared> prepared(const kafka::DeliveryReport& report, std::uint32_t progress_index) const;
  bool complete(const kafka::DeliveryReport& report, std::uint32_t extra_records) const;

 private:
  struct Segment {
    std::uint32_t index;  // of its first record
    Rows rows;
    bool gap;             // one record stands for all of `rows`
  };
  std::vector<Segment> segments_;
  std::uint32_t records_ = 0;
};

}  // namespace rivulet::forward
