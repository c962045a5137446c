// Due: what waits for a stream time, in the order in which it comes due; rows of a state table.
//
// A row is (time, id), with a time for each key (key, time, id): put() and whoever looks at it later agree on what the id says. Rows are looked at
// once the stream time has reached theirs, a slice at a time; one that is to be looked at again later is put again, so that what is touched by
// every record costs no second write each. Thread: io. Bounds: a slice in memory.
#pragma once
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "agent/base/ids.h"
#include "agent/pipeline/state/state.h"
#include "agent/pipeline/table/each_row.h"

namespace rivulet::pipeline {

class Due {
 public:
  explicit Due(bool by_key) : by_key_(by_key) {}
  void attach(StepState& state, std::uint32_t part);

  // `key`: whose stream time it waits for; where all have one it is not kept.
  void put(std::string_view key, Timestamp at_ms, std::string_view id);
  // Answers when to look again, or none: it is done. With one stream time for all the key is empty.
  using Look = std::function<std::optional<Timestamp>(const std::string& key, const std::string& id, Timestamp at_ms)>;
  void advanced(std::string_view key, Timestamp now, const Look& look);
  // Nothing is due before; none: nothing waits. With one stream time for all.
  std::optional<Timestamp> earliest() const { return earliest_ms_ == kNever ? std::nullopt : std::optional(earliest_ms_); }

 private:
  static constexpr Timestamp kNever = std::numeric_limits<Timestamp>::max();
  std::string name(std::string_view key, Timestamp at_ms, std::string_view id) const;
  bool slice(const std::string& prefix, Timestamp now, std::set<std::string>& due);
  std::optional<Timestamp> look_at(const std::string& row, const Look& look, std::string& later);

  const bool by_key_;
  StepState* state_ = nullptr;
  StateTable* table_ = nullptr;
  Front front_;                // where all keys have one stream time
  Timestamp earliest_ms_ = 0;  // 0: unknown
};

}  // namespace rivulet::pipeline
