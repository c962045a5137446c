// A table out of a query on a SQLite database that belongs to somebody else: looked up as it is at that time, read-only.
//
// All lookups of an epoch see one commit of the database. A row is an object of its columns; of a BLOB the bytes in hexadecimal.
#include <sqlite3.h>

#include <cmath>
#include <fstream>

#include "agent/base/log.h"
#include "agent/codec/json.h"
#include "agent/pipeline/lookup/lookup.h"

namespace rivulet::pipeline {
namespace {

constexpr int kBusyMs = 200;
constexpr int kProgressSteps = 1'000'000;  // of SQLite's machine, some 20 ms; once or twice that many are too many for a lookup
constexpr int kMaxRowBytes = 1 << 20;

int authorize(void*, int action, const char*, const char* name, const char*, const char*) {
  switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE:
    case SQLITE_TRANSACTION: return SQLITE_OK;
    case SQLITE_FUNCTION: return sqlite3_stricmp(name, "load_extension") == 0 ? SQLITE_DENY : SQLITE_OK;
    default: return SQLITE_DENY;
  }
}

// Bytes 18 and 19 of the file (https://www.sqlite.org/fileformat2.html, section 1.3.3): 2 is write-ahead logging.
bool has_wal(const std::string& path) {
  char head[20] = {};
  return std::ifstream(path, std::ios::binary).read(head, sizeof head) && head[18] == 2 && head[19] == 2;
}

class DatabaseLookup final : public Lookup {
 public:
  explicit DatabaseLookup(const config::LookupTable& table) : table_(table), state_(table.path + " was not opened yet") {}
  ~DatabaseLookup() override { close(); }

  std::optional<TableRow> current(std::string_view key) override {
    trouble_.reset();
    if (find_ == nullptr) return unreadable(state_);
    if (!reading_ && sqlite3_exec(db_, "BEGIN", nullptr, nullptr, nullptr) != SQLITE_OK) return unreadable(error());
    reading_ = true;
    sqlite3_bind_text64(find_, 1, key.data() == nullptr ? "" : key.data(), key.size(), SQLITE_STATIC, SQLITE_UTF8);
    progress_ = 0;
    const int code = sqlite3_step(find_);
    if (code == SQLITE_ROW) append_row();
    const std::string why = code == SQLITE_ROW || code == SQLITE_DONE ? std::string() : code == SQLITE_INTERRUPT ? "a lookup takes too long; does '" + table_.key + "' have an index?" : error();
    sqlite3_reset(find_);
    if (!why.empty()) return unreadable(why);
    return code == SQLITE_ROW ? std::optional(TableRow{value_, 0, false, false}) : std::nullopt;
  }
  std::optional<Error> trouble() const override { return trouble_; }
  bool ready() const override { return find_ != nullptr; }
  std::string state() const override { return state_; }

  bool look(const std::string&) override {
    const auto seen = look_at_file(table_.path);
    if (!seen) {
      close();
      failed(seen.error().message);
      return false;
    }
    if (find_ != nullptr && (opened_->device != seen->device || opened_->inode != seen->inode)) close();  // another one lies there
    if (find_ == nullptr) open(*seen);
    return false;
  }

  void end_epoch() override {
    if (reading_) sqlite3_exec(db_, "COMMIT", nullptr, nullptr, nullptr);
    reading_ = false;
  }

 private:
  void open(const FileSeen& seen) {
    if (sqlite3_open_v2(table_.path.c_str(), &db_, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr) != SQLITE_OK) return give_up();
    sqlite3_busy_timeout(db_, kBusyMs);
    sqlite3_exec(db_, "PRAGMA cache_size=-512; PRAGMA mmap_size=0; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON", nullptr, nullptr, nullptr);
    sqlite3_db_config(db_, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
    sqlite3_db_config(db_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_limit(db_, SQLITE_LIMIT_LENGTH, kMaxRowBytes);
    sqlite3_limit(db_, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_set_authorizer(db_, authorize, nullptr);
    // Steps are counted over all lookups of a statement, so that the first call says nothing.
    sqlite3_progress_handler(db_, kProgressSteps, [](void* self) { return ++static_cast<DatabaseLookup*>(self)->progress_ > 1 ? 1 : 0; }, this);
    std::string name = "\"";
    for (const char c : table_.key) name += c == '"' ? std::string("\"\"") : std::string(1, c);
    const std::string sql = "SELECT * FROM (" + table_.query + "\n) WHERE " + name + "\" = ?1 LIMIT 1";
    const char* tail = nullptr;
    if (sqlite3_prepare_v3(db_, sql.c_str(), static_cast<int>(sql.size()) + 1, SQLITE_PREPARE_PERSISTENT, &find_, &tail) != SQLITE_OK) return give_up();
    if (sqlite3_step(find_) != SQLITE_DONE) return give_up();  // NULL equals nothing; but now it is known to work
    sqlite3_reset(find_);
    opened_ = seen;
    said_.clear();
    state_ = "looked up in " + table_.path;
    log::info("table {}: {}", table_.name, state_);
  }
  void give_up() {
    const std::string why = error();
    close();
    failed(why);
  }
  void close() {
    sqlite3_finalize(find_);
    sqlite3_close_v2(db_);
    find_ = nullptr;
    db_ = nullptr;
    reading_ = false;
  }

  // Nobody knows what else is wrong: it is opened anew, and until then sources wait.
  std::optional<TableRow> unreadable(const std::string& why) {
    trouble_ = Error{ErrorCode::unavailable, "table " + table_.name + ": " + why};
    close();
    failed(why);
    return std::nullopt;
  }
  std::string error() const {
    std::string why = table_.path + ": " + (db_ == nullptr ? "out of memory" : sqlite3_errmsg(db_));
    if (db_ != nullptr && sqlite3_errcode(db_) == SQLITE_CANTOPEN && has_wal(table_.path))
      why += "; it is in WAL mode, and its -shm and -wal files can neither be opened nor made: keep it open in the program that writes it, or have that set PRAGMA journal_mode=DELETE";
    return why;
  }
  void failed(const std::string& why) {
    if (said_ == why) return;
    said_ = state_ = why;
    log::error("table {}: {}; sources wait for it", table_.name, why);
  }

  void append_row() {
    value_.clear();
    value_ += '{';
    const int columns = sqlite3_column_count(find_);
    for (int i = 0; i < columns; ++i) {
      codec::append_json_string(value_, sqlite3_column_name(find_, i));
      value_ += ':';
      append_value(i);
      value_ += i + 1 < columns ? ',' : '}';
    }
  }
  void append_value(int i) {
    static constexpr char digits[] = "0123456789abcdef";
    const auto bytes = [&](const void* data) { return std::string_view(static_cast<const char*>(data), static_cast<std::size_t>(sqlite3_column_bytes(find_, i))); };
    switch (sqlite3_column_type(find_, i)) {
      case SQLITE_INTEGER: value_ += std::to_string(sqlite3_column_int64(find_, i)); break;
      case SQLITE_FLOAT:
        if (const double number = sqlite3_column_double(find_, i); std::isfinite(number)) codec::append_json_double(value_, number);
        else value_ += "null";
        break;
      case SQLITE_TEXT: codec::append_json_string(value_, bytes(sqlite3_column_text(find_, i))); break;
      case SQLITE_BLOB:
        value_ += '"';
        for (const char c : bytes(sqlite3_column_blob(find_, i))) {
          value_ += digits[static_cast<unsigned char>(c) >> 4];
          value_ += digits[static_cast<unsigned char>(c) & 15];
        }
        value_ += '"';
        break;
      default: value_ += "null";
    }
  }

  const config::LookupTable table_;
  sqlite3* db_ = nullptr;
  sqlite3_stmt* find_ = nullptr;
  bool reading_ = false;
  int progress_ = 0;
  std::optional<FileSeen> opened_;
  std::optional<Error> trouble_;
  std::string value_, state_, said_;
};

}  // namespace

std::unique_ptr<Lookup> make_database_lookup(const config::LookupTable& table) { return std::make_unique<DatabaseLookup>(table); }

}  // namespace rivulet::pipeline
