#include "agent/pipeline/stateful/due.h"

#include <algorithm>

#include "agent/pipeline/stateful/operator.h"
#include "agent/pipeline/table/ordered.h"

namespace rivulet::pipeline {

void Due::attach(StepState& state, std::uint32_t part) {
  state_ = &state;
  table_ = &state.table(part);
  front_ = {};
  earliest_ms_ = 0;
}

std::string Due::name(std::string_view key, Timestamp at_ms, std::string_view id) const {
  std::string name;
  if (by_key_) put_ordered_key(name, key);
  put_ordered_time(name, at_ms);
  name += id;
  return name;
}

void Due::put(std::string_view key, Timestamp at_ms, std::string_view id) {
  const std::string row = name(key, at_ms, id);
  table_->put(row, {});
  if (!by_key_) front_.put(row);
  earliest_ms_ = std::min(earliest_ms_, at_ms);
}

// What is due, up to a slice of it. True: there may be more.
bool Due::slice(const std::string& prefix, Timestamp now, std::set<std::string>& due) {
  bool more = false;
  earliest_ms_ = kNever;
  table_->scan(by_key_ ? prefix : front_.from(), range_of_prefix(prefix).to, [&](std::string_view row, std::string_view) {
    OrderedReader reader(row);
    if (by_key_) reader.key();
    const Timestamp at_ms = reader.time();
    more = at_ms <= now && due.size() == kSliceRows;
    if (at_ms <= now && !more) return due.emplace(row).second;
    earliest_ms_ = at_ms;
    return false;
  });
  return more;
}

std::optional<Timestamp> Due::look_at(const std::string& row, const Look& look, std::string& later) {
  OrderedReader reader(row);
  std::string key;
  if (by_key_) key = reader.key();
  const Timestamp at_ms = reader.time();
  const std::string id(reader.rest());
  if (!reader.ok()) {
    state_->fail({ErrorCode::corrupt, "a row of what waits for a time does not read"});
    return std::nullopt;
  }
  const auto again = look(key, id, at_ms);
  if (again) later = name(key, *again, id);
  return again;
}

void Due::advanced(std::string_view key, Timestamp now, const Look& look) {
  if (!by_key_ && now < earliest_ms_) return;
  std::string prefix;
  if (by_key_) put_ordered_key(prefix, key);
  for (bool more = true; more;) {
    std::set<std::string> due;
    more = slice(prefix, now, due);
    if (due.empty()) return;
    const std::string last = *due.rbegin();
    if (!by_key_) front_.passed(last);
    while (!due.empty()) {
      const std::string row = due.extract(due.begin()).value();
      table_->erase(row);
      std::string later;
      const auto again = look_at(row, look, later);
      if (!again) continue;
      if (later < last) {  // in its turn
        due.insert(std::move(later));
        continue;
      }
      table_->put(later, {});
      if (!by_key_) front_.put(later);
      earliest_ms_ = std::min(earliest_ms_, *again);
      more = more || *again <= now;
    }
  }
}

}  // namespace rivulet::pipeline
