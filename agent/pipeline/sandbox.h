// Sandbox: SQLite connection in memory in which expressions can compute and do nothing else.
//
// An authorizer allows selects and functions and no table; what reaches outside or gives another answer each time is refused; the time
// is the Clock's; a name in double quotes is never a string. Thread: io. Lifetime: outlives its statements.
// Bounds: kMaxValueBytes a value, kProgressMax * kProgressSteps of SQLite's machine an evaluation.
#pragma once
#include <memory>
#include <string>

#include "agent/base/clock.h"
#include "agent/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace rivulet::pipeline {

inline constexpr int kMaxValueBytes = 16 << 20;  // the largest frame that a source can be set to

class Sandbox {
 public:
  explicit Sandbox(const Clock& clock);  // throws when SQLite cannot be set up
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  struct Prepared {
    sqlite3_stmt* statement = nullptr;  // the caller's; null where a name is missing
    std::string missing;                // the column that SQLite did not find
  };
  // A bracket that ends `sql` is the caller's, around an expression: no message names it.
  result<Prepared> prepare(const std::string& sql);
  // A SQLite extension (a shared library) with more functions. Once, before prepare(). Native code: it can do what the process can.
  result<void> load_extension(const std::string& path);
  void begin();  // an evaluation: its bounds are whole again
  sqlite3* db() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rivulet::pipeline
