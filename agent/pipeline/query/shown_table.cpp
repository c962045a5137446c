#include "agent/pipeline/query/shown_table.h"

#include <sqlite3.h>

#include <algorithm>

#include "agent/base/check.h"
#include "agent/codec/json.h"
#include "agent/pipeline/values.h"

namespace rivulet::pipeline {
namespace {

constexpr int kByKey = 1;  // idxNum: the first argument is a key
constexpr double kWholeCost = 1e6, kByKeyCost = 10;

std::string quoted_name(const std::string& name) {
  std::string text = "\"";
  for (const char c : name) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + "\"";
}

struct Table : sqlite3_vtab {
  ShownTable* what = nullptr;
  std::optional<std::uint32_t> step;  // in the store; none: it has not run yet
  int fail(const Error& error) {
    if (what->reading->stop()) return SQLITE_INTERRUPT;
    sqlite3_free(zErrMsg);
    zErrMsg = sqlite3_mprintf("step '%s' of pipeline '%s': %s", what->step.step.c_str(), what->step.pipeline.c_str(), error.message.c_str());
    return SQLITE_ERROR;
  }
};

// The columns around the value's fields.
struct Layout {
  std::size_t fields_at, fields, ts;
  explicit Layout(const Shown& shown) : fields_at(shown.windowed ? 3 : 1), fields(shown.fields.empty() ? 1 : shown.fields.size()), ts(fields_at + fields) {}
};

struct Cursor : sqlite3_vtab_cursor {
  Table& table;
  const Layout layout;
  std::unique_ptr<store::StateSnapshot::Scan> scan;
  ShownRow row;
  codec::JsonDocument json;
  std::string buffer;
  bool parsed = false, end = true;
  std::int64_t number = 0;

  explicit Cursor(Table& of) : sqlite3_vtab_cursor{}, table(of), layout(of.what->shown) {}

  int filter(const KeyRange& range) {
    scan.reset();
    end = true;
    if (!table.step) return SQLITE_OK;
    auto begun = table.what->reading->snapshot.scan(*table.step * store::kStateParts + table.what->shown.part, range.from, range.to);
    if (!begun) return table.fail(begun.error());
    scan = std::move(*begun);
    end = false;
    return next();
  }
  int next() {
    for (;;) {  // rows without a result are none
      if (table.what->reading->stop()) return SQLITE_INTERRUPT;
      auto more = scan->next();
      if (!more) return table.fail(more.error());
      end = !*more;
      if (end) return SQLITE_OK;
      auto is_row = table.what->step.stateful->show(scan->key(), scan->value(), row);
      if (!is_row) return table.fail(is_row.error());
      if (*is_row) break;
    }
    ++number;
    parsed = false;
    return SQLITE_OK;
  }
  int column(sqlite3_context* context, std::size_t at) {
    if (at == 0) {
      const std::string_view text = codec::as_utf8(row.key, buffer);
      sqlite3_result_text64(context, text.data() == nullptr ? "" : text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    } else if (at == layout.ts) {
      sqlite3_result_int64(context, row.timestamp_ms);
    } else if (at < layout.fields_at) {
      sqlite3_result_int64(context, at == 1 ? row.window.start_ms : row.window.end_ms);
    } else if (!row.value) {
      sqlite3_result_null(context);
    } else if (table.what->shown.fields.empty()) {
      const std::string_view text = codec::as_utf8(*row.value, buffer);
      sqlite3_result_text64(context, text.data() == nullptr ? "" : text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    } else {
      return field(context, at - layout.fields_at);
    }
    return SQLITE_OK;
  }
  int field(sqlite3_context* context, std::size_t at) {
    if (!parsed) {
      if (auto read = json.parse(*row.value); !read) return table.fail(read.error());
      parsed = true;
    }
    const auto& fields = json.fields();
    if (at >= fields.size()) return table.fail({ErrorCode::corrupt, "its result has too few fields"});
    result_token(context, fields[at].token);
    return SQLITE_OK;
  }
};

int connect(sqlite3* db, void* data, int, const char* const*, sqlite3_vtab** made, char** message) {
  auto* what = static_cast<ShownTable*>(data);
  std::string declared = "CREATE TABLE x(";
  for (std::size_t i = 0; i < what->columns.size(); ++i) declared += (i == 0 ? "" : ", ") + quoted_name(what->columns[i]);
  what->reading->declaring = true;
  const int code = sqlite3_declare_vtab(db, (declared + ")").c_str());
  what->reading->declaring = false;
  if (code != SQLITE_OK) {
    *message = sqlite3_mprintf("its columns: %s", sqlite3_errmsg(db));
    return code;
  }
  auto step = what->reading->snapshot.step(what->step.pipeline, what->step.step);
  if (step && *step && (*step)->definition != what->step.definition) step = store::definition_changed(what->step.pipeline, what->step.step);
  if (!step) {
    *message = sqlite3_mprintf("%s", step.error().message.c_str());
    return SQLITE_ERROR;
  }
  auto* table = new Table{};
  table->what = what;
  if (*step) table->step = (*step)->id;
  *made = table;
  return SQLITE_OK;
}

int best_index(sqlite3_vtab* base, sqlite3_index_info* info) {
  const auto* table = static_cast<Table*>(base);
  info->estimatedCost = kWholeCost;
  info->estimatedRows = static_cast<sqlite3_int64>(kWholeCost);
  const KeyRange range = table->what->step.stateful->shown_range("k");
  if (range.from.empty() && range.to.empty()) return SQLITE_OK;
  for (int i = 0; i < info->nConstraint; ++i) {
    const auto& constraint = info->aConstraint[i];
    if (constraint.usable == 0 || constraint.iColumn != 0 || constraint.op != SQLITE_INDEX_CONSTRAINT_EQ || sqlite3_stricmp(sqlite3_vtab_collation(info, i), "BINARY") != 0) continue;
    info->aConstraintUsage[i].argvIndex = 1;  // SQLite compares again: only text narrows the scan
    info->idxNum = kByKey;
    info->estimatedCost = kByKeyCost;
    info->estimatedRows = static_cast<sqlite3_int64>(kByKeyCost);
    break;
  }
  return SQLITE_OK;
}

int filter(sqlite3_vtab_cursor* base, int index, const char*, int, sqlite3_value** values) {
  auto* cursor = static_cast<Cursor*>(base);
  KeyRange range;
  if (index == kByKey && sqlite3_value_type(values[0]) == SQLITE_TEXT) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_value_text(values[0]));
    if (text == nullptr) return SQLITE_NOMEM;
    const std::string_view key(text, static_cast<std::size_t>(sqlite3_value_bytes(values[0])));
    // A key that is not UTF-8 is shown with U+FFFD in it: it is not where this one would be.
    if (key.find("\xEF\xBF\xBD") == std::string_view::npos) range = cursor->table.what->step.stateful->shown_range(key);
  }
  return cursor->filter(range);
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
    made.xColumn = [](sqlite3_vtab_cursor* cursor, sqlite3_context* context, int at) { return static_cast<Cursor*>(cursor)->column(context, static_cast<std::size_t>(at)); };
    made.xRowid = [](sqlite3_vtab_cursor* cursor, sqlite3_int64* id) { return *id = static_cast<Cursor*>(cursor)->number, SQLITE_OK; };
    return made;
  }();
  return module;
}

}  // namespace

std::vector<std::string> columns_of(const Shown& shown) {
  std::vector<std::string> columns{"key"};
  if (shown.windowed) columns.insert(columns.end(), {"window_start", "window_end"});
  const auto add = [&](const std::string& name) {
    const auto taken = [&](const std::string& candidate) {
      return sqlite3_stricmp(candidate.c_str(), "ts") == 0 || std::any_of(columns.begin(), columns.end(), [&](const std::string& one) { return sqlite3_stricmp(one.c_str(), candidate.c_str()) == 0; });
    };
    std::string candidate = name;
    for (int n = 2; taken(candidate); ++n) candidate = name + "_" + std::to_string(n);
    columns.push_back(candidate);
  };
  if (shown.fields.empty()) columns.emplace_back("value");
  for (const std::string& field : shown.fields) add(field);
  columns.emplace_back("ts");
  return columns;
}

result<void> add_table(sqlite3* db, const std::string& name, ShownTable& table) {
  RV_CHECK(table.reading != nullptr, "a table is made to be read");
  if (sqlite3_create_module_v2(db, name.c_str(), &module(), &table, nullptr) == SQLITE_OK) return {};
  return Error{ErrorCode::io, "query: the table " + name + " cannot be made: " + sqlite3_errmsg(db)};
}

}  // namespace rivulet::pipeline
