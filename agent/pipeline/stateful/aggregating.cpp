#include "agent/pipeline/stateful/aggregating.h"

#include <fmt/core.h>

#include <algorithm>

namespace rivulet::pipeline {
namespace {

constexpr Timestamp kMaxTimestampMs = 1LL << 60;  // sums of a timestamp and durations stay far from overflow

class NeverFull final : public Emit {
 public:
  explicit NeverFull(Emit& to) : to_(to) {}
  void emit(const Emitted& result) override { to_.emit(result); }
  void pass(const Row& row) override { to_.pass(row); }
  void late(const Row& row, std::uint64_t windows) override { to_.late(row, windows); }
  void dropped(std::uint64_t count) override { to_.dropped(count); }
  void failed(const Emitted& result, const std::string& reason) override { to_.failed(result, reason); }

 private:
  Emit& to_;
};

std::string defined_as(const config::Aggregate& config, const config::Time& time) {
  static constexpr const char* kinds[] = {"none", "tumbling", "hopping", "sliding", "session"};
  const config::WindowSpec& window = config.window;
  return fmt::format("aggregate 1\n{}window {} {} {} grace {}\ntime {}\nby {}\n", config.of_table ? "of a table\n" : "", kinds[static_cast<int>(window.kind)], window.size_ms, window.advance_ms, window.grace_ms,
                                 time.scope == config::Time::Scope::key ? "key" : "stream", config.by ? config.by->sql : "");
}

}  // namespace

Aggregating::Aggregating(const OperatorParts& parts)
    : config_(std::get<config::Aggregate>(parts.step.what)), windowed_(config_.window.kind != config::WindowSpec::Kind::none),
      until_closed_(config_.suppressed == config::Aggregate::Suppressed::until_closed), time_(parts.time, parts.clock),
      emit_(config_.emits()) {
  if (config_.by) {
    by_ = std::make_unique<Group>(parts.evaluator);
    auto added = by_->add(ItemKind::text, config_.by->sql);
    if (added) added = by_->prepare();
    if (!added) parts.problems.push_back({config_.by->at, parts.step.path + ".by", added.error().message, false});
  }
  aggregates_ = Aggregates::build(parts.evaluator, config_, parts.step.path, parts.problems, config_.of_table);
  if (aggregates_ != nullptr) definition_ = defined_as(config_, parts.time) + aggregates_->definition();
}

void Aggregating::attach(StepState& state) {
  state_ = &state;
  time_.attach(state.table(kTimePart));
  sequence_ = 0;
  if (const auto text = state.table(kTimePart).get("s")) sequence_ = Reader(*text).varint();
  sequence_dirty_ = false;
  thinned_ = {};
  load();
}

result<bool> Aggregating::find_key(const Row& row) {
  if (by_ == nullptr) {
    if (row.key) key_ = *row.key;
    return row.key.has_value();
  }
  const Outcome outcome = by_->run(row);
  if (outcome.kind == Outcome::Kind::failed) return Error{ErrorCode::invalid, "by: " + outcome.reason};
  key_ = by_->results()[0].text;
  return !by_->results()[0].null;
}

bool Aggregating::pending() const {
  if (time_.by_key() || time_.now() == kNoTime) return false;
  const auto due = next_due();
  return due && *due <= time_.now();
}

result<void> Aggregating::process(std::size_t, const Row& row, Emit& out) {
  if (pending()) close_all_due(out);
  auto has_key = find_key(row);
  if (!has_key) return has_key.error();
  if (!*has_key || (!row.bytes && !takes_null_values())) {
    out.dropped(1);
    return {};
  }
  if (auto held = check_time(row.timestamp_ms); !held) return held;
  if (auto taken = aggregates_->take(row); !taken) return taken;
  arrived();
  const StreamTime::Move move = time_.advance(key_, row.timestamp_ms);
  add(key_, row.timestamp_ms, row, move.to, out);
  if (move.to == move.from) return {};
  if (time_.by_key()) close_key(key_, move, out);
  else close_due(move.to, out);
  return {};
}

result<void> Aggregating::check_time(Timestamp timestamp_ms) {
  if (timestamp_ms >= 0 && timestamp_ms <= kMaxTimestampMs) return {};
  return Error{ErrorCode::invalid, fmt::format("its timestamp {} is no time that windows can hold", timestamp_ms)};
}

void Aggregating::arrived() {
  ++sequence_;
  sequence_dirty_ = true;
}

// Whatever room there is: a record comes after the results that its predecessors made.
void Aggregating::close_all_due(Emit& out) {
  NeverFull all(out);
  close_due(time_.now(), all);
}

void Aggregating::advance_idle(Timestamp now_ms, Emit& out) {
  time_.advance_idle(now_ms, [&](const std::string& key, StreamTime::Move move) {
    if (time_.by_key()) close_key(key, move, out);
    else close_due(move.to, out);
  });
}

void Aggregating::contribute(Entry& entry, Timestamp timestamp_ms) {
  aggregates_->add(entry.state, sequence_);
  touch(entry, timestamp_ms);
}

void Aggregating::take_back(Entry& entry, Timestamp timestamp_ms) {
  aggregates_->subtract(entry.state);
  touch(entry, timestamp_ms);
}

void Aggregating::touch(Entry& entry, Timestamp timestamp_ms) {
  if (!entry.dirty || entry.timestamp_ms == kNoTime) ++held_entries_;
  entry.timestamp_ms = std::max(entry.timestamp_ms, timestamp_ms);
  entry.dirty = true;
}

void Aggregating::changed(std::string_view key, const Window& window, Entry& entry, Emit& out) {
  if (emit_ == config::EmitWhen::every_change) return emit(key, window, entry, out);
  if (emit_ != config::EmitWhen::updates) return;
  const Thinned::Change& before = thinned_.changed(key, window);
  if (before.gone) entry.emitted = before.emitted;
}

void Aggregating::replaced(std::string_view key, const Window& window, Timestamp timestamp_ms, bool emitted, Emit& out) {
  if (emit_ == config::EmitWhen::updates) return thinned_.gone(key, window, emitted, timestamp_ms);
  if (emit_ == config::EmitWhen::every_change && emitted) out.emit({key, std::nullopt, timestamp_ms, window});
}

void Aggregating::final(std::string_view key, const Window& window, Entry& entry, Emit& out) {
  if (emit_ == config::EmitWhen::closed || (emit_ == config::EmitWhen::updates && thinned_.take(key, window))) emit(key, window, entry, out);
}

void Aggregating::emit(std::string_view key, const Window& window, Entry& entry, Emit& out) {
  text_.clear();
  auto row = aggregates_->finish(entry.state, key, windowed_ ? &window : nullptr, text_);
  if (!row) return out.failed({key, std::nullopt, entry.timestamp_ms, windowed_ ? std::optional(window) : std::nullopt}, row.error().message);
  if (!*row && !entry.emitted) return;
  if (entry.emitted != *row) entry.dirty = true;
  entry.emitted = *row;
  out.emit({key, *row ? std::optional<std::string_view>(text_) : std::nullopt, entry.timestamp_ms, windowed_ ? std::optional(window) : std::nullopt});
}

void Aggregating::flush(Emit& out) {
  for (const Thinned::Change& change : thinned_.take_all()) {
    if (!change.gone) {
      if (Entry* entry = find(change.key, change.window); entry != nullptr) emit(change.key, change.window, *entry, out);
    } else if (change.emitted) {
      out.emit({change.key, std::nullopt, change.timestamp_ms, change.window});
    }
  }
}

void Aggregating::save() {
  save_entries();
  held_entries_ = 0;
  time_.save();
  if (!sequence_dirty_) return;
  sequence_dirty_ = false;
  std::string text;
  put_varint(text, sequence_);
  state_->table(kTimePart).put("s", text);
}

std::optional<Shown> Aggregating::shown() const {
  Shown shown{kMainPart, windowed_, {}};
  for (const config::Assignment& field : config_.select) shown.fields.push_back(field.field);
  return shown;
}

result<bool> Aggregating::show(std::string_view name, std::string_view bytes, ShownRow& row) {
  Reader reader(bytes);
  std::string_view key;
  reader.u8();  // whether a row was emitted
  row.timestamp_ms = reader.zigzag();
  if (!place(name, key, row.window) || !reader.ok()) return Error{ErrorCode::corrupt, "a row of its state does not read"};
  auto state = aggregates_->decode(reader.rest());
  if (!state) return state.error();
  row.key = key;
  row.value.emplace();
  return aggregates_->finish(*state, key, windowed_ ? &row.window : nullptr, *row.value);
}

std::string Aggregating::encode(const Entry& entry) const {
  std::string bytes;
  put_u8(bytes, entry.emitted ? 1 : 0);
  put_zigzag(bytes, entry.timestamp_ms);
  aggregates_->encode(entry.state, bytes);
  return bytes;
}

Aggregating::Entry Aggregating::decode(std::string_view bytes) {
  Reader reader(bytes);
  Entry entry;
  entry.emitted = reader.u8() != 0;
  entry.timestamp_ms = reader.zigzag();
  entry.state = decode_state(reader.rest());
  entry.dirty = false;
  return entry;
}

AggState Aggregating::decode_state(std::string_view bytes) {
  auto state = aggregates_->decode(bytes);
  if (state) return std::move(*state);
  state_->fail({ErrorCode::corrupt, "state of an aggregate step: " + state.error().message});
  return aggregates_->fresh();
}

}  // namespace rivulet::pipeline
