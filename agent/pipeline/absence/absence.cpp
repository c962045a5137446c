#include "agent/pipeline/absence/absence.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

#include "agent/base/bytes.h"
#include "agent/pipeline/stateful/stream_time.h"
#include "agent/pipeline/table/each_row.h"
#include "agent/pipeline/table/ordered.h"

namespace rivulet::pipeline {
namespace {

constexpr std::uint32_t kKeysPart = 1, kLookPart = 2;

class AbsenceStep final : public Operator {
 public:
  explicit AbsenceStep(const OperatorParts& parts)
      : after_ms_(std::get<config::Absence>(parts.step.what).after_ms), time_(parts.time, parts.clock),
        definition_(fmt::format("absence after {}{}", after_ms_, time_.by_key() ? " by key" : "")) {}

  std::string definition() const override { return definition_; }
  void attach(StepState& state) override {
    state_ = &state;
    time_.attach(state.table(kTimePart));
    keys_ = &state.table(kKeysPart);
    look_ = &state.table(kLookPart);
    front_ = {};
    earliest_ms_ = 0;  // unknown
  }

  result<void> process(std::size_t, const Row& row, Emit& out) override {
    if (!row.key) {
      out.dropped(1);
      return {};
    }
    const std::string key(*row.key);
    const Timestamp now = time_.advance(key, row.timestamp_ms).to;
    advanced(key, now, out);
    const auto known = find(key);
    if (!row.bytes) {
      if (known) keys_->erase(key);
      return {};
    }
    if (known && known->absent) {
      if (plus(row.timestamp_ms, after_ms_) <= now) return {};  // as old as its silence: no sign of life
      emit(key, false, known->last_ms, row.timestamp_ms, out);
      put(key, {row.timestamp_ms, false});
      watch(key, row.timestamp_ms);
    } else if (!known || known->last_ms > now) {  // the second: after `state reset-time`
      put(key, {row.timestamp_ms, false});
      watch(key, row.timestamp_ms);
      advanced(key, now, out);  // a first record may be old enough for that
    } else if (row.timestamp_ms > known->last_ms) {
      put(key, {row.timestamp_ms, false});
    }
    return {};
  }

  void save() override { time_.save(); }
  std::optional<Timestamp> next_wall_ms() const override {
    return time_.next_wall_ms(earliest_ms_ == kNever ? std::nullopt : std::optional(earliest_ms_));
  }
  void advance_wall(Timestamp now_ms, Emit& out) override {
    time_.advance_wall(now_ms, [&](const std::string& key, StreamTime::Move move) { advanced(key, move.to, out); });
  }

 private:
  static constexpr Timestamp kNever = std::numeric_limits<Timestamp>::max();
  struct Known {
    Timestamp last_ms;
    bool absent;
  };

  void damaged() { state_->fail({ErrorCode::corrupt, "a row of the state of an absence step does not read"}); }

  std::optional<Known> find(const std::string& key) {
    const auto bytes = keys_->get(key);
    if (!bytes) return std::nullopt;
    Reader reader(*bytes);
    const bool absent = reader.u8() != 0;
    const Known known{reader.zigzag(), absent};
    if (reader.ok()) return known;
    damaged();
    return std::nullopt;
  }

  void put(const std::string& key, const Known& known) {
    std::string bytes;
    put_u8(bytes, known.absent ? 1 : 0);
    put_zigzag(bytes, known.last_ms);
    keys_->put(key, bytes);
  }

  // Where to look at the key again: (time, key), with a time for each key (key, time).
  std::string name(const std::string& key, Timestamp at_ms) const {
    std::string name;
    if (time_.by_key()) put_ordered_key(name, key);
    put_ordered_time(name, at_ms);
    if (!time_.by_key()) name += key;
    return name;
  }

  void watch(const std::string& key, Timestamp last_ms) {
    const Timestamp at_ms = plus(last_ms, after_ms_);
    look_at(name(key, at_ms));
    earliest_ms_ = std::min(earliest_ms_, at_ms);
  }

  void look_at(const std::string& name) {
    look_->put(name, {});
    if (!time_.by_key()) front_.put(name);
  }

  // Keys in the order in which they fell silent, a slice of the rows that are due at a time.
  void advanced(const std::string& clock_key, Timestamp now, Emit& out) {
    if (!time_.by_key() && now < earliest_ms_) return;
    std::string prefix;
    if (time_.by_key()) put_ordered_key(prefix, clock_key);
    for (bool more = true; more;) {
      more = false;
      earliest_ms_ = kNever;
      std::set<std::string> due;
      look_->scan(time_.by_key() ? prefix : front_.from(), range_of_prefix(prefix).to, [&](std::string_view name, std::string_view) {
        OrderedReader reader(name);
        if (time_.by_key()) reader.key();
        const Timestamp at_ms = reader.time();
        more = at_ms <= now && due.size() == kSliceRows;
        if (at_ms <= now && !more) return due.emplace(name).second;
        earliest_ms_ = at_ms;
        return false;
      });
      if (due.empty()) return;
      const std::string last = *due.rbegin();
      if (!time_.by_key()) front_.passed(last);
      while (!due.empty()) {
        const std::string row = due.extract(due.begin()).value();
        look_->erase(row);
        auto later = look(row, out);
        if (!later) continue;
        if (later->name < last) {  // in its turn
          due.insert(std::move(later->name));
          continue;
        }
        look_at(later->name);
        earliest_ms_ = std::min(earliest_ms_, later->at_ms);
        more = more || later->at_ms <= now;
      }
    }
  }

  struct Later {
    std::string name;
    Timestamp at_ms;
  };
  // A row that is due: the key is silent, or has newer records and is looked at again later.
  std::optional<Later> look(const std::string& row, Emit& out) {
    OrderedReader reader(row);
    std::string key;
    if (time_.by_key()) key = reader.key();
    const Timestamp at_ms = reader.time();
    if (!time_.by_key()) key = reader.rest();
    if (!reader.ok()) {
      damaged();
      return std::nullopt;
    }
    const auto known = find(key);
    if (!known || known->absent) return std::nullopt;
    const Timestamp silent_ms = plus(known->last_ms, after_ms_);
    if (silent_ms > at_ms) return Later{name(key, silent_ms), silent_ms};
    put(key, {known->last_ms, true});
    emit(key, true, known->last_ms, silent_ms, out);
    return std::nullopt;
  }

  void emit(const std::string& key, bool absent, Timestamp last_ms, Timestamp timestamp_ms, Emit& out) {
    const std::string value = fmt::format("{{\"absent\":{},\"last\":{}}}", absent, last_ms);
    Emitted result;
    result.key = key;
    result.value = value;
    result.timestamp_ms = timestamp_ms;
    out.emit(result);
  }

  const std::int64_t after_ms_;
  StreamTime time_;
  const std::string definition_;
  StepState* state_ = nullptr;
  StateTable* keys_ = nullptr;
  StateTable* look_ = nullptr;
  Front front_;                // of look_, where all keys have one stream time
  Timestamp earliest_ms_ = 0;  // nothing is due before
};

}  // namespace

std::unique_ptr<Operator> make_absence(const OperatorParts& parts) { return std::make_unique<AbsenceStep>(parts); }

}  // namespace rivulet::pipeline
