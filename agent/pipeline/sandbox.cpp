#include "agent/pipeline/sandbox.h"

#include <sqlite3.h>

#include <atomic>
#include <cctype>
#include <stdexcept>
#include <string_view>

namespace rivulet::pipeline {
namespace {

constexpr int kProgressSteps = 1'000'000;
constexpr int kProgressMax = 10;
constexpr int kMaxPatternBytes = 1000;  // LIKE and GLOB go over the text once more for each % or *
constexpr std::int64_t kJulian1970Ms = 210'866'760'000'000;

// Functions whose answer is not a matter of their arguments and the Clock, that reach outside, or that need a table.
bool refused_function(const char* name) {
  for (const char* bad : {"random", "randomblob", "load_extension", "last_insert_rowid", "changes", "total_changes", "readfile", "writefile", "edit", "sqlite_offset", "sqlite_log",
                          "fts3_tokenizer", "fts5", "fts5_source_id", "bm25", "highlight", "snippet", "match", "matchinfo", "offsets", "optimize", "rtreecheck", "rtreedepth", "rtreenode"})
    if (sqlite3_stricmp(name, bad) == 0) return true;
  return false;
}

int authorize(void* data, int action, const char*, const char* name, const char*, const char*) {
  auto* denied = static_cast<std::string*>(data);
  if (action == SQLITE_SELECT) return SQLITE_OK;
  if (action == SQLITE_FUNCTION && !refused_function(name)) return SQLITE_OK;
  *denied = action != SQLITE_FUNCTION                ? "only a scalar expression over the record's fields is allowed"
            : sqlite3_stricmp(name, "match") == 0    ? "MATCH needs a full-text table, which an expression does not have"
                                                     : std::string(name) + "() is not allowed: the same record must always give the same result";
  return SQLITE_DENY;
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
      *now = static_cast<ClockVfs*>(self)->clock->wall_ms() + kJulian1970Ms;
      return SQLITE_OK;
    };
    xCurrentTime = [](sqlite3_vfs* self, double* now) {
      *now = static_cast<double>(static_cast<ClockVfs*>(self)->clock->wall_ms() + kJulian1970Ms) / 86'400'000.0;
      return SQLITE_OK;
    };
    if (sqlite3_vfs_register(this, 0) != SQLITE_OK) throw std::runtime_error("expressions: SQLite refused a VFS");
  }
  ~ClockVfs() { sqlite3_vfs_unregister(this); }
};

// After "no such column: NAME": the name. Since 3.46 a name in double quotes comes as "NAME" with advice after it.
std::string missing_column(std::string_view message) {
  static constexpr std::string_view prefix = "no such column: ", advice = "\" - should this be a string literal in single-quotes?";
  if (message.substr(0, prefix.size()) != prefix) return {};
  std::string_view name = message.substr(prefix.size());
  if (name.size() > advice.size() && name.front() == '"' && name.substr(name.size() - advice.size()) == advice) name = name.substr(1, name.size() - advice.size() - 1);
  return std::string(name);
}

}  // namespace

struct Sandbox::Impl {
  ClockVfs vfs;
  sqlite3* db = nullptr;
  std::string denied;
  int progress = 0;

  explicit Impl(const Clock& clock) : vfs(clock) {
    if (sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, vfs.zName) != SQLITE_OK) {
      const std::string why = sqlite3_errmsg(db);
      sqlite3_close_v2(db);
      throw std::runtime_error("expressions: SQLite cannot be set up: " + why);
    }
    sqlite3_exec(db, "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-64; PRAGMA trusted_schema=OFF", nullptr, nullptr, nullptr);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, kMaxValueBytes);
    sqlite3_limit(db, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, kMaxPatternBytes);
    sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_set_authorizer(db, authorize, &denied);
    sqlite3_progress_handler(db, kProgressSteps, [](void* self) { return ++static_cast<Impl*>(self)->progress > kProgressMax ? 1 : 0; }, this);
  }
  ~Impl() { sqlite3_close_v2(db); }
};

Sandbox::Sandbox(const Clock& clock) : impl_(std::make_unique<Impl>(clock)) {}
Sandbox::~Sandbox() = default;

sqlite3* Sandbox::db() const { return impl_->db; }
void Sandbox::begin() { impl_->progress = 0; }

result<void> Sandbox::load_extension(const std::string& path) {
  char* message = nullptr;
  sqlite3_db_config(impl_->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, nullptr);  // for this call, not for SQL
  const int code = sqlite3_load_extension(impl_->db, path.c_str(), nullptr, &message);
  sqlite3_db_config(impl_->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, nullptr);
  const std::string why = message == nullptr ? sqlite3_errstr(code) : message;
  sqlite3_free(message);
  return code == SQLITE_OK ? result<void>() : result<void>(Error{ErrorCode::invalid, why});
}

result<Sandbox::Prepared> Sandbox::prepare(const std::string& sql) {
  Prepared prepared;
  const char* tail = nullptr;
  impl_->denied.clear();
  impl_->progress = 0;
  const int code = sqlite3_prepare_v3(impl_->db, sql.c_str(), static_cast<int>(sql.size()) + 1, SQLITE_PREPARE_PERSISTENT, &prepared.statement, &tail);
  if (code == SQLITE_OK && tail != nullptr && *tail == '\0') return prepared;
  if (code == SQLITE_OK) {
    sqlite3_finalize(prepared.statement);
    return Error{ErrorCode::invalid, "expected one expression, found more text after it"};
  }
  if (!impl_->denied.empty()) return Error{ErrorCode::invalid, impl_->denied};
  const std::string message = sqlite3_errmsg(impl_->db);
  prepared.missing = missing_column(message);
  if (!prepared.missing.empty()) return prepared;
  if (message == "near \")\": syntax error" && sqlite3_error_offset(impl_->db) == static_cast<int>(sql.size()) - 1)
    return Error{ErrorCode::invalid, "ends too early, something is missing after its last word"};
  // A field whose name is a word of SQL: the commonest way to get here.
  static constexpr std::string_view before = "near \"", after = "\": syntax error";
  if (message.size() > before.size() + after.size() && message.substr(0, before.size()) == before && message.substr(message.size() - after.size()) == after &&
      std::isalpha(static_cast<unsigned char>(message[before.size()])) != 0)
    return Error{ErrorCode::invalid, message + " (a field whose name is a word of SQL stands in double quotes)"};
  return Error{ErrorCode::invalid, message};
}

}  // namespace rivulet::pipeline
