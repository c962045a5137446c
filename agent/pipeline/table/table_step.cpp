#include "agent/pipeline/table/table_step.h"

#include <limits>

#include "agent/pipeline/table/versions.h"

namespace rivulet::pipeline {
namespace {

constexpr std::size_t kKeptBytes = 64 * 1024;  // of each reused buffer

class TableStep : public Operator, public TableView {
 public:
  TableView* table() override { return this; }
  void attach(StepState& state) override { state_ = &state; }

  result<void> process(std::size_t, const Row& row, Emit& out) final {
    if (!row.key) {
      out.dropped(1);
      return {};
    }
    if (buffer_.capacity() > kKeptBytes) buffer_ = std::string();
    if (old_.capacity() > kKeptBytes) old_ = std::string();
    const auto value = row.value(buffer_);
    change_ = {};
    if (const auto before = current(*row.key)) {
      old_.assign(before->value);
      change_.old_value = old_;
      change_.old_text = before->text;
      change_.old_timestamp_ms = before->timestamp_ms;
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
  static result<bool> show_row(std::string_view bytes, ShownRow& shown) {
    const auto row = read_row(bytes);
    if (!row) return damaged();
    if (row->tombstone) return false;
    shown.timestamp_ms = row->timestamp_ms;
    shown.value.emplace();
    if (row->text) codec::append_json_string(*shown.value, row->value);
    else *shown.value = row->value;
    return true;
  }
  static Error damaged() { return {ErrorCode::corrupt, "a row of a table's state does not read"}; }

  StepState* state_ = nullptr;
  TableChange change_;
  std::string buffer_, old_;
};

class PlainTable final : public TableStep {
 public:
  std::string definition() const override { return "table"; }
  std::optional<TableRow> current(std::string_view key) override {
    const auto bytes = state_->table(kRowsPart).get(key);
    if (!bytes) return std::nullopt;
    auto row = read_row(*bytes);
    if (!row) state_->fail(damaged());
    return row;
  }
  std::optional<TableRow> as_of(std::string_view key, Timestamp) override { return current(key); }

  std::optional<Shown> shown() const override { return Shown{kRowsPart, false, {}}; }
  KeyRange shown_range(std::string_view key) const override { return {std::string(key), std::string(key) + '\0'}; }
  result<bool> show(std::string_view name, std::string_view bytes, ShownRow& row) override {
    row.key = name;
    return show_row(bytes, row);
  }

 private:
  static constexpr std::uint32_t kRowsPart = 1;
  bool keep(std::string_view key, const TableRow& row) override {
    if (row.tombstone) {
      state_->table(kRowsPart).erase(key);
      return true;
    }
    bytes_.clear();
    append_row(bytes_, row);
    state_->table(kRowsPart).put(key, bytes_);
    return true;
  }
  std::string bytes_;
};

class VersionedTable final : public TableStep {
 public:
  explicit VersionedTable(std::int64_t history_ms) : history_ms_(history_ms) {}
  std::string definition() const override { return "table history " + std::to_string(history_ms_); }
  void attach(StepState& state) override {
    TableStep::attach(state);
    versions_.emplace(state, history_ms_);
  }
  void save() override { versions_->save(); }
  std::optional<TableRow> current(std::string_view key) override { return versions_->current(key); }
  std::optional<TableRow> as_of(std::string_view key, Timestamp timestamp_ms) override { return versions_->as_of(key, timestamp_ms); }

  std::optional<Shown> shown() const override { return Shown{Versions::kRowsPart, true, {}}; }
  result<bool> show(std::string_view name, std::string_view bytes, ShownRow& row) override {
    std::optional<Timestamp> until_ms;
    if (!Versions::read_name(name, row.key, until_ms)) return damaged();
    auto is_row = show_row(bytes, row);
    if (is_row && *is_row) {
      row.window.start_ms = row.timestamp_ms;
      row.window.end_ms = until_ms.value_or(std::numeric_limits<Timestamp>::max());
    }
    return is_row;
  }

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
