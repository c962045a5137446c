// Stream-table joins (SEMANTICS.md 16-18, D4): a record meets the row that the table has, or had at the record's time.
//
// With grace a record waits in a table under (time, key, arrival) until the highest time of those that waited is grace later. A record keeps its
// window. Bound: what lies within grace is on disk.
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
constexpr std::uint32_t kBufferPart = 1, kMetaPart = 2;
constexpr std::uint8_t kText = 1, kWindow = 2, kSession = 4, kOtherKey = 8, kNullKey = 16;

class StreamTable final : public Joining {
 public:
  explicit StreamTable(const OperatorParts& parts)
      : Joining(parts, config_text(parts)), table_(table_of(parts, std::get<config::Join>(parts.step.what).right_table)), time_(parts.time, parts.clock) {
    if (config_.on) on_.emplace(parts.evaluator, *config_.on, parts.step.path, parts.problems);
  }

  void attach(StepState& state) override {
    keep_state(state);
    if (!config_.grace_ms) return;
    time_.attach(state.table(kTimePart));
    buffer_ = &state.table(kBufferPart);
    front_ = {};
    earliest_ms_ = 0;
    meta_ = &state.table(kMetaPart);
    if (const auto bytes = meta_->get("n")) arrival_ = Reader(*bytes).varint();
    saved_arrival_ = arrival_;
  }

  result<void> process(std::size_t input, const Row& row, Emit& out) override {
    if (input != 0) return {};  // the table has it already
    const auto value = row.value(value_);
    if (!value) {
      out.dropped(1);
      return {};
    }
    std::optional<std::string_view> key = row.key;
    if (on_) {
      auto computed = on_->of(row);
      if (!computed) return computed.error();
      key = *computed;
    }
    const Side left{*value, is_text(row), &row};
    if (!key) {
      if (pads_left()) return try_emit(row.key, &left, nullptr, row.timestamp_ms, row.window, out);
      out.dropped(1);
      return {};
    }
    if (!config_.grace_ms) return join(row.key, *key, left, row.timestamp_ms, row.window, out);
    const std::string_view clock_key = row.key.value_or(std::string_view());
    const Timestamp now = time_.advance(clock_key, row.timestamp_ms).to;
    if (row.timestamp_ms < minus(now, *config_.grace_ms)) return join(row.key, *key, left, row.timestamp_ms, row.window, out);
    wait(row, *key, left);
    flush_until(clock_key, now, out);
    return {};
  }

  void save() override {
    if (!config_.grace_ms) return;
    time_.save();
    if (arrival_ == saved_arrival_) return;
    std::string bytes;
    put_varint(bytes, arrival_);
    meta_->put("n", bytes);
    saved_arrival_ = arrival_;
  }

  std::optional<Timestamp> next_idle_ms() const override {
    if (!config_.grace_ms) return std::nullopt;
    std::optional<Timestamp> wants;
    if (!time_.by_key() && earliest_ms_ != kNone) wants = plus(earliest_ms_, *config_.grace_ms);
    return time_.next_idle_ms(wants);
  }

  void advance_idle(Timestamp now_ms, Emit& out) override {
    if (config_.grace_ms) time_.advance_idle(now_ms, [&](const std::string& key, StreamTime::Move move) { flush_until(key, move.to, out); });
  }

 private:
  static std::string config_text(const OperatorParts& parts) {
    const auto& join = std::get<config::Join>(parts.step.what);
    if (!join.grace_ms) return "join table";
    return "join table grace" + std::string(parts.time.scope == config::Time::Scope::key ? " by key" : "");
  }

  result<void> join(std::optional<std::string_view> key, std::string_view other_key, const Side& left, Timestamp timestamp_ms, const std::optional<Window>& window, Emit& out) {
    const auto row = table_->as_of(other_key, timestamp_ms);
    if (!row)
      if (auto trouble = table_->trouble()) return *std::move(trouble);
    if (!row && !pads_left()) return {};
    const Side right = row ? side_of(*row) : Side{};
    return try_emit(key, &left, row ? &right : nullptr, timestamp_ms, window, out);
  }

  // flags, window, the key of the other row where it is another one, value.
  void wait(const Row& row, std::string_view other_key, const Side& left) {
    std::string name, bytes;
    const std::string_view key = row.key.value_or(std::string_view());
    if (time_.by_key()) put_ordered_key(name, key);
    put_ordered_time(name, row.timestamp_ms);
    if (!time_.by_key()) put_ordered_key(name, key);
    put_ordered(name, ++arrival_);
    put_u8(bytes, static_cast<std::uint8_t>((left.text ? kText : 0) | (row.window ? kWindow : 0) | (row.window && row.window->session ? kSession : 0) | (on_ ? kOtherKey : 0) |
                                            (row.key ? 0 : kNullKey)));
    if (row.window) {
      put_zigzag(bytes, row.window->start_ms);
      put_zigzag(bytes, row.window->end_ms);
    }
    if (on_) put_sized(bytes, other_key);
    bytes += left.value;
    buffer_->put(name, bytes);
    front_.put(name);
    earliest_ms_ = std::min(earliest_ms_, row.timestamp_ms);
  }

  void flush_until(std::string_view clock_key, Timestamp now, Emit& out) {
    const Timestamp last = minus(now, *config_.grace_ms);
    if (last < 0 || (!time_.by_key() && last < earliest_ms_)) return;
    std::string prefix;
    if (time_.by_key()) put_ordered_key(prefix, clock_key);
    std::string end = prefix;
    put_ordered_time(end, plus(last, 1));
    each_row(*buffer_, time_.by_key() ? prefix : front_.from(), end, [&](std::string_view name, std::string_view bytes) {
      release(name, bytes, out);
      buffer_->erase(name);
    });
    if (time_.by_key()) return;
    front_.passed(end);
    earliest_ms_ = kNone;
    buffer_->scan(end, {}, [&](std::string_view name, std::string_view) {
      front_.passed(name);
      earliest_ms_ = OrderedReader(name).time();
      return false;
    });
  }

  void release(std::string_view name, std::string_view bytes, Emit& out) {
    OrderedReader place(name);
    std::string key;
    if (time_.by_key()) key = place.key();
    const Timestamp timestamp_ms = place.time();
    if (!time_.by_key()) key = place.key();
    Reader reader(bytes);
    const std::uint8_t flags = reader.u8();
    std::optional<Window> window;
    if ((flags & kWindow) != 0) {
      window.emplace();
      window->start_ms = reader.zigzag();
      window->end_ms = reader.zigzag();
      window->session = (flags & kSession) != 0;
    }
    const std::string_view other_key = (flags & kOtherKey) != 0 ? reader.sized() : std::string_view(key);
    if (!place.ok() || !reader.ok()) return damaged();
    const Side left{reader.rest(), (flags & kText) != 0, nullptr};
    const auto own_key = (flags & kNullKey) != 0 ? std::nullopt : std::optional<std::string_view>(key);
    if (auto done = join(own_key, other_key, left, timestamp_ms, window, out); !done) out.failed({own_key, left.value, timestamp_ms, window, left.text}, done.error().message);
  }

  TableView* const table_;
  std::optional<KeyOf> on_;
  StreamTime time_;
  StateTable* buffer_ = nullptr;
  Front front_;  // of the buffer, where all keys have one stream time
  Timestamp earliest_ms_ = 0;  // nothing in it is earlier
  StateTable* meta_ = nullptr;
  std::uint64_t arrival_ = 0, saved_arrival_ = 0;
  std::string value_;
};

}  // namespace

std::unique_ptr<Operator> make_stream_table(const OperatorParts& parts) { return std::make_unique<StreamTable>(parts); }

}  // namespace rivulet::pipeline
