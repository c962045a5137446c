// Stream-stream joins (SEMANTICS.md 14, 15, D3): a record matches or is padded, never both.
//
// Tables: a record is kept under (bucket of its time, key, time, arrival), so that a bucket goes as a whole once nothing can need it; a pad
// that is not due yet under (time, key, arrival). With a stream time for each key both begin with the key instead.
// Bounds: what lies within before + after + grace of the stream time is on disk; a slice of it (each_row.h) in memory beside the tables' own cache.
#include <algorithm>
#include <limits>

#include "agent/base/bytes.h"
#include "agent/pipeline/join/joining.h"
#include "agent/pipeline/stateful/stream_time.h"
#include "agent/pipeline/table/each_row.h"
#include "agent/pipeline/table/ordered.h"

namespace rivulet::pipeline {
namespace {

constexpr Timestamp kNone = std::numeric_limits<Timestamp>::max();
constexpr std::uint32_t kRecordsPart = 1, kPadsPart = 3, kMetaPart = 5;  // 1, 3: left, 2, 4: right

class StreamStream final : public Joining {
 public:
  explicit StreamStream(const OperatorParts& parts)
      : Joining(parts, describe(parts)), time_(parts.time, parts.clock), before_ms_(config_.within->before_ms), after_ms_(config_.within->after_ms) {
    const std::int64_t grace_ms = config_.within->grace_ms;
    sides_[0].open_ms = plus(std::max<std::int64_t>(after_ms_, 0), grace_ms);
    sides_[1].open_ms = plus(std::max<std::int64_t>(before_ms_, 0), grace_ms);
    sides_[0].pads = pads_left();
    sides_[1].pads = pads_right();
    // A lookup looks into at most four buckets, and about as many are alive.
    bucket_ms_ = std::max({sides_[0].open_ms, sides_[1].open_ms, before_ms_ + after_ms_}) / 2 + 1;
  }

  void attach(StepState& state) override {
    keep_state(state);
    time_.attach(state.table(kTimePart));
    meta_ = &state.table(kMetaPart);
    for (std::uint32_t i = 0; i < 2; ++i) {
      sides_[i].records = &state.table(kRecordsPart + i);
      sides_[i].waiting = &state.table(kPadsPart + i);
      sides_[i].front = {};
      sides_[i].earliest_pad_ms = first_pad(sides_[i]);
      sides_[i].expired_bucket = 0;
    }
    if (const auto bytes = meta_->get("n")) arrival_ = Reader(*bytes).varint();
    saved_arrival_ = arrival_;
  }

  result<void> process(std::size_t input, const Row& row, Emit& out) override {
    Timestamp now = time_.now();
    if (!time_.by_key() || row.key) {
      now = time_.advance(row.key.value_or(std::string_view()), row.timestamp_ms).to;
      advanced(row.key.value_or(std::string_view()), now, out);
    }
    const auto value = row.value(buffer_);
    if (!value) {
      out.dropped(1);
      return {};
    }
    const Side own{*value, is_text(row), &row};
    if (!row.key) {
      if (sides_[input].pads) pad(input, std::nullopt, own, row.timestamp_ms, out);
      else out.dropped(1);
      return {};
    }
    const bool matched = match(input, *row.key, own, row.timestamp_ms, now, out);
    if (is_open(sides_[input], row.timestamp_ms, now)) keep(input, *row.key, own, row.timestamp_ms, matched);
    else if (!matched) out.late(row, 1);
    return {};
  }

  void save() override {
    time_.save();
    if (arrival_ == saved_arrival_) return;
    std::string bytes;
    put_varint(bytes, arrival_);
    meta_->put("n", bytes);
    saved_arrival_ = arrival_;
  }

  std::optional<Timestamp> next_idle_ms() const override {
    std::optional<Timestamp> wants;
    for (const Half& side : sides_)
      if (side.earliest_pad_ms != kNone) wants = std::min(wants.value_or(kNone), plus(plus(side.earliest_pad_ms, side.open_ms), 1));
    return time_.next_idle_ms(wants);
  }

  void advance_idle(Timestamp now_ms, Emit& out) override {
    time_.advance_idle(now_ms, [&](const std::string& key, StreamTime::Move move) { advanced(key, move.to, out); });
  }

 private:
  struct Half {
    StateTable* records = nullptr;
    StateTable* waiting = nullptr;  // for their pads
    std::int64_t open_ms = 0;       // how long after its time a record is open: its span and grace
    bool pads = false;
    Timestamp earliest_pad_ms = kNone;  // no pad is earlier
    Front front;                        // of `waiting`, where all keys have one stream time
    std::int64_t expired_bucket = 0;    // buckets before this one are gone
  };
  struct Waiting {  // a pad that is due
    Timestamp timestamp_ms;
    std::string key;
    std::uint64_t arrival;
    std::string name;  // of its row
  };

  static std::string describe(const OperatorParts& parts) {
    const auto& join = std::get<config::Join>(parts.step.what);
    const char* kinds[] = {"inner", "left", "outer"};
    return std::string("join streams ") + kinds[static_cast<int>(join.kind)] + " before " + std::to_string(join.within->before_ms) + " after " + std::to_string(join.within->after_ms) + " grace " +
           std::to_string(join.within->grace_ms) + (parts.time.scope == config::Time::Scope::key ? " by key" : "");
  }

  bool is_open(const Half& side, Timestamp timestamp_ms, Timestamp now) const { return plus(timestamp_ms, side.open_ms) >= now; }

  // "bucket, key" or "key": what a key's records of about one time begin with.
  std::string records_of(std::int64_t bucket, std::string_view key) const {
    std::string name;
    if (!time_.by_key()) put_ordered(name, static_cast<std::uint64_t>(bucket));
    put_ordered_key(name, key);
    return name;
  }
  std::string record_name(std::string_view key, Timestamp timestamp_ms, std::uint64_t arrival) const {
    std::string name = records_of(timestamp_ms / bucket_ms_, key);
    put_ordered_time(name, timestamp_ms);
    put_ordered(name, arrival);
    return name;
  }
  std::string pad_name(std::string_view key, Timestamp timestamp_ms, std::uint64_t arrival) const {
    std::string name;
    if (time_.by_key()) put_ordered_key(name, key);
    put_ordered_time(name, timestamp_ms);
    if (!time_.by_key()) put_ordered_key(name, key);
    put_ordered(name, arrival);
    return name;
  }

  void keep(std::size_t input, std::string_view key, const Side& own, Timestamp timestamp_ms, bool matched) {
    Half& side = sides_[input];
    ++arrival_;
    std::string bytes;
    append_row(bytes, {own.value, timestamp_ms, own.text, false});
    side.records->put(record_name(key, timestamp_ms, arrival_), bytes);
    if (matched || !side.pads) return;
    const std::string name = pad_name(key, timestamp_ms, arrival_);
    side.waiting->put(name, {});
    side.front.put(name);
    side.earliest_pad_ms = std::min(side.earliest_pad_ms, timestamp_ms);
  }

  // The open records of the other side within reach, in order of their time and arrival.
  bool match(std::size_t input, std::string_view key, const Side& own, Timestamp timestamp_ms, Timestamp now, Emit& out) {
    Half& other = sides_[1 - input];
    const Timestamp from = std::max({minus(timestamp_ms, input == 0 ? before_ms_ : after_ms_), minus(now, other.open_ms), Timestamp{0}});
    const Timestamp to = std::min(plus(timestamp_ms, input == 0 ? after_ms_ : before_ms_), now);
    bool matched = false;
    if (from > to) return false;
    const std::int64_t last = time_.by_key() ? 0 : to / bucket_ms_;
    for (std::int64_t bucket = time_.by_key() ? 0 : from / bucket_ms_; bucket <= last; ++bucket) {
      const std::string prefix = records_of(bucket, key);
      std::string begin = prefix, end = prefix;
      put_ordered_time(begin, from);
      if (to == kNone) end = range_of_prefix(prefix).to;
      else put_ordered_time(end, to + 1);
      each_row(*other.records, std::move(begin), end, [&](std::string_view name, std::string_view bytes) {
        OrderedReader rest(name.substr(prefix.size()));
        const Timestamp other_ms = rest.time();
        const std::uint64_t arrival = rest.number();
        const auto found = read_row(bytes);
        if (!rest.whole() || !found) return damaged();
        matched = true;
        if (other.pads) other.waiting->erase(pad_name(key, other_ms, arrival));
        const Side found_side = side_of(*found);
        emit(key, input == 0 ? &own : &found_side, input == 0 ? &found_side : &own, std::max(timestamp_ms, other_ms), std::nullopt, out);
      });
    }
    return matched;
  }

  void pad(std::size_t input, std::optional<std::string_view> key, const Side& own, Timestamp timestamp_ms, Emit& out) {
    emit(key, input == 0 ? &own : nullptr, input == 0 ? nullptr : &own, timestamp_ms, std::nullopt, out);
  }

  // Stream time (of the key, where each has its own) is `now`: due pads go out, and what nothing can need goes.
  void advanced(std::string_view key, Timestamp now, Emit& out) {
    std::string prefix;
    if (time_.by_key()) put_ordered_key(prefix, key);
    const auto due = [&](const Half& side) { return side.pads && side.earliest_pad_ms < minus(now, side.open_ms); };
    if (due(sides_[0]) || due(sides_[1])) emit_due(prefix, now, out);
    for (Half& side : sides_) expire(side, prefix, minus(now, side.open_ms));
  }

  // A scan's end at the first time that is not due.
  static std::string until(std::string end, Timestamp timestamp_ms) {
    put_ordered_time(end, timestamp_ms);
    return end;
  }

  // The first of this side's pads that are due.
  std::vector<Waiting> due_pads(const Half& side, const std::string& prefix, Timestamp before) {
    std::vector<Waiting> found;
    if (!side.pads || before <= 0) return found;
    side.waiting->scan(time_.by_key() ? prefix : side.front.from(), until(prefix, before), [&](std::string_view name, std::string_view) {
      OrderedReader reader(name);
      Waiting waiting;
      waiting.name = name;
      if (time_.by_key()) waiting.key = reader.key();
      waiting.timestamp_ms = reader.time();
      if (!time_.by_key()) waiting.key = reader.key();
      waiting.arrival = reader.number();
      if (!reader.whole()) return damaged(), false;
      found.push_back(std::move(waiting));
      return found.size() < kSliceRows;
    });
    return found;
  }

  void emit_due(const std::string& prefix, Timestamp now, Emit& out) {
    std::vector<Waiting> due[2];
    std::size_t at[2] = {0, 0};
    bool more[2] = {true, true};
    for (;;) {
      for (std::size_t i = 0; i < 2; ++i) {
        if (at[i] < due[i].size() || !more[i]) continue;
        due[i] = due_pads(sides_[i], prefix, minus(now, sides_[i].open_ms));
        at[i] = 0;
        more[i] = due[i].size() == kSliceRows;
      }
      const bool has_left = at[0] < due[0].size(), has_right = at[1] < due[1].size();
      if (!has_left && !has_right) break;
      // By time; at one time right before left, so that keys and arrivals are only compared within a side.
      const std::size_t input = has_right && (!has_left || due[1][at[1]].timestamp_ms <= due[0][at[0]].timestamp_ms) ? 1 : 0;
      const Waiting& waiting = due[input][at[input]++];
      emit_pad(input, waiting, out);
    }
    for (Half& side : sides_)
      if (side.pads) side.earliest_pad_ms = time_.by_key() ? 0 : first_pad(side);
  }

  void emit_pad(std::size_t input, const Waiting& waiting, Emit& out) {
    Half& side = sides_[input];
    side.waiting->erase(waiting.name);
    const auto bytes = side.records->get(record_name(waiting.key, waiting.timestamp_ms, waiting.arrival));
    if (!bytes) return;  // only after a read that failed, and then nothing is committed
    const std::string copy(*bytes);
    if (const auto row = read_row(copy)) pad(input, waiting.key, side_of(*row), waiting.timestamp_ms, out);
    else damaged();
  }

  Timestamp first_pad(Half& side) const {
    if (!side.pads) return kNone;
    if (time_.by_key()) return 0;  // unknown: looked for with each record of the key
    Timestamp first = kNone;
    std::string found;
    side.waiting->scan(side.front.from(), {}, [&](std::string_view name, std::string_view) {
      found = name;
      first = OrderedReader(name).time();
      return false;
    });
    if (!found.empty()) side.front.passed(found);
    return first;
  }

  // Records before this time are closed.
  void expire(Half& side, const std::string& prefix, Timestamp before) const {
    std::string begin = prefix, end;
    if (time_.by_key()) {
      end = until(prefix, before);
    } else {
      const std::int64_t bucket = std::max<Timestamp>(before, 0) / bucket_ms_;
      if (bucket == side.expired_bucket) return;
      if (side.expired_bucket != 0) put_ordered(begin, static_cast<std::uint64_t>(side.expired_bucket));
      side.expired_bucket = bucket;
      put_ordered(end, static_cast<std::uint64_t>(bucket));
    }
    erase_rows(*side.records, begin, end);
  }

  StreamTime time_;
  const std::int64_t before_ms_, after_ms_;
  std::int64_t bucket_ms_ = 1;
  Half sides_[2];  // left, right
  StateTable* meta_ = nullptr;
  std::uint64_t arrival_ = 0, saved_arrival_ = 0;
  std::string buffer_;
};

}  // namespace

std::unique_ptr<Operator> make_stream_stream(const OperatorParts& parts) { return std::make_unique<StreamStream>(parts); }

}  // namespace rivulet::pipeline
