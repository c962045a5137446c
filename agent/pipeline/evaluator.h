// Evaluator: SQL expressions over a row's fields, by SQLite. Several expressions make one prepared statement (Group).
//
// A Group is a chain: conditions and assignments in order, each evaluated only if everything before it was passed, with one
// bind-step-reset a record. All its expressions see the row as it was when the group began. Which fields are used is learned
// from SQLite's own "no such column", so that only these are bound. Expressions cannot read or change anything: an authorizer
// allows the wrapper's selects and functions alone; random() is refused; 'now' comes from the Clock.
// Thread: io. Bounds: 32 MiB a value, 10 million steps of SQLite's machine an evaluation. Lifetime: a Group within its Evaluator.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/result.h"
#include "agent/pipeline/row.h"

struct sqlite3;
struct sqlite3_stmt;
struct sqlite3_context;
struct sqlite3_value;

namespace rivulet::pipeline {

struct Outcome {
  enum class Kind { passed, stopped, failed } kind = Kind::passed;
  std::size_t item = 0;  // stopped or failed: where
  std::string reason;    // failed
};

class Group;

class Evaluator {
 public:
  explicit Evaluator(const Clock& clock);  // throws when SQLite cannot be set up
  ~Evaluator();
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

 private:
  friend class Group;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What becomes of an item's value.
enum class ItemKind { condition, token, text };  // token: as JSON; text: as a key's text

class Group {
 public:
  explicit Group(Evaluator& evaluator) : evaluator_(evaluator) {}
  ~Group();
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  // Checks the expression on its own, then takes it as the next item. Error: what a person must change.
  result<void> add(ItemKind kind, const std::string& sql);
  result<void> prepare();  // once, after the last add()
  bool reads(std::string_view field) const;
  std::size_t size() const { return items_.size(); }

  // After this results() holds each item's value. Values are views that live until the next run() of any group.
  Outcome run(const Row& row);
  struct Result {
    std::string_view text;
    bool null = false;
  };
  const std::vector<Result>& results() const { return results_; }

 private:
  friend class Evaluator;
  struct Item {
    ItemKind kind;
    std::string sql;
    bool boolean = false;
    std::string bare_field;
  };
  static void on_item(sqlite3_context* context, int count, sqlite3_value** values);
  result<void> take(std::size_t index, sqlite3_value* value, bool& pass);
  result<sqlite3_stmt*> compile(const std::vector<Item>& items, std::vector<std::string>& fields, bool in_where) const;
  void bind(const Row& row);

  Evaluator& evaluator_;
  std::vector<Item> items_;
  std::vector<std::string> fields_;
  sqlite3_stmt* statement_ = nullptr;
  std::vector<Result> results_;
  std::vector<std::pair<std::size_t, std::size_t>> spans_;  // of each result in text_
  std::string text_;
  std::vector<std::string> unescaped_;  // bound strings that had escapes
  std::size_t completed_ = 0;
  bool stopped_ = false;
  std::string failure_;
  const Row* row_ = nullptr;
};

}  // namespace rivulet::pipeline
