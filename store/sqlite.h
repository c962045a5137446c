// SQLite with RAII and result<T>: a Connection, a Statement, a Transaction that rolls back.
//
// Thread: a Connection and its Statements belong to one thread. Errors: SQLite's code becomes an ErrorCode in one place
// (sqlite_error): full and unavailable (busy, no memory) can be retried; after any other a transaction's fate is unknown.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace rivulet::store {

Error sqlite_error(sqlite3* db, const std::string& doing);

// To be called in main() before anything else of SQLite. Without its memory statistics, which nobody reads, SQLite takes no
// global lock for each allocation: the io thread spent a tenth of its time in that lock.
void start_sqlite();

class Statement {
 public:
  Statement() = default;
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  // Bound text and bytes must live until the next reset().
  Statement& bind(int index, std::int64_t value);
  Statement& bind(int index, std::string_view text);
  Statement& bind_blob(int index, std::string_view bytes);
  Statement& bind_null(int index);
  Statement& bind_optional_blob(int index, const std::optional<std::string>& bytes);

  result<bool> step();   // true: a row
  result<void> run();    // to the end, then reset
  void reset();
  std::int64_t integer(int column) const;
  std::string_view bytes(int column) const;  // valid until the next step or reset
  std::optional<std::string> optional_bytes(int column) const;

 private:
  friend class Connection;
  sqlite3* db_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
};

class Connection {
 public:
  enum class Mode { read_write, read_only };
  static result<Connection> open(const std::string& path, Mode mode, const std::string& vfs);
  Connection() = default;
  Connection(Connection&& other) noexcept;
  Connection& operator=(Connection&& other) noexcept;
  ~Connection();

  result<void> execute(const std::string& sql);
  result<Statement> prepare(const char* sql);
  result<std::int64_t> integer(const char* sql);  // first column of the first row
  bool has_moved() const;  // the file is no longer at its path
  sqlite3* raw() const { return db_; }

 private:
  sqlite3* db_ = nullptr;
};

// BEGIN IMMEDIATE ... commit(); the destructor rolls back what was not committed and never throws.
class Transaction {
 public:
  static result<Transaction> begin(Connection& connection);
  Transaction(Transaction&& other) noexcept : connection_(other.connection_) { other.connection_ = nullptr; }
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  result<void> commit();

 private:
  explicit Transaction(Connection& connection) : connection_(&connection) {}
  Connection* connection_;
};

}  // namespace rivulet::store
