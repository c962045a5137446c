// An aggregate over a table's rows (SEMANTICS.md 13): a row that changes takes back what it gave and gives anew.
//
// What a row gives depends on the row alone: nothing where its group is null or an expression over it fails, which is why it can be taken back
// without a note of it. A row that fails is quarantined; what its predecessor gave is taken back all the same.
#include "agent/base/check.h"
#include "agent/pipeline/sql_text.h"
#include "agent/pipeline/stateful/unwindowed.h"
#include "agent/pipeline/table/table_view.h"

namespace rivulet::pipeline {
namespace {

class TableGroups final : public Unwindowed {
 public:
  explicit TableGroups(const OperatorParts& parts) : Unwindowed(parts) {
    if (!config_.by) return;
    if (const auto text = SqlText::analyse(config_.by->sql); text && text->clock) parts.problems.push_back({config_.by->at, parts.step.path + ".by", kReadsClock, false});
  }

  result<void> process(std::size_t, const Row& row, Emit& out) override {
    RV_CHECK(row.change != nullptr && row.key, "a table's changes come with what was before");
    if (!row.change->latest) {  // an older version of the row: groups are of the latest
      out.dropped(1);
      return {};
    }
    result<void> failure;
    const Group now = row.bytes ? taken(row, failure) : std::nullopt;
    const Group before = taken_before(row);  // the aggregates have it now
    if (before) {
      Entry& entry = of(*before);
      take_back(entry, row.timestamp_ms);
      if (before != now) changed(*before, {}, entry, out);
    }
    if (now) {
      if (auto again = aggregates_->take(row); !again) return again;
      arrived();
      add(*now, row.timestamp_ms, row, 0, out);
    }
    return failure;
  }

 private:
  using Group = std::optional<std::string>;

  // The row's group, with the row in the aggregates; nothing: it gives nothing.
  Group taken(const Row& row, result<void>& failure) {
    auto has_key = check_time(row.timestamp_ms) ? find_key(row) : result<bool>(check_time(row.timestamp_ms).error());
    if (!has_key) return failure = has_key.error(), std::nullopt;
    if (!*has_key) return std::nullopt;
    Group group(key());
    if (auto done = aggregates_->take(row); !done) return failure = done.error(), std::nullopt;
    return group;
  }

  Group taken_before(const Row& row) {
    const TableChange& change = *row.change;
    if (!change.old_value) return std::nullopt;
    auto old = old_.of({*change.old_value, change.old_timestamp_ms, change.old_text, false});
    if (!old) return std::nullopt;
    old_row_ = **old;
    old_row_.key = row.key;
    result<void> ignored;  // it was told when it came
    return taken(old_row_, ignored);
  }

  StoredRow old_;
  Row old_row_;
};

}  // namespace

std::unique_ptr<Operator> make_table_groups(const OperatorParts& parts) { return std::make_unique<TableGroups>(parts); }

}  // namespace rivulet::pipeline
