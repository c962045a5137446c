// dedupe: {by, within}: a record is a duplicate iff one with the same `by` passed, their timestamps are at most `within` apart, and the
// stream time has moved on by at most `within` since.
//
// The last condition is what bounds the state. It asks when the other came, not how old it was: what comes late together is compared,
// too, and no record is ever too late. Tables: what passed, by (`by`, timestamp), with the stream time of then; and when each is forgotten.
// With `scope: key` each key has its own stream time, and duplicates are looked for within a key.
#include <fmt/core.h>

#include "agent/base/bytes.h"
#include "agent/pipeline/stateful/due.h"
#include "agent/pipeline/stateful/stream_time.h"
#include "agent/pipeline/table/ordered.h"
#include "agent/pipeline/thinning/grouping.h"
#include "agent/pipeline/thinning/thinning.h"

namespace rivulet::pipeline {
namespace {

constexpr std::uint32_t kPassedPart = 1, kDuePart = 2;

class Dedupe final : public Operator {
 public:
  explicit Dedupe(const OperatorParts& parts)
      : within_ms_(std::get<config::Dedupe>(parts.step.what).within_ms), by_(key_expression(parts, std::get<config::Dedupe>(parts.step.what).by)), time_(parts.time, parts.clock),
        due_(time_.by_key()),
        definition_(fmt::format("dedupe 1\nwithin {}{}\nby {}\n", within_ms_, time_.by_key() ? " by key" : "", std::get<config::Dedupe>(parts.step.what).by.sql)) {}

  std::string definition() const override { return definition_; }
  void attach(StepState& state) override {
    time_.attach(state.table(kTimePart));
    passed_ = &state.table(kPassedPart);
    due_.attach(state, kDuePart);
  }

  result<void> process(std::size_t, const Row& row, Emit& out) override {
    const Outcome outcome = by_->run(row);
    if (outcome.kind == Outcome::Kind::failed) return Error{ErrorCode::invalid, "by: " + outcome.reason};
    const std::string clock = time_.by_key() ? group_of(row.key) : std::string();
    const Timestamp now = time_.advance(clock, row.timestamp_ms).to;
    forget(clock, now);
    if (by_->results()[0].null) {  // nothing says whether it came before
      out.pass(row);
      return {};
    }
    std::string prefix;
    if (time_.by_key()) put_ordered_key(prefix, clock);
    put_ordered_key(prefix, by_->results()[0].text);
    if (came_before(prefix, row.timestamp_ms)) {
      out.dropped(1);
      return {};
    }
    const std::string name = at(prefix, row.timestamp_ms);
    std::string then;
    put_zigzag(then, now);
    passed_->put(name, then);
    due_.put(clock, plus(plus(now, within_ms_), 1), name);
    out.pass(row);
    return {};
  }

  void save() override { time_.save(); }
  std::optional<Timestamp> next_idle_ms() const override { return time_.next_idle_ms(due_.earliest()); }
  void advance_idle(Timestamp now_ms, Emit&) override {
    time_.advance_idle(now_ms, [&](const std::string& clock, StreamTime::Move move) { forget(clock, move.to); });
  }

  std::optional<Shown> shown() const override { return Shown{kPassedPart, false, {"stream_time"}}; }
  KeyRange shown_range(std::string_view key) const override {
    if (time_.by_key()) return {};
    std::string prefix;
    put_ordered_key(prefix, key);
    return range_of_prefix(prefix);
  }
  result<bool> show(std::string_view name, std::string_view bytes, ShownRow& row) override {
    OrderedReader reader(name);
    if (time_.by_key()) reader.key();
    row.key = reader.key();
    row.timestamp_ms = reader.time();
    Reader then(bytes);
    row.value = fmt::format("{{\"stream_time\":{}}}", then.zigzag());
    if (!reader.whole() || !then.ok()) return Error{ErrorCode::corrupt, "a row of its state does not read"};
    return true;
  }

 private:
  static std::string at(const std::string& prefix, Timestamp timestamp_ms) {
    std::string name = prefix;
    put_ordered_time(name, timestamp_ms);
    return name;
  }

  // Everything that is still there counts: what is too long ago has been forgotten.
  bool came_before(const std::string& prefix, Timestamp timestamp_ms) {
    bool found = false;
    passed_->scan(at(prefix, minus(timestamp_ms, within_ms_)), at(prefix, plus(timestamp_ms, within_ms_)) + '\0', [&](std::string_view, std::string_view) {
      found = true;
      return false;
    });
    return found;
  }

  void forget(const std::string& clock, Timestamp now) {
    due_.advanced(clock, now, [&](const std::string&, const std::string& name, Timestamp) {
      passed_->erase(name);
      return std::optional<Timestamp>();
    });
  }

  const std::int64_t within_ms_;
  std::unique_ptr<Group> by_;
  StreamTime time_;
  Due due_;
  const std::string definition_;
  StateTable* passed_ = nullptr;
};

}  // namespace

std::unique_ptr<Operator> make_dedupe(const OperatorParts& parts) { return std::make_unique<Dedupe>(parts); }

}  // namespace rivulet::pipeline
