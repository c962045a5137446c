// Table-table joins by key (SEMANTICS.md 19, D7): a change of either side gives the pair anew. Nothing is kept: both tables are there.
#include <algorithm>

#include "agent/base/check.h"
#include "agent/pipeline/join/joining.h"

namespace rivulet::pipeline {
namespace {

class TableTable final : public Joining {
 public:
  explicit TableTable(const OperatorParts& parts) : Joining(parts, "join tables") {
    const auto& join = std::get<config::Join>(parts.step.what);
    tables_[0] = table_of(parts, join.left_table);
    tables_[1] = table_of(parts, join.right_table);
  }
  void attach(StepState& state) override { keep_state(state); }

  result<void> process(std::size_t input, const Row& row, Emit& out) override {
    RV_CHECK(row.change != nullptr && row.key, "a table's changes come with what was before");
    if (!row.change->latest) {  // an older version of the row: the join is about the latest
      out.dropped(1);
      return {};
    }
    const auto value = row.value(buffer_);
    const Side own{value.value_or(std::string_view()), is_text(row), &row};
    const auto found = tables_[1 - input]->current(*row.key);
    const Side other = found ? side_of(*found) : Side{};
    const Timestamp timestamp_ms = std::max(row.timestamp_ms, found ? found->timestamp_ms : row.timestamp_ms);
    if (gives_row(input, value.has_value(), found.has_value())) {
      const Side* sides[2] = {nullptr, nullptr};
      if (value) sides[input] = &own;
      if (found) sides[1 - input] = &other;
      emit(row.key, sides[0], sides[1], timestamp_ms, std::nullopt, out);
    } else if (gives_row(input, row.change->old_value.has_value(), found.has_value())) {
      emit_tombstone(*row.key, timestamp_ms, out);
    }
    return {};
  }

 private:
  bool gives_row(std::size_t input, bool own, bool other) const {
    const bool left = input == 0 ? own : other, right = input == 0 ? other : own;
    return (left && right) || (left && pads_left()) || (right && pads_right());
  }

  TableView* tables_[2];
  std::string buffer_;
};

}  // namespace

std::unique_ptr<Operator> make_table_table(const OperatorParts& parts) { return std::make_unique<TableTable>(parts); }

}  // namespace rivulet::pipeline
