#include "agent/pipeline/absence/absence.h"

#include <fmt/core.h>

#include "agent/base/bytes.h"
#include "agent/pipeline/stateful/due.h"
#include "agent/pipeline/stateful/stream_time.h"
#include "agent/pipeline/table/ordered.h"

namespace rivulet::pipeline {
namespace {

constexpr std::uint32_t kKeysPart = 1, kLookPart = 2;

class AbsenceStep final : public Operator {
 public:
  explicit AbsenceStep(const OperatorParts& parts)
      : after_ms_(std::get<config::Absence>(parts.step.what).after_ms), time_(parts.time, parts.clock), due_(time_.by_key()),
        definition_(fmt::format("absence after {}{}", after_ms_, time_.by_key() ? " by key" : "")) {}

  std::string definition() const override { return definition_; }
  void attach(StepState& state) override {
    state_ = &state;
    time_.attach(state.table(kTimePart));
    keys_ = &state.table(kKeysPart);
    due_.attach(state, kLookPart);
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
  std::optional<Timestamp> next_idle_ms() const override {
    return time_.next_idle_ms(due_.earliest());
  }
  void advance_idle(Timestamp now_ms, Emit& out) override {
    time_.advance_idle(now_ms, [&](const std::string& key, StreamTime::Move move) { advanced(key, move.to, out); });
  }

 private:
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

  // With a time for each key the row's key says it.
  void watch(const std::string& key, Timestamp last_ms) { due_.put(key, plus(last_ms, after_ms_), time_.by_key() ? std::string_view() : std::string_view(key)); }

  // Keys in the order in which they fell silent.
  void advanced(const std::string& clock_key, Timestamp now, Emit& out) {
    due_.advanced(clock_key, now, [&](const std::string& key, const std::string& id, Timestamp at_ms) { return look(time_.by_key() ? key : id, at_ms, out); });
  }

  // What is due: the key is silent, or has newer records and is looked at again later.
  std::optional<Timestamp> look(const std::string& key, Timestamp at_ms, Emit& out) {
    const auto known = find(key);
    if (!known || known->absent) return std::nullopt;
    const Timestamp silent_ms = plus(known->last_ms, after_ms_);
    if (silent_ms > at_ms) return silent_ms;
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
  Due due_;
  const std::string definition_;
  StepState* state_ = nullptr;
  StateTable* keys_ = nullptr;
};

}  // namespace

std::unique_ptr<Operator> make_absence(const OperatorParts& parts) { return std::make_unique<AbsenceStep>(parts); }

}  // namespace rivulet::pipeline
