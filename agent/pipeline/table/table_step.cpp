#include "agent/pipeline/table/table_step.h"

#include "agent/pipeline/table/versions.h"

namespace rivulet::pipeline {
namespace {

class TableStep : public Operator, public TableView {
 public:
  TableView* table() override { return this; }

  result<void> process(std::size_t, const Row& row, Emit& out) final {
    if (!row.key) {
      out.dropped(1);
      return {};
    }
    const auto value = row.value(buffer_);
    change_ = {};
    if (const auto before = current(*row.key)) {
      old_.assign(before->value);
      change_.old_value = old_;
      change_.old_text = before->text;
    }
    if (!keep(*row.key, {value.value_or(std::string_view()), row.timestamp_ms, is_text(row), !value})) {
      out.dropped(1);
      return {};
    }
    Emitted result;
    result.key = row.key;
    result.value = value;
    result.timestamp_ms = row.timestamp_ms;
    result.text = is_text(row);
    result.change = &change_;
    out.emit(result);
    return {};
  }

 protected:
  virtual bool keep(std::string_view key, const TableRow& row) = 0;  // false: too old

  TableChange change_;
  std::string buffer_, old_;
};

class PlainTable final : public TableStep {
 public:
  std::string definition() const override { return "table"; }
  void attach(StepState& state) override { rows_ = &state.table(0); }
  std::optional<TableRow> current(std::string_view key) override {
    const auto bytes = rows_->get(key);
    if (!bytes) return std::nullopt;
    return read_row(*bytes);
  }
  std::optional<TableRow> as_of(std::string_view key, Timestamp) override { return current(key); }

 private:
  bool keep(std::string_view key, const TableRow& row) override {
    if (row.tombstone) {
      rows_->erase(key);
      return true;
    }
    bytes_.clear();
    append_row(bytes_, row);
    rows_->put(key, bytes_);
    return true;
  }
  StateTable* rows_ = nullptr;
  std::string bytes_;
};

class VersionedTable final : public TableStep {
 public:
  explicit VersionedTable(std::int64_t history_ms) : history_ms_(history_ms) {}
  std::string definition() const override { return "table history " + std::to_string(history_ms_); }
  void attach(StepState& state) override { versions_.emplace(state.table(0), state.table(1), state.table(2), state.table(3), history_ms_); }
  void save() override { versions_->save(); }
  std::optional<TableRow> current(std::string_view key) override { return versions_->current(key); }
  std::optional<TableRow> as_of(std::string_view key, Timestamp timestamp_ms) override { return versions_->as_of(key, timestamp_ms); }

 private:
  bool keep(std::string_view key, const TableRow& row) override {
    const Versions::Put put = versions_->put(key, row);
    change_.latest = put != Versions::Put::older;
    return put != Versions::Put::expired;
  }
  const std::int64_t history_ms_;
  std::optional<Versions> versions_;
};

}  // namespace

std::unique_ptr<Operator> make_table(const OperatorParts& parts) {
  const auto& table = std::get<config::Table>(parts.step.what);
  if (table.history_ms) return std::make_unique<VersionedTable>(*table.history_ms);
  return std::make_unique<PlainTable>();
}

}  // namespace rivulet::pipeline
