#include "agent/pipeline/stateful/stream_time.h"

#include <algorithm>

#include "agent/base/bytes.h"

namespace rivulet::pipeline {
namespace {

std::string encoded(Timestamp time_ms) {
  std::string text;
  put_zigzag(text, time_ms);
  return text;
}

Timestamp decoded(std::optional<std::string_view> text) {
  if (!text) return kNoTime;
  Reader reader(*text);
  return reader.zigzag();
}

}  // namespace

void StreamTime::attach(StateTable& table) {
  table_ = &table;
  now_ = decoded(table.get("t"));
  dirty_ = false;
  started_ms_ = clock_.steady_ms();
  last_ = {started_ms_, now_};
  last_by_key_.clear();
}

void StreamTime::save() {
  if (dirty_) table_->put("t", encoded(now_));
  dirty_ = false;
}

StreamTime::Move StreamTime::advance(std::string_view key, Timestamp timestamp_ms) {
  if (!by_key()) {
    const Move move{now_, std::max(now_, timestamp_ms)};
    dirty_ = dirty_ || move.to != move.from;
    now_ = move.to;
    if (config_.idle_ms != 0) heard(last_, now_);
    return move;
  }
  const std::string name = row(key);
  const Timestamp before = decoded(table_->get(name));
  const Move move{before, std::max(before, timestamp_ms)};
  if (move.to != move.from) table_->put(name, encoded(move.to));
  if (config_.idle_ms != 0) heard(last_by_key_[std::string(key)], move.to);
  return move;
}

std::optional<std::int64_t> StreamTime::next_idle_ms(std::optional<Timestamp> wants_ms) const {
  if (config_.idle_ms == 0) return std::nullopt;
  if (by_key()) return clock_.steady_ms() + config_.idle_ms;  // each key has its own: looked at as often as one can fall silent
  if (!wants_ms || last_.time_ms == kNoTime) return std::nullopt;
  return last_.at_ms + std::max(config_.idle_ms, *wants_ms - last_.time_ms);
}

void StreamTime::advance_idle(std::int64_t now_ms, const Moved& moved) {
  if (config_.idle_ms == 0) return;
  const auto moved_on = [&](const Heard& last, Timestamp before) -> std::optional<Move> {
    const std::int64_t silent_ms = now_ms - last.at_ms;
    if (last.time_ms == kNoTime || silent_ms < config_.idle_ms || last.time_ms + silent_ms <= before) return std::nullopt;
    return Move{before, last.time_ms + silent_ms};
  };
  if (!by_key()) {
    const auto move = moved_on(last_, now_);
    if (!move) return;
    now_ = move->to;
    dirty_ = true;
    return moved({}, *move);
  }
  std::vector<std::pair<std::string, Move>> moves;
  table_->scan_prefix("k", [&](std::string_view name, std::string_view value) {
    const std::string key(name.substr(1));
    const Timestamp before = decoded(value);
    const auto found = last_by_key_.find(key);
    const Heard last = found == last_by_key_.end() ? Heard{started_ms_, before} : found->second;
    if (const auto move = moved_on(last, before)) moves.emplace_back(key, *move);
    if (found == last_by_key_.end()) last_by_key_.emplace(key, last);
    return true;
  });
  for (const auto& [key, move] : moves) {
    table_->put(row(key), encoded(move.to));
    moved(key, move);
  }
}

}  // namespace rivulet::pipeline
