// sample: {every: N} or {interval: D}: the first of every N records of a group, or records that are at least D apart in event time.
//
// Table: a row a group: how many of its N have come, or the time of the last record that passed.
#include <fmt/core.h>

#include "agent/base/bytes.h"
#include "agent/pipeline/table/ordered.h"
#include "agent/pipeline/thinning/grouping.h"
#include "agent/pipeline/thinning/thinning.h"

namespace rivulet::pipeline {
namespace {

constexpr std::uint32_t kGroupsPart = 1;

class Sample final : public Operator {
 public:
  explicit Sample(const OperatorParts& parts)
      : config_(std::get<config::Sample>(parts.step.what)), grouping_(parts, config_),
        definition_(fmt::format("sample 1\nevery {} interval {}\n{}", config_.every, config_.interval_ms, grouping_.definition())) {}

  std::string definition() const override { return definition_; }
  void attach(StepState& state) override {
    state_ = &state;
    groups_ = &state.table(kGroupsPart);
  }

  result<void> process(std::size_t, const Row& row, Emit& out) override {
    auto id = grouping_.of(row);
    if (!id) return id.error();
    if (!row.bytes) {  // a tombstone is never sampled away, and its key is gone
      if (!grouping_.one_for_all()) groups_->erase(*id);
      out.pass(row);
    } else if (config_.every != 0 ? passes_by_count(*id) : passes_by_time(*id, row.timestamp_ms)) {
      out.pass(row);
    } else {
      out.dropped(1);
    }
    return {};
  }

  std::optional<Shown> shown() const override { return Shown{kGroupsPart, false, {config_.every != 0 ? "count" : "last"}}; }
  KeyRange shown_range(std::string_view key) const override { return range_of_group(key); }
  result<bool> show(std::string_view name, std::string_view bytes, ShownRow& row) override {
    Reader reader(bytes);
    const std::int64_t number = reader.zigzag();
    if (!reader.ok()) return Error{ErrorCode::corrupt, "a row of its state does not read"};
    row.key = key_of(name);
    row.timestamp_ms = config_.every != 0 ? 0 : number;
    row.value = fmt::format("{{\"{}\":{}}}", config_.every != 0 ? "count" : "last", number);
    return true;
  }

 private:
  std::optional<std::int64_t> find(const std::string& id) {
    const auto bytes = groups_->get(id);
    if (!bytes) return std::nullopt;
    Reader reader(*bytes);
    const std::int64_t number = reader.zigzag();
    if (reader.ok()) return number;
    state_->fail({ErrorCode::corrupt, "a row of the state of a sample step does not read"});
    return std::nullopt;
  }
  void put(const std::string& id, std::int64_t number) {
    std::string bytes;
    put_zigzag(bytes, number);
    groups_->put(id, bytes);
  }

  // 1 to N; the first passes.
  bool passes_by_count(const std::string& id) {
    const auto came = static_cast<std::uint64_t>(find(id).value_or(0));
    const std::uint64_t now = came >= config_.every ? 1 : came + 1;
    put(id, static_cast<std::int64_t>(now));
    return now == 1;
  }
  bool passes_by_time(const std::string& id, Timestamp timestamp_ms) {
    const auto last_ms = find(id);
    if (last_ms && timestamp_ms < plus(*last_ms, config_.interval_ms)) return false;
    put(id, timestamp_ms);
    return true;
  }

  const config::Sample config_;
  Grouping grouping_;
  const std::string definition_;
  StepState* state_ = nullptr;
  StateTable* groups_ = nullptr;
};

}  // namespace

std::unique_ptr<Operator> make_sample(const OperatorParts& parts) { return std::make_unique<Sample>(parts); }

}  // namespace rivulet::pipeline
