// rate_limit: {max, per, excess}: at most so many records of a group in each interval of stream time, which are aligned to 0.
//
// A record counts in the interval of the stream time at its arrival, so that none is ever too late. `drop`: the first ones pass. `thin`: the
// last place is for the latest record of the interval, which comes out when that is over: it is held back until then.
// Tables: a row a group with its interval, how many passed and what is held; and when its interval ends, after which it is forgotten.
#include <fmt/core.h>

#include "agent/pipeline/stateful/due.h"
#include "agent/pipeline/stateful/stream_time.h"
#include "agent/pipeline/table/ordered.h"
#include "agent/pipeline/thinning/grouping.h"
#include "agent/pipeline/thinning/held_record.h"
#include "agent/pipeline/thinning/thinning.h"

namespace rivulet::pipeline {
namespace {

constexpr std::uint32_t kGroupsPart = 1, kDuePart = 2;

class RateLimit final : public Operator {
 public:
  explicit RateLimit(const OperatorParts& parts)
      : config_(std::get<config::RateLimit>(parts.step.what)), grouping_(parts, config_), time_(parts.time, parts.clock), due_(time_.by_key()),
        definition_(fmt::format("rate_limit 1\n{} per {} {}{}\n{}", config_.max, config_.per_ms, config_.thin ? "thin" : "drop", time_.by_key() ? " by key" : "", grouping_.definition())) {}

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
    const Timestamp now = time_.advance(*id, row.timestamp_ms).to;
    end_intervals(*id, now, out);
    const Timestamp start_ms = now - now % config_.per_ms;
    auto known = find(*id);
    if (known && known->start_ms != start_ms) {  // after `state reset-time`
      leave(*id, out);
      known = std::nullopt;
    }
    if (!known) {
      known = Known{start_ms, 0, false};
      due_.put(*id, plus(start_ms, config_.per_ms), *id);
    }
    if (known->passed < config_.max - (config_.thin ? 1 : 0)) {
      ++known->passed;
      put(*id, *known, nullptr);
      out.pass(row);
    } else if (!config_.thin) {
      out.dropped(1);
    } else {
      if (known->held) out.dropped(1);
      known->held = true;
      put(*id, *known, &row);
    }
    return {};
  }

  void save() override { time_.save(); }
  std::optional<Timestamp> next_idle_ms() const override { return time_.next_idle_ms(due_.earliest()); }
  void advance_idle(Timestamp now_ms, Emit& out) override {
    time_.advance_idle(now_ms, [&](const std::string& id, StreamTime::Move move) { end_intervals(id, move.to, out); });
  }

  std::optional<Shown> shown() const override { return Shown{kGroupsPart, true, {"passed", "held"}}; }
  KeyRange shown_range(std::string_view key) const override { return range_of_group(key); }
  result<bool> show(std::string_view name, std::string_view bytes, ShownRow& row) override {
    Reader reader(bytes);
    const Known known = read(reader);
    Emitted held;
    if (!reader.ok() || (known.held && !read_held(reader, held))) return damaged();
    row.key = key_of(name);
    row.window = Window{known.start_ms, plus(known.start_ms, config_.per_ms), false};
    row.timestamp_ms = known.start_ms;
    row.value = fmt::format("{{\"passed\":{},\"held\":{}}}", known.passed, known.held ? shown_value(held) : "null");
    return true;
  }

 private:
  struct Known {
    Timestamp start_ms = 0;  // of the interval
    std::uint64_t passed = 0;
    bool held = false;  // a held record follows
  };

  static Error damaged() { return {ErrorCode::corrupt, "a row of the state of a rate_limit step does not read"}; }

  static Known read(Reader& reader) {
    Known known;
    known.held = reader.u8() != 0;
    known.start_ms = reader.zigzag();
    known.passed = reader.varint();
    return known;
  }

  std::optional<Known> find(const std::string& id) {
    const auto bytes = groups_->get(id);
    if (!bytes) return std::nullopt;
    Reader reader(*bytes);
    const Known known = read(reader);
    if (reader.ok()) return known;
    state_->fail(damaged());
    return std::nullopt;
  }

  void put(const std::string& id, const Known& known, const Row* held) {
    std::string bytes;
    put_u8(bytes, known.held ? 1 : 0);
    put_zigzag(bytes, known.start_ms);
    put_varint(bytes, known.passed);
    if (known.held) put_held(bytes, *held);
    groups_->put(id, bytes);
  }

  // In the order of their ends, then of the groups' ids.
  void end_intervals(const std::string& clock, Timestamp now, Emit& out) {
    due_.advanced(clock, now, [&](const std::string&, const std::string& id, Timestamp) {
      end_interval(id, now, out);
      return std::optional<Timestamp>();
    });
  }

  void end_interval(const std::string& id, Timestamp now, Emit& out) {
    const auto known = find(id);
    if (known && plus(known->start_ms, config_.per_ms) <= now) leave(id, out);  // else it is a later one, which has a row of its own
  }

  // The group's row goes, and what it holds goes out.
  void leave(const std::string& id, Emit& out) {
    const std::string bytes(groups_->get(id).value_or(std::string_view()));
    Reader reader(bytes);
    const Known known = read(reader);
    Emitted held;
    if (!reader.ok() || (known.held && !read_held(reader, held))) return state_->fail(damaged());
    groups_->erase(id);
    if (known.held) out.emit(held);
  }

  const config::RateLimit config_;
  Grouping grouping_;
  StreamTime time_;
  Due due_;
  const std::string definition_;
  StepState* state_ = nullptr;
  StateTable* groups_ = nullptr;
};

}  // namespace

std::unique_ptr<Operator> make_rate_limit(const OperatorParts& parts) { return std::make_unique<RateLimit>(parts); }

}  // namespace rivulet::pipeline
