// deadband: {field, absolute | percent, max_silence}: report by exception: a record passes when the field's value has left the band around the last
// one that passed.
//
// Table: a row a group: the last value, the stream time at which it passed, and with max_silence the latest record that was held back since:
// it goes out when the stream time is max_silence past the last report, unless a record of the group comes at that time, which passes itself.
#include <fmt/core.h>

#include <charconv>
#include <cmath>

#include "agent/base/words.h"
#include "agent/codec/json.h"
#include "agent/pipeline/stateful/due.h"
#include "agent/pipeline/stateful/stream_time.h"
#include "agent/pipeline/table/ordered.h"
#include "agent/pipeline/thinning/grouping.h"
#include "agent/pipeline/thinning/held_record.h"
#include "agent/pipeline/thinning/thinning.h"

namespace rivulet::pipeline {
namespace {

constexpr std::uint32_t kGroupsPart = 1, kDuePart = 2;

std::optional<double> number_of(std::string_view token) {
  double number = 0;
  const auto parsed = std::from_chars(token.data(), token.data() + token.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != token.data() + token.size() || !std::isfinite(number)) return std::nullopt;
  return number;
}

// How far two whole numbers of 64 bits, with or without a sign, are apart: exactly, where a double would not tell them apart.
std::optional<std::uint64_t> distance(std::string_view one, std::string_view other) {
  const auto split = [](std::string_view token, bool& negative, std::uint64_t& size) {
    negative = token.starts_with('-');
    return whole_number(negative ? token.substr(1) : token, size);
  };
  bool one_below = false, other_below = false;
  std::uint64_t a = 0, b = 0;
  if (!split(one, one_below, a) || !split(other, other_below, b)) return std::nullopt;
  if (one_below == other_below) return a > b ? a - b : b - a;
  return a <= UINT64_MAX - b ? std::optional(a + b) : std::nullopt;
}

class Deadband final : public Operator {
 public:
  explicit Deadband(const OperatorParts& parts)
      : config_(std::get<config::Deadband>(parts.step.what)), grouping_(parts, config_), time_(parts.time, parts.clock), due_(time_.by_key()),
        definition_(fmt::format("deadband 1\nfield {}\n{} {}\nsilence {}{}\n{}", config_.field, config_.percent ? "percent" : "absolute", config_.change, config_.max_silence_ms.value_or(-1),
                                config_.max_silence_ms && time_.by_key() ? " by key" : "", grouping_.definition())) {}

  std::string definition() const override { return definition_; }
  void attach(StepState& state) override {
    state_ = &state;
    time_.attach(state.table(kTimePart));
    groups_ = &state.table(kGroupsPart);
    due_.attach(state, kDuePart);
  }

  result<void> process(std::size_t, const Row& row, Emit& out) override {
    auto id = grouping_.of(row);
    if (!id) return id.error();
    const Timestamp now = config_.max_silence_ms ? time_.advance(*id, row.timestamp_ms).to : row.timestamp_ms;
    const bool passes = take(*id, row, now, out);
    report_due(*id, now, out);
    if (passes) out.pass(row);
    return {};
  }

  void save() override { time_.save(); }
  std::optional<Timestamp> next_idle_ms() const override { return config_.max_silence_ms ? time_.next_idle_ms(due_.earliest()) : std::nullopt; }
  void advance_idle(Timestamp now_ms, Emit& out) override {
    if (!config_.max_silence_ms) return;
    time_.advance_idle(now_ms, [&](const std::string& id, StreamTime::Move move) { report_due(id, move.to, out); });
  }

  std::optional<Shown> shown() const override { return Shown{kGroupsPart, false, {"last", "held"}}; }
  KeyRange shown_range(std::string_view key) const override { return range_of_group(key); }
  result<bool> show(std::string_view name, std::string_view bytes, ShownRow& row) override {
    Reader reader(bytes);
    const Known known = read(reader);
    Emitted held;
    if (known.held && !read_held(reader, held)) return damaged();
    if (!reader.ok()) return damaged();
    row.key = key_of(name);
    row.timestamp_ms = known.reported_ms;
    row.value = "{\"last\":" + known.token + ",\"held\":" + (known.held ? shown_value(held) : "null") + "}";
    return true;
  }

 private:
  struct Known {
    std::string token;          // of the last report
    Timestamp reported_ms = 0;  // the stream time of then
    bool waits = false;         // there is a row in due_
    bool held = false;          // a held record, and before it its field's token, follow
    std::string held_token;
  };

  static Error damaged() { return {ErrorCode::corrupt, "a row of the state of a deadband step does not read"}; }

  static Known read(Reader& reader) {
    Known known;
    const std::uint8_t flags = reader.u8();
    known.waits = (flags & 1) != 0;
    known.held = (flags & 2) != 0;
    known.token = reader.sized();
    known.reported_ms = reader.zigzag();
    if (known.held) known.held_token = reader.sized();
    return known;
  }

  std::optional<Known> find(const std::string& id) {
    const auto bytes = groups_->get(id);
    if (!bytes) return std::nullopt;
    Reader reader(*bytes);
    Known known = read(reader);
    if (reader.ok()) return known;
    state_->fail(damaged());
    return std::nullopt;
  }

  // `held`: the record that is held back, if known.held.
  void put(const std::string& id, const Known& known, const Row* held) {
    std::string bytes;
    put_u8(bytes, static_cast<std::uint8_t>((known.waits ? 1 : 0) | (known.held ? 2 : 0)));
    put_sized(bytes, known.token);
    put_zigzag(bytes, known.reported_ms);
    if (known.held) put_sized(bytes, known.held_token);
    if (known.held) put_held(bytes, *held);
    groups_->put(id, bytes);
  }

  std::string token_of(const Row& row) const {
    const Field* field = row.find(config_.field);
    if (field == nullptr || field->token.empty()) return "null";
    if (!field->text) return std::string(field->token);
    std::string quoted;
    codec::append_json_string(quoted, field->token);
    return quoted;
  }

  // What is no number is compared by its token.
  bool leaves_band(const std::string& token, const std::string& last) const {
    const auto value = number_of(token), before = number_of(last);
    if (!value || !before) return token != last;
    const double band = config_.percent ? std::abs(*before) * config_.change / 100 : config_.change;
    if (const auto apart = distance(token, last)) return band < 0x1p64 && *apart > static_cast<std::uint64_t>(band);
    return std::abs(*value - *before) > (std::isfinite(band) ? band : std::abs(*before) / 100 * config_.change);
  }

  // Whether the record passes; the state is as after it.
  bool take(const std::string& id, const Row& row, Timestamp now, Emit& out) {
    auto known = find(id);
    if (known && known->held) out.dropped(1);  // the newer one takes its place
    if (!row.bytes) {  // passes, and its key is gone
      if (known && !grouping_.one_for_all()) groups_->erase(id);
      else if (known && known->held) known->held = false, put(id, *known, nullptr);
      return true;
    }
    std::string token = token_of(row);
    const bool silent = known && config_.max_silence_ms && now >= plus(known->reported_ms, *config_.max_silence_ms);
    if (!known || silent || leaves_band(token, known->token)) {
      put(id, {std::move(token), now, known && known->waits, false, {}}, nullptr);
      return true;
    }
    if (!config_.max_silence_ms) {
      out.dropped(1);
      return false;
    }
    if (!known->waits) due_.put(id, plus(known->reported_ms, *config_.max_silence_ms), id);
    known->waits = known->held = true;
    known->held_token = std::move(token);
    put(id, *known, &row);
    return false;
  }

  void report_due(const std::string& clock, Timestamp now, Emit& out) {
    if (!config_.max_silence_ms) return;
    due_.advanced(clock, now, [&](const std::string&, const std::string& id, Timestamp at_ms) { return look(id, at_ms, now, out); });
  }

  std::optional<Timestamp> look(const std::string& id, Timestamp at_ms, Timestamp now, Emit& out) {
    auto known = find(id);
    if (!known || !known->waits) return std::nullopt;
    const Timestamp due_ms = plus(known->reported_ms, *config_.max_silence_ms);
    if (known->held && due_ms > at_ms) return due_ms;
    const std::string bytes(groups_->get(id).value_or(std::string_view()));
    Reader reader(bytes);
    static_cast<void>(read(reader));
    Emitted held;
    if (known->held && !read_held(reader, held)) {
      state_->fail(damaged());
      return std::nullopt;
    }
    const bool reports = known->held;
    if (reports) known->token = known->held_token, known->reported_ms = now;
    known->waits = known->held = false;
    put(id, *known, nullptr);
    if (reports) out.emit(held);
    return std::nullopt;
  }

  const config::Deadband config_;
  Grouping grouping_;
  StreamTime time_;
  Due due_;
  const std::string definition_;
  StepState* state_ = nullptr;
  StateTable* groups_ = nullptr;
};

}  // namespace

std::unique_ptr<Operator> make_deadband(const OperatorParts& parts) { return std::make_unique<Deadband>(parts); }

}  // namespace rivulet::pipeline
