#include "agent/pipeline/evaluator.h"

#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "agent/base/check.h"
#include "agent/codec/json.h"
#include "agent/pipeline/sql_text.h"

namespace rivulet::pipeline {
namespace {

constexpr int kMaxValueBytes = 32 << 20;
constexpr std::size_t kKeptBytes = 256 * 1024;
constexpr int kProgressSteps = 1'000'000;
constexpr int kProgressMax = 10;
constexpr unsigned kJsonSubtype = 74;  // sqlite.org/json1.html: the subtype of JSON values is 'J'
constexpr const char* kItem = "rivulet_item";

// Functions whose answer is not a matter of their arguments and the Clock, or that reach outside.
bool refused_function(const char* name) {
  for (const char* bad : {"random", "randomblob", "load_extension", "last_insert_rowid", "changes", "total_changes", "fts3_tokenizer", "readfile", "writefile", "edit", "sqlite_offset"})
    if (sqlite3_stricmp(name, bad) == 0) return true;
  return false;
}

int authorize(void* data, int action, const char*, const char* name, const char*, const char*) {
  auto* denied = static_cast<std::string*>(data);
  switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ: return SQLITE_OK;
    case SQLITE_FUNCTION:
      if (!refused_function(name)) return SQLITE_OK;
      *denied = std::string(name) + "() is not allowed: the same input must always give the same result";
      return SQLITE_DENY;
    default: *denied = "only a scalar expression is allowed"; return SQLITE_DENY;
  }
}

// The Clock seam: a VFS that is the default one but for the time and for opening files. One a connection; SQLite calls it with the
// VFS itself, so the Clock stands behind it.
struct ClockVfs : sqlite3_vfs {
  const Clock* clock = nullptr;
  std::string name;
  explicit ClockVfs(const Clock& time) : sqlite3_vfs(*sqlite3_vfs_find(nullptr)), clock(&time) {
    static std::atomic<int> made{0};
    name = "rivulet-expressions-" + std::to_string(made++);
    zName = name.c_str();
    pNext = nullptr;
    xOpen = [](sqlite3_vfs*, const char*, sqlite3_file* file, int, int*) {
      file->pMethods = nullptr;
      return SQLITE_CANTOPEN;
    };
    xCurrentTimeInt64 = [](sqlite3_vfs* self, sqlite3_int64* now) {
      *now = static_cast<ClockVfs*>(self)->clock->wall_ms() + 210'866'760'000'000;  // ms since the Julian epoch
      return SQLITE_OK;
    };
    xCurrentTime = [](sqlite3_vfs* self, double* now) {
      *now = (static_cast<double>(static_cast<ClockVfs*>(self)->clock->wall_ms()) + 210'866'760'000'000.0) / 86'400'000.0;
      return SQLITE_OK;
    };
    if (sqlite3_vfs_register(this, 0) != SQLITE_OK) throw std::runtime_error("expressions: SQLite refused a VFS");
  }
  ~ClockVfs() { sqlite3_vfs_unregister(this); }
};

// After "no such column: NAME": the name, else nothing.
std::string missing_column(const char* message) {
  static constexpr std::string_view prefix = "no such column: ";
  const std::string_view text = message == nullptr ? "" : message;
  return text.substr(0, prefix.size()) == prefix ? std::string(text.substr(prefix.size())) : std::string();
}

std::string quoted(const std::string& name) {
  std::string text = "\"";
  for (const char c : name) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + "\"";
}

}  // namespace

struct Evaluator::Impl {
  ClockVfs vfs;
  sqlite3* db = nullptr;
  std::string denied;
  int progress = 0;

  explicit Impl(const Clock& clock) : vfs(clock) {
    if (sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, vfs.zName) != SQLITE_OK)
      throw std::runtime_error(std::string("expressions: SQLite cannot be set up: ") + sqlite3_errmsg(db));
    sqlite3_exec(db, "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-64; PRAGMA trusted_schema=OFF", nullptr, nullptr, nullptr);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, kMaxValueBytes);
    sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_set_authorizer(db, authorize, &denied);
    sqlite3_progress_handler(db, kProgressSteps, [](void* self) { return ++static_cast<Impl*>(self)->progress > kProgressMax ? 1 : 0; }, this);
  }
  ~Impl() { sqlite3_close_v2(db); }
};

Evaluator::Evaluator(const Clock& clock) : impl_(std::make_unique<Impl>(clock)) {
  // (group, index, value) -> 1 or 0. It takes the value with its subtype, which a result column has lost.
  const int made = sqlite3_create_function_v2(impl_->db, kItem, 3, SQLITE_UTF8 | SQLITE_DIRECTONLY, nullptr, &Group::on_item, nullptr, nullptr, nullptr);
  if (made != SQLITE_OK) throw std::runtime_error("expressions: SQLite refused a function");
}
Evaluator::~Evaluator() = default;

Group::~Group() { sqlite3_finalize(statement_); }

bool Group::reads(std::string_view field) const { return std::find(fields_.begin(), fields_.end(), field) != fields_.end(); }

// SELECT CASE WHEN item(0, (a)) THEN CASE WHEN item(1, (b)) THEN 1 END END FROM (SELECT ?2 AS "x", ...): CASE is documented
// to evaluate no more than it needs. ?1 is the group itself.
result<sqlite3_stmt*> Group::compile(const std::vector<Item>& items, std::vector<std::string>& fields, bool in_where) const {
  sqlite3* db = evaluator_.impl_->db;
  for (;;) {
    std::string sql = in_where ? "SELECT 1 FROM (SELECT NULL" : "SELECT ";
    if (!in_where) {
      for (std::size_t i = 0; i < items.size(); ++i)
        sql += "CASE WHEN " + std::string(kItem) + "(?1, " + std::to_string(i) + ", (" + items[i].sql + "\n)) THEN ";
      sql += "1";
      for (std::size_t i = 0; i < items.size(); ++i) sql += " END";
      sql += " FROM (SELECT NULL";
    }
    for (std::size_t i = 0; i < fields.size(); ++i) sql += ", ?" + std::to_string(i + 2) + " AS " + quoted(fields[i]);
    sql += ")";
    if (in_where) sql += " WHERE (" + items.front().sql + "\n)";  // where an aggregate is misuse
    sqlite3_stmt* statement = nullptr;
    const char* tail = nullptr;
    evaluator_.impl_->denied.clear();
    if (sqlite3_prepare_v3(db, sql.c_str(), -1, SQLITE_PREPARE_PERSISTENT, &statement, &tail) == SQLITE_OK) {
      if (tail != nullptr && *tail != '\0') {
        sqlite3_finalize(statement);
        return Error{ErrorCode::invalid, "expected one expression, found more text after it"};
      }
      return statement;
    }
    const std::string name = missing_column(sqlite3_errmsg(db));
    if (name.empty() || fields.size() > 500) {
      if (!evaluator_.impl_->denied.empty()) return Error{ErrorCode::invalid, evaluator_.impl_->denied};
      return Error{ErrorCode::invalid, sqlite3_errmsg(db)};
    }
    if (std::find(fields.begin(), fields.end(), name) != fields.end()) {  // added, and still not found: SQLite reads a.b as table.column
      const std::size_t dot = name.find('.');
      if (dot == std::string::npos) return Error{ErrorCode::invalid, "'" + name + "' cannot be used as a field here"};
      return Error{ErrorCode::invalid, "'" + name + "' is no field; a value inside another is " + name.substr(0, dot) + " ->> '$." + name.substr(dot + 1) + "'"};
    }
    for (const std::string& known : fields)
      if (sqlite3_stricmp(known.c_str(), name.c_str()) == 0) return Error{ErrorCode::invalid, "the fields '" + known + "' and '" + name + "' differ only in case; use rename on one of them first"};
    fields.push_back(name);
  }
}

result<void> Group::add(ItemKind kind, const std::string& sql) {
  auto text = SqlText::analyse(sql);
  if (!text) return text.error();
  for (const std::string& word : text->identifiers)
    if (sqlite3_stricmp(word.c_str(), kItem) == 0) return Error{ErrorCode::invalid, "no such function: " + word};
  Item item{kind, sql, text->boolean, text->bare_field};
  std::vector<std::string> fields;
  auto scalar = compile({item}, fields, true);
  if (!scalar) {
    const std::string& message = scalar.error().message;
    if (message.find("misuse of aggregate") != std::string::npos) return Error{ErrorCode::invalid, message + "; it goes over many records and has no place in this step"};
    return scalar.error();
  }
  sqlite3_finalize(*scalar);
  for (const std::string& field : fields) {
    // SQLite compares names without case, fields are compared with it.
    for (const std::string& word : text->identifiers)
      if (word != field && sqlite3_stricmp(word.c_str(), field.c_str()) == 0) return Error{ErrorCode::invalid, "the fields '" + field + "' and '" + word + "' differ only in case; use rename on one of them first"};
  }
  // A bare word that SQLite did not take for a column (CURRENT_TIMESTAMP) is no field.
  if (!item.bare_field.empty() && std::find(fields.begin(), fields.end(), item.bare_field) == fields.end()) item.bare_field.clear();
  items_.push_back(std::move(item));
  for (const std::string& field : fields)
    if (!reads(field)) fields_.push_back(field);
  return {};
}

result<void> Group::prepare() {
  RV_CHECK(statement_ == nullptr && !items_.empty(), "a group is prepared once, with items");
  auto statement = compile(items_, fields_, false);
  if (!statement) return statement.error();
  statement_ = *statement;
  results_.resize(items_.size());
  spans_.resize(items_.size());
  unescaped_.resize(fields_.size());
  return {};
}

void Group::bind(const Row& row) {
  sqlite3_bind_pointer(statement_, 1, this, "rivulet-group", nullptr);
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    const int slot = static_cast<int>(i) + 2;
    const Field* field = row.find(fields_[i]);
    if (field == nullptr) {
      sqlite3_bind_null(statement_, slot);
      continue;
    }
    std::string_view token = field->token;
    const auto text = [&](std::string_view what) { sqlite3_bind_text64(statement_, slot, what.data() == nullptr ? "" : what.data(), what.size(), SQLITE_STATIC, SQLITE_UTF8); };
    if (field->text) {
      text(token);
    } else if (token.front() == '"') {
      text(codec::json_text(token, unescaped_[i]));
    } else if (token.front() == '{' || token.front() == '[') {
      text(token);
    } else if (token == "null") {
      sqlite3_bind_null(statement_, slot);
    } else if (token == "true" || token == "false") {
      sqlite3_bind_int(statement_, slot, token == "true" ? 1 : 0);
    } else {
      std::int64_t integer = 0;
      const auto parsed = std::from_chars(token.data(), token.data() + token.size(), integer);
      if (parsed.ec == std::errc() && parsed.ptr == token.data() + token.size()) {
        sqlite3_bind_int64(statement_, slot, integer);
      } else {
        double real = 0;
        const auto read = std::from_chars(token.data(), token.data() + token.size(), real);
        if (read.ec == std::errc()) sqlite3_bind_double(statement_, slot, real);
        else text(token);  // beyond a double: its text
      }
    }
  }
}

result<void> Group::take(std::size_t index, sqlite3_value* value, bool& pass) {
  const Item& item = items_[index];
  Result& result = results_[index];
  const int type = sqlite3_value_type(value);
  pass = true;
  result.null = type == SQLITE_NULL;
  const std::size_t start = text_.size();
  if (item.kind == ItemKind::condition) {
    pass = type == SQLITE_INTEGER ? sqlite3_value_int64(value) != 0 : type != SQLITE_NULL && sqlite3_value_double(value) != 0;
    return {};
  }
  const Field* field = item.bare_field.empty() ? nullptr : row_->find(item.bare_field);
  const bool as_text = item.kind == ItemKind::text;
  if (field != nullptr && !field->text && !(as_text && field->token.front() == '"')) {
    text_ += field->token;  // a bare field copies its token
  } else if (type == SQLITE_NULL) {
    if (!as_text) text_ += "null";
  } else if (type == SQLITE_INTEGER) {
    const std::int64_t number = sqlite3_value_int64(value);
    if (item.boolean) text_ += number != 0 ? "true" : "false";
    else text_ += std::to_string(number);
  } else if (type == SQLITE_FLOAT) {
    const double number = sqlite3_value_double(value);
    if (!std::isfinite(number)) return Error{ErrorCode::invalid, "the result is infinite, which JSON cannot say"};
    codec::append_json_double(text_, number);
  } else if (type == SQLITE_TEXT) {
    const std::string_view text(reinterpret_cast<const char*>(sqlite3_value_text(value)), static_cast<std::size_t>(sqlite3_value_bytes(value)));
    if (as_text || sqlite3_value_subtype(value) == kJsonSubtype) text_ += text;
    else codec::append_json_string(text_, text);
  } else {
    return Error{ErrorCode::invalid, "the result is a blob; hex() makes it text"};
  }
  spans_[index] = {start, text_.size() - start};
  return {};
}

void Group::on_item(sqlite3_context* context, int, sqlite3_value** values) {
  auto* group = static_cast<Group*>(sqlite3_value_pointer(values[0], "rivulet-group"));
  const auto index = static_cast<std::size_t>(sqlite3_value_int64(values[1]));
  if (group == nullptr || index >= group->items_.size()) return sqlite3_result_error(context, "not for use in expressions", -1);
  bool pass = false;
  if (auto taken = group->take(index, values[2], pass); !taken) return sqlite3_result_error(context, taken.error().message.c_str(), -1);
  if (pass) group->completed_ = index + 1;
  else group->stopped_ = true;
  sqlite3_result_int(context, pass ? 1 : 0);
}

Outcome Group::run(const Row& row) {
  RV_CHECK(statement_ != nullptr, "a group is prepared before it runs");
  row_ = &row;
  completed_ = 0;
  stopped_ = false;
  if (text_.capacity() > kKeptBytes) text_ = std::string();  // after one giant record
  text_.clear();
  evaluator_.impl_->progress = 0;
  bind(row);
  const int code = sqlite3_step(statement_);
  Outcome outcome;
  if (code != SQLITE_ROW) {
    outcome.kind = Outcome::Kind::failed;
    outcome.item = std::min(completed_, items_.size() - 1);
    outcome.reason = code == SQLITE_INTERRUPT ? "it takes too long" : sqlite3_errmsg(evaluator_.impl_->db);
  } else if (stopped_) {
    outcome.kind = Outcome::Kind::stopped;
    outcome.item = completed_;
  } else {
    for (std::size_t i = 0; i < items_.size(); ++i) results_[i].text = std::string_view(text_).substr(spans_[i].first, items_[i].kind == ItemKind::condition ? 0 : spans_[i].second);
  }
  sqlite3_reset(statement_);
  return outcome;
}

}  // namespace rivulet::pipeline
