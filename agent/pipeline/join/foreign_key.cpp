// Foreign-key joins (SEMANTICS.md 20, D7): an expression over the left row is the right row's key.
//
// Kept: which left rows point to a key, under (that key, left key). Everything else is in the two tables.
#include <algorithm>

#include "agent/base/check.h"
#include "agent/pipeline/join/joining.h"
#include "agent/pipeline/sql_text.h"
#include "agent/pipeline/table/each_row.h"
#include "agent/pipeline/table/ordered.h"

namespace rivulet::pipeline {
namespace {

constexpr std::uint32_t kPointingPart = 1;

class ForeignKey final : public Joining {
 public:
  explicit ForeignKey(const OperatorParts& parts)
      : Joining(parts, "join " + std::get<config::Join>(parts.step.what).left_table + " on " + std::get<config::Join>(parts.step.what).on->sql),
        on_(parts.evaluator, *config_.on, parts.step.path, parts.problems) {
    if (const auto text = SqlText::analyse(config_.on->sql); text && text->clock) parts.problems.push_back({config_.on->at, parts.step.path + ".on", kReadsClock, false});
    left_ = table_of(parts, config_.left_table);
    right_ = table_of(parts, config_.right_table);
  }
  void attach(StepState& state) override {
    keep_state(state);
    pointing_ = &state.table(kPointingPart);
  }

  result<void> process(std::size_t input, const Row& row, Emit& out) override {
    RV_CHECK(row.change != nullptr && row.key, "a table's changes come with what was before");
    if (!row.change->latest) {
      out.dropped(1);
      return {};
    }
    if (input == 0) return left_changed(row, out);
    right_changed(row, out);
    return {};
  }

 private:
  using Key = std::optional<std::string>;

  // A row whose expression fails points nowhere.
  static Key key_in(const result<std::optional<std::string_view>>& computed) { return computed && *computed ? Key(**computed) : Key(); }

  result<void> left_changed(const Row& row, Emit& out) {
    const auto value = row.value(buffer_);
    const bool had_left = row.change->old_value.has_value();
    const Key before = had_left ? key_in(on_.of(TableRow{*row.change->old_value, row.change->old_timestamp_ms, row.change->old_text, false})) : Key();
    result<void> failure;
    Key now;
    if (value) {
      const auto computed = on_.of(row);
      now = key_in(computed);
      if (!computed) failure = computed.error();
    }
    if (before != now) {
      if (before) pointing_->erase(name(*before, *row.key));
      if (now) pointing_->put(name(*now, *row.key), {});
    }
    // What made the result until now. The right row is the one of today: each of its changes made the result anew.
    const auto old_right = before ? right_->current(*before) : std::nullopt;
    const bool had_result = had_left && (old_right || pads_left());
    const Timestamp old_ms = old_right ? old_right->timestamp_ms : row.timestamp_ms;
    const auto right = now ? right_->current(*now) : std::nullopt;
    if (value && !now && !pads_left() && failure) out.dropped(1);
    if (value && (right || pads_left())) {
      const Side own{*value, is_text(row), &row};
      const Side other = right ? side_of(*right) : Side{};
      emit(row.key, &own, right ? &other : nullptr, std::max(row.timestamp_ms, right ? right->timestamp_ms : row.timestamp_ms), std::nullopt, out);
    } else if (had_result) {
      emit_tombstone(*row.key, std::max(row.timestamp_ms, old_ms), out);
    }
    return failure;
  }

  void right_changed(const Row& row, Emit& out) {
    const auto value = row.value(buffer_);
    const Side own{value.value_or(std::string_view()), is_text(row), &row};
    std::string prefix;
    put_ordered_key(prefix, *row.key);
    each_row(*pointing_, prefix, range_of_prefix(prefix).to, [&](std::string_view name, std::string_view) { joined_again(name.substr(prefix.size()), row, value ? &own : nullptr, out); });
  }

  void joined_again(std::string_view left_key, const Row& right, const Side* own, Emit& out) {
    const auto left = left_->current(left_key);
    if (!left) return;  // only after a read that failed, and then nothing is committed
    const Side other = side_of(*left);
    const Timestamp timestamp_ms = std::max(right.timestamp_ms, left->timestamp_ms);
    if (own != nullptr || pads_left()) emit(left_key, &other, own, timestamp_ms, std::nullopt, out);
    else if (right.change->old_value) emit_tombstone(left_key, timestamp_ms, out);
  }

  static std::string name(const std::string& key, std::string_view left_key) {
    std::string name;
    put_ordered_key(name, key);
    name += left_key;
    return name;
  }

  KeyOf on_;
  TableView* left_ = nullptr;
  TableView* right_ = nullptr;
  StateTable* pointing_ = nullptr;
  std::string buffer_;
};

}  // namespace

std::unique_ptr<Operator> make_foreign_key(const OperatorParts& parts) { return std::make_unique<ForeignKey>(parts); }

}  // namespace rivulet::pipeline
