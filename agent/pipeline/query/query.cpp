#include "agent/pipeline/query/query.h"

#include <sqlite3.h>

#include <fmt/core.h>

#include <algorithm>
#include <deque>
#include <map>

#include "agent/pipeline/query/shown_table.h"
#include "agent/pipeline/query/store_table.h"
#include "agent/pipeline/sandbox.h"

namespace rivulet::pipeline {
namespace {

constexpr int kLookEverySteps = 1000;  // of SQLite's machine, at the clock
constexpr int kCacheKiB = 1024;

struct WithoutCase {
  bool operator()(const std::string& a, const std::string& b) const { return sqlite3_stricmp(a.c_str(), b.c_str()) < 0; }
};

std::string listed(const std::vector<QueryTable>& tables) {
  std::string text;
  for (const QueryTable& table : tables)
    if (!table.names.empty()) text += (text.empty() ? "" : ", ") + ("\"" + table.names.back() + "\"");
  return "there are " + text;
}

int authorize(void* reading, int action, const char*, const char* name, const char*, const char*) {
  if (static_cast<const Reading*>(reading)->declaring) return SQLITE_OK;
  switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE: return SQLITE_OK;
    case SQLITE_FUNCTION: return sqlite3_stricmp(name, "load_extension") == 0 ? SQLITE_DENY : SQLITE_OK;
    default: return SQLITE_DENY;
  }
}

class Run {
 public:
  Run(const Clock& clock, const QueryLimits& limits) : clock_(clock), limits_(limits), end_ms_(clock.steady_ms() + limits.read_ms) {}
  ~Run() {
    sqlite3_finalize(statement_);
    sqlite3_close_v2(db_);
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  bool late() const { return clock_.steady_ms() >= end_ms_; }

  result<void> open(Reading& reading) {
    if (sqlite3_open_v2(":memory:", &db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr) != SQLITE_OK) return error();
    const std::string pragmas = fmt::format("PRAGMA temp_store=FILE; PRAGMA cache_size=-{}; PRAGMA trusted_schema=OFF", kCacheKiB);
    if (sqlite3_exec(db_, pragmas.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) return error();
    sqlite3_db_config(db_, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
    sqlite3_db_config(db_, SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
    sqlite3_db_config(db_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_limit(db_, SQLITE_LIMIT_LENGTH, kMaxValueBytes);
    sqlite3_limit(db_, SQLITE_LIMIT_ATTACHED, 0);
    // SQLite's own tables of JSON, made while it may still make something.
    if (sqlite3_exec(db_, "SELECT 1 FROM json_each('[]'), json_tree('[]')", nullptr, nullptr, nullptr) != SQLITE_OK) return error();
    sqlite3_set_authorizer(db_, authorize, &reading);
    sqlite3_progress_handler(db_, kLookEverySteps, [](void* self) { return static_cast<Run*>(self)->late() ? 1 : 0; }, this);
    return {};
  }
  template <class Table>
  result<void> add(const std::string& name, Table& table) { return add_table(db_, name, table); }

  result<void> prepare(const std::string& sql, const std::vector<QueryTable>& tables) {
    const char* tail = nullptr;
    if (sqlite3_prepare_v2(db_, sql.c_str(), static_cast<int>(sql.size()) + 1, &statement_, &tail) != SQLITE_OK) {
      Error why = error();
      const std::string_view text = sqlite3_errmsg(db_);
      if (text.find("may not be modified") != std::string_view::npos) return only_select();
      if (text.rfind("no such table: ", 0) == 0) why.message += "; " + listed(tables);
      return why;
    }
    if (statement_ == nullptr) return Error{ErrorCode::invalid, "query: expected a SELECT, found nothing"};
    if (sqlite3_stmt_readonly(statement_) == 0) return only_select();
    sqlite3_stmt* more = nullptr;
    const int code = sqlite3_prepare_v2(db_, tail, -1, &more, nullptr);
    sqlite3_finalize(more);
    if (code != SQLITE_OK || more != nullptr) return Error{ErrorCode::invalid, "query: expected one SELECT, found more text after it"};
    return {};
  }

  result<void> run(QueryRows& rows) {
    std::vector<std::string> names;
    for (int i = 0; i < sqlite3_column_count(statement_); ++i) names.emplace_back(sqlite3_column_name(statement_, i));
    if (auto told = rows.columns(names); !told) return told;
    std::vector<QueryValue> values(names.size());
    for (;;) {
      if (late()) return too_long();
      const int code = sqlite3_step(statement_);
      if (code == SQLITE_DONE) return {};
      if (code != SQLITE_ROW) return error();
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = value(static_cast<int>(i));
      if (auto told = rows.row(values); !told) return told;
    }
  }

  Error error() const {
    const int code = db_ == nullptr ? SQLITE_NOMEM : sqlite3_errcode(db_);
    if (code == SQLITE_INTERRUPT) return too_long();
    if (code == SQLITE_AUTH) return only_select();
    if (code == SQLITE_NOMEM) return {ErrorCode::full, "query: out of memory; ask for less at once"};
    if (code == SQLITE_CANTOPEN || code == SQLITE_FULL || code == SQLITE_IOERR)
      return {ErrorCode::io, std::string("query: no room to sort or group in: ") + sqlite3_errmsg(db_) + "; set TMPDIR to a folder with room, or ask for less"};
    return {ErrorCode::invalid, std::string("query: ") + sqlite3_errmsg(db_)};
  }

 private:
  static Error only_select() { return {ErrorCode::denied, "query: only SELECT is allowed; a query changes nothing and reads nothing but the tables of the configuration"}; }
  Error too_long() const {
    return {ErrorCode::unavailable, fmt::format("query: was not done within {:.3g} s, and the agent's log must not wait longer for a reader; ask for less: one key, a LIMIT, or join over a "
                                                "WITH ... AS MATERIALIZED", static_cast<double>(limits_.read_ms) / 1000)};
  }
  QueryValue value(int at) const {
    const auto bytes = [&](const void* data) { return std::string_view(static_cast<const char*>(data == nullptr ? "" : data), static_cast<std::size_t>(sqlite3_column_bytes(statement_, at))); };
    switch (sqlite3_column_type(statement_, at)) {
      case SQLITE_INTEGER: return std::int64_t{sqlite3_column_int64(statement_, at)};
      case SQLITE_FLOAT: return sqlite3_column_double(statement_, at);
      case SQLITE_TEXT: return bytes(sqlite3_column_text(statement_, at));
      case SQLITE_BLOB: return Blob{bytes(sqlite3_column_blob(statement_, at))};
      default: return std::monostate{};
    }
  }

  const Clock& clock_;
  const QueryLimits limits_;
  const std::int64_t end_ms_;
  sqlite3* db_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
};

}  // namespace

std::vector<QueryTable> query_tables(const Topology& topology, std::vector<std::string>& clashes) {
  const auto steps = topology.shown_steps();
  std::map<std::string, std::size_t, WithoutCase> whole;  // how many steps would have the name
  std::map<std::string, std::size_t> of_pipeline;
  for (const auto& step : steps) {
    ++whole[step.pipeline + "." + step.step];
    ++of_pipeline[step.pipeline];
  }
  std::map<std::string, std::size_t, WithoutCase> alone;
  for (const auto& [name, count] : of_pipeline) ++alone[name];
  std::vector<QueryTable> tables;
  for (const auto& step : steps) {
    QueryTable table{{}, step.pipeline, step.step, columns_of(*step.stateful->shown())};
    const std::string name = step.pipeline + "." + step.step;
    if (whole[name] == 1) table.names.push_back(name);
    if (of_pipeline[step.pipeline] == 1 && alone[step.pipeline] == 1 && whole.count(step.pipeline) == 0) table.names.push_back(step.pipeline);
    if (table.names.empty()) clashes.push_back("step '" + step.step + "' of pipeline '" + step.pipeline + "' cannot be asked for: another one is called " + name + " too, in SQL");
    tables.push_back(std::move(table));
  }
  return tables;
}

std::vector<QueryTable> store_tables(const std::vector<QueryTable>& tables) {
  const auto taken = [&](const std::string& name) {
    return std::any_of(tables.begin(), tables.end(), [&](const QueryTable& table) {
      return std::any_of(table.names.begin(), table.names.end(), [&](const std::string& one) { return sqlite3_stricmp(one.c_str(), name.c_str()) == 0; });
    });
  };
  std::vector<QueryTable> found;
  for (const auto kind : {StoreTable::Kind::outbox, StoreTable::Kind::quarantine}) {
    const std::string name = kind == StoreTable::Kind::outbox ? "outbox" : "quarantine";
    QueryTable table{{}, {}, name, columns_of(kind)};
    for (const std::string& candidate : {"store." + name, name})
      if (!taken(candidate)) table.names.push_back(candidate);
    found.push_back(std::move(table));
  }
  return found;
}

result<void> query(const Topology& topology, const std::string& directory, const Clock& clock, const QueryLimits& limits, const std::string& sql, QueryRows& rows) {
  std::vector<std::string> clashes;
  const std::vector<QueryTable> tables = query_tables(topology, clashes);
  const auto steps = topology.shown_steps();
  const QueryLimits bounded = limits;
  std::unique_ptr<store::StateSnapshot> snapshot;  // these four outlive the connection
  std::unique_ptr<Reading> reading;
  std::deque<ShownTable> shown;
  std::deque<StoreTable> stored;
  Run run(clock, bounded);
  const auto late = [&run] { return run.late(); };
  auto opened = store::StateSnapshot::open(directory, late);
  if (!opened) return opened.error();
  snapshot = std::move(*opened);
  reading.reset(new Reading{*snapshot, late});
  if (auto done = run.open(*reading); !done) return done;
  for (std::size_t i = 0; i < tables.size(); ++i)
    for (const std::string& name : tables[i].names) {
      shown.push_back({steps[i], *steps[i].stateful->shown(), tables[i].columns, reading.get()});
      if (auto added = run.add(name, shown.back()); !added) return added;
    }
  std::vector<QueryTable> all = tables;
  for (QueryTable& table : store_tables(tables)) {
    for (const std::string& name : table.names) {
      stored.push_back({table.step == "outbox" ? StoreTable::Kind::outbox : StoreTable::Kind::quarantine, reading.get()});
      if (auto added = run.add(name, stored.back()); !added) return added;
    }
    all.push_back(std::move(table));
  }
  if (auto done = run.prepare(sql, all); !done) return done;
  return run.run(rows);
}

}  // namespace rivulet::pipeline
