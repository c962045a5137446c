#include "store/sqlite.h"

#include <sqlite3.h>

#include <cerrno>
#include <utility>

#include "agent/base/pulse.h"

namespace rivulet::store {
namespace {

// A write or a mapping that found no room has changed nothing that counts; a failed fsync may have lost what it was given.
bool wants_room(sqlite3* db, int code) {
  const int number = sqlite3_system_errno(db);
  return (number == ENOSPC || number == EDQUOT) && (code == SQLITE_IOERR_WRITE || code == SQLITE_IOERR_SHMSIZE ||
                                                    code == SQLITE_IOERR_SHMMAP || code == SQLITE_IOERR_SHMOPEN);
}

}  // namespace

Error sqlite_error(sqlite3* db, const std::string& doing) {
  const int code = db == nullptr ? SQLITE_NOMEM : sqlite3_extended_errcode(db);
  const std::string text = "store: " + doing + ": " + (db == nullptr ? "out of memory" : sqlite3_errmsg(db)) + " [SQLite " + std::to_string(code) + "]";
  if (db != nullptr && wants_room(db, code)) return {ErrorCode::full, text};
  switch (code & 0xff) {
    case SQLITE_FULL: return {ErrorCode::full, text};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_NOMEM: return {ErrorCode::unavailable, text};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return {ErrorCode::corrupt, text};
    case SQLITE_IOERR: return {ErrorCode::unknown_fate, text};
    case SQLITE_PERM:
    case SQLITE_READONLY: return {ErrorCode::denied, text};
    default: return {ErrorCode::io, text};
  }
}

void start_sqlite() { sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); }

Statement::Statement(Statement&& other) noexcept
    : db_(other.db_), statement_(std::exchange(other.statement_, nullptr)) {}
Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(db_, other.db_);
  std::swap(statement_, other.statement_);
  return *this;
}
Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::bind(int index, std::int64_t value) {
  sqlite3_bind_int64(statement_, index, value);
  return *this;
}
Statement& Statement::bind(int index, std::string_view text) {
  sqlite3_bind_text64(statement_, index, text.data() == nullptr ? "" : text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}
Statement& Statement::bind_blob(int index, std::string_view bytes) {
  sqlite3_bind_blob64(statement_, index, bytes.data() == nullptr ? "" : bytes.data(), bytes.size(), SQLITE_STATIC);
  return *this;
}
Statement& Statement::bind_null(int index) {
  sqlite3_bind_null(statement_, index);
  return *this;
}
Statement& Statement::bind_optional_blob(int index, const std::optional<std::string>& bytes) {
  return bytes ? bind_blob(index, *bytes) : bind_null(index);
}

result<bool> Statement::step() {
  const PulseScope at(Pulse::Doing::disk);
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  const Error error = sqlite_error(db_, sqlite3_sql(statement_));
  sqlite3_reset(statement_);
  return error;
}

result<void> Statement::run() {
  for (;;) {
    auto more = step();
    if (!more) return more.error();
    if (!*more) break;
  }
  reset();
  return {};
}

void Statement::reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }
std::string_view Statement::bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return data == nullptr ? std::string_view() : std::string_view(static_cast<const char*>(data), static_cast<std::size_t>(size));
}
std::optional<std::string> Statement::optional_bytes(int column) const {
  if (sqlite3_column_type(statement_, column) == SQLITE_NULL) return std::nullopt;
  return std::string(bytes(column));
}

result<Connection> Connection::open(const std::string& path, Mode mode, const std::string& vfs) {
  Connection connection;
  const int flags = (mode == Mode::read_write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY | SQLITE_OPEN_URI) | SQLITE_OPEN_NOMUTEX;
  if (sqlite3_open_v2(path.c_str(), &connection.db_, flags, vfs.empty() ? nullptr : vfs.c_str()) != SQLITE_OK)
    return sqlite_error(connection.db_, "opening " + path);
  sqlite3_extended_result_codes(connection.db_, 1);
  sqlite3_busy_timeout(connection.db_, mode == Mode::read_write ? 100 : 2000);
  return connection;
}

Connection::Connection(Connection&& other) noexcept : db_(std::exchange(other.db_, nullptr)) {}
Connection& Connection::operator=(Connection&& other) noexcept {
  std::swap(db_, other.db_);
  return *this;
}
Connection::~Connection() { sqlite3_close_v2(db_); }

result<void> Connection::execute(const std::string& sql) {
  const PulseScope at(Pulse::Doing::disk);
  if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) return sqlite_error(db_, sql.substr(0, 60));
  return {};
}

result<Statement> Connection::prepare(const char* sql) {
  Statement statement;
  statement.db_ = db_;
  if (sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement.statement_, nullptr) != SQLITE_OK)
    return sqlite_error(db_, sql);
  return statement;
}

result<std::int64_t> Connection::integer(const char* sql) {
  auto statement = prepare(sql);
  if (!statement) return statement.error();
  auto row = statement->step();
  if (!row) return row.error();
  return *row ? statement->integer(0) : 0;
}

bool Connection::has_moved() const {
  int moved = 0;
  return sqlite3_file_control(db_, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved != 0;
}

result<Transaction> Transaction::begin(Connection& connection) {
  if (auto begun = connection.execute("BEGIN IMMEDIATE"); !begun) return begun.error();
  return Transaction(connection);
}

Transaction::~Transaction() {
  const PulseScope at(Pulse::Doing::disk);
  if (connection_ != nullptr && sqlite3_get_autocommit(connection_->raw()) == 0)
    sqlite3_exec(connection_->raw(), "ROLLBACK", nullptr, nullptr, nullptr);
}

result<void> Transaction::commit() {
  if (auto committed = connection_->execute("COMMIT"); !committed) return committed.error();
  connection_ = nullptr;
  return {};
}

}  // namespace rivulet::store
