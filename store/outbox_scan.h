// OutboxScan: the records that wait for Kafka, decoded one after the other, as of a StateSnapshot's commit (`rivulet query`).
//
// By stream, in the order of their numbers; what Kafka already has is left out, a gap is one record. One pack is in memory at a time.
// Thread: the StateSnapshot's. Lifetime: within it. Errors: corrupt: a pack does not read.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/outbox.h"
#include "store/state_snapshot.h"

namespace rivulet::store {

class OutboxScan {
 public:
  // `stream`: only those of this name.
  static result<std::unique_ptr<OutboxScan>> begin(StateSnapshot& snapshot, const std::optional<std::string>& stream);

  result<bool> next();  // false: there are no more
  const std::string& stream() const { return streams_[at_].name; }
  const std::string& topic() const { return streams_[at_].topic; }
  Sequence sequence() const { return sequence_; }
  const PackRecord& record() const { return record_; }
  const std::optional<std::string>& gap() const { return gap_; }  // why records [sequence(), ...] were dropped

 private:
  OutboxScan() = default;
  result<void> open_pack();

  std::vector<StreamInfo> streams_;
  std::size_t at_ = 0, place_ = 0;
  Statement rows_;
  bool started_ = false;  // rows_ is at streams_[at_]
  PackCodec codec_;
  PackRecords pack_;
  Sequence sequence_ = 0;
  PackRecord record_;
  std::optional<std::string> gap_;
};

}  // namespace rivulet::store
