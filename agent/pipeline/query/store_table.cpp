#include "agent/pipeline/query/store_table.h"

#include <sqlite3.h>

#include <memory>
#include <optional>

#include "agent/base/check.h"
#include "agent/codec/json.h"
#include "store/outbox_scan.h"

namespace rivulet::pipeline {
namespace {

constexpr double kWholeCost = 1e7, kOneStreamCost = 1e5;
constexpr int kOneStream = 1;  // idxNum: the first argument is a stream's name

class Rows {
 public:
  virtual ~Rows() = default;
  virtual result<bool> next() = 0;
  virtual void column(sqlite3_context* context, int at) = 0;

 protected:
  void text(sqlite3_context* context, std::optional<std::string_view> bytes) {
    if (!bytes) return sqlite3_result_null(context);
    const char* const data = bytes->data() == nullptr ? "" : bytes->data();
    if (codec::as_utf8(*bytes, repaired_).data() != bytes->data()) sqlite3_result_blob64(context, data, bytes->size(), SQLITE_TRANSIENT);
    else sqlite3_result_text64(context, data, bytes->size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  }

 private:
  std::string repaired_;
};

class OutboxRows final : public Rows {
 public:
  explicit OutboxRows(std::unique_ptr<store::OutboxScan> scan) : scan_(std::move(scan)) {}
  result<bool> next() override { return scan_->next(); }
  void column(sqlite3_context* context, int at) override {
    const store::PackRecord& record = scan_->record();
    switch (at) {
      case 0: return text(context, scan_->stream());
      case 1: return text(context, scan_->topic());
      case 2: return sqlite3_result_int64(context, static_cast<std::int64_t>(scan_->sequence()));
      case 3: return text(context, record.key);
      case 4: return text(context, record.value);
      case 5: return scan_->gap() ? sqlite3_result_null(context) : sqlite3_result_int64(context, record.timestamp_ms);
      case 6: return record.window ? sqlite3_result_int64(context, record.window->start_ms) : sqlite3_result_null(context);
      case 7: return record.window ? sqlite3_result_int64(context, record.window->end_ms) : sqlite3_result_null(context);
      default: return scan_->gap() ? text(context, *scan_->gap()) : sqlite3_result_null(context);
    }
  }

 private:
  std::unique_ptr<store::OutboxScan> scan_;
};

class QuarantineRows final : public Rows {
 public:
  explicit QuarantineRows(store::Statement rows) : rows_(std::move(rows)) {}
  result<bool> next() override { return rows_.step(); }
  void column(sqlite3_context* context, int at) override {
    if (at == 0 || at == 1 || at == 9) return sqlite3_result_int64(context, rows_.integer(at));
    if (at == 7 || at == 8) {
      const auto bytes = rows_.optional_bytes(at);
      return text(context, bytes ? std::optional<std::string_view>(*bytes) : std::nullopt);
    }
    text(context, rows_.bytes(at));
  }

 private:
  store::Statement rows_;
};

result<std::unique_ptr<Rows>> rows_of(const StoreTable& table, const std::optional<std::string>& stream) {
  store::StateSnapshot& snapshot = table.reading->snapshot;
  if (table.kind == StoreTable::Kind::outbox) {
    auto scan = store::OutboxScan::begin(snapshot, stream);
    if (!scan) return scan.error();
    return std::unique_ptr<Rows>(std::make_unique<OutboxRows>(std::move(*scan)));
  }
  auto rows = snapshot.connection().prepare("SELECT id, at_ms, source, pipeline, step, reason, topic, key, value, timestamp_ms FROM quarantine ORDER BY id");
  if (!rows) return rows.error();
  return std::unique_ptr<Rows>(std::make_unique<QuarantineRows>(std::move(*rows)));
}

struct Table : sqlite3_vtab {
  StoreTable* what = nullptr;
  int fail(const Error& error) {
    if (what->reading->stop()) return SQLITE_INTERRUPT;
    sqlite3_free(zErrMsg);
    zErrMsg = sqlite3_mprintf("%s", error.message.c_str());
    return SQLITE_ERROR;
  }
};

struct Cursor : sqlite3_vtab_cursor {
  Table& table;
  std::unique_ptr<Rows> rows;
  bool end = true;
  std::int64_t number = 0;

  explicit Cursor(Table& of) : sqlite3_vtab_cursor{}, table(of) {}
  int filter(const std::optional<std::string>& stream) {
    end = true;
    auto begun = rows_of(*table.what, stream);
    if (!begun) return table.fail(begun.error());
    rows = std::move(*begun);
    return next();
  }
  int next() {
    if (table.what->reading->stop()) return SQLITE_INTERRUPT;
    auto more = rows->next();
    if (!more) return table.fail(more.error());
    end = !*more;
    ++number;
    return SQLITE_OK;
  }
};

int connect(sqlite3* db, void* data, int, const char* const*, sqlite3_vtab** made, char** message) {
  auto* what = static_cast<StoreTable*>(data);
  std::string declared = "CREATE TABLE x(";
  for (const std::string& column : columns_of(what->kind)) declared += (declared.back() == '(' ? "\"" : ", \"") + column + "\"";
  what->reading->declaring = true;
  const int code = sqlite3_declare_vtab(db, (declared + ")").c_str());
  what->reading->declaring = false;
  if (code != SQLITE_OK) {
    *message = sqlite3_mprintf("its columns: %s", sqlite3_errmsg(db));
    return code;
  }
  auto* table = new Table{};
  table->what = what;
  *made = table;
  return SQLITE_OK;
}

int best_index(sqlite3_vtab* base, sqlite3_index_info* info) {
  const auto* table = static_cast<Table*>(base);
  info->estimatedCost = kWholeCost;
  info->estimatedRows = static_cast<sqlite3_int64>(kWholeCost);
  if (table->what->kind != StoreTable::Kind::outbox) return SQLITE_OK;
  for (int i = 0; i < info->nConstraint; ++i) {
    const auto& constraint = info->aConstraint[i];
    if (constraint.usable == 0 || constraint.iColumn != 0 || constraint.op != SQLITE_INDEX_CONSTRAINT_EQ || sqlite3_stricmp(sqlite3_vtab_collation(info, i), "BINARY") != 0) continue;
    info->aConstraintUsage[i].argvIndex = 1;  // SQLite compares again
    info->idxNum = kOneStream;
    info->estimatedCost = kOneStreamCost;
    info->estimatedRows = static_cast<sqlite3_int64>(kOneStreamCost);
    break;
  }
  return SQLITE_OK;
}

int filter(sqlite3_vtab_cursor* base, int index, const char*, int, sqlite3_value** values) {
  std::optional<std::string> stream;
  if (index == kOneStream && sqlite3_value_type(values[0]) == SQLITE_TEXT) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_value_text(values[0]));
    if (text == nullptr) return SQLITE_NOMEM;
    stream.emplace(text, static_cast<std::size_t>(sqlite3_value_bytes(values[0])));
  }
  return static_cast<Cursor*>(base)->filter(stream);
}

const sqlite3_module& module() {
  static const sqlite3_module module = [] {
    sqlite3_module made{};
    made.xConnect = connect;  // and no xCreate: eponymous only
    made.xBestIndex = best_index;
    made.xDisconnect = [](sqlite3_vtab* table) { return delete static_cast<Table*>(table), SQLITE_OK; };
    made.xOpen = [](sqlite3_vtab* table, sqlite3_vtab_cursor** cursor) { return *cursor = new Cursor(*static_cast<Table*>(table)), SQLITE_OK; };
    made.xClose = [](sqlite3_vtab_cursor* cursor) { return delete static_cast<Cursor*>(cursor), SQLITE_OK; };
    made.xFilter = filter;
    made.xNext = [](sqlite3_vtab_cursor* cursor) { return static_cast<Cursor*>(cursor)->next(); };
    made.xEof = [](sqlite3_vtab_cursor* cursor) { return static_cast<Cursor*>(cursor)->end ? 1 : 0; };
    made.xColumn = [](sqlite3_vtab_cursor* cursor, sqlite3_context* context, int at) { return static_cast<Cursor*>(cursor)->rows->column(context, at), SQLITE_OK; };
    made.xRowid = [](sqlite3_vtab_cursor* cursor, sqlite3_int64* id) { return *id = static_cast<Cursor*>(cursor)->number, SQLITE_OK; };
    return made;
  }();
  return module;
}

}  // namespace

std::vector<std::string> columns_of(StoreTable::Kind kind) {
  if (kind == StoreTable::Kind::outbox) return {"stream", "topic", "seq", "key", "value", "ts", "window_start", "window_end", "gap"};
  return {"id", "at", "source", "pipeline", "step", "reason", "topic", "key", "value", "ts"};
}

result<void> add_table(sqlite3* db, const std::string& name, StoreTable& table) {
  RV_CHECK(table.reading != nullptr, "a table is made to be read");
  if (sqlite3_create_module_v2(db, name.c_str(), &module(), &table, nullptr) == SQLITE_OK) return {};
  return Error{ErrorCode::io, "query: the table " + name + " cannot be made: " + sqlite3_errmsg(db)};
}

}  // namespace rivulet::pipeline
