// Evaluator: SQL expressions over a row's fields, by SQLite. Several expressions make one prepared statement (Group).
//
// A Group is a chain: conditions and values in order, each evaluated only if everything before it was passed, with one
// bind-step-reset a record; bare fields are no work for SQLite and follow when the chain has passed. All its expressions see the row as it was when the group began. Which fields are used is learned
// from SQLite's own "no such column", so that only these are bound. What an expression may do: sandbox.h.
// Thread: io. Lifetime: a Group within its Evaluator.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/result.h"
#include "agent/pipeline/row.h"
#include "agent/pipeline/sandbox.h"

struct sqlite3_context;
struct sqlite3_stmt;
struct sqlite3_value;

namespace rivulet::pipeline {

struct Outcome {
  enum class Kind { passed, stopped, failed } kind = Kind::passed;
  std::size_t item = 0;  // stopped or failed: where
  std::string reason;    // failed
};

class Evaluator {
 public:
  explicit Evaluator(const Clock& clock);  // throws when SQLite cannot be set up
  result<void> load_extension(const std::string& path) { return sandbox_.load_extension(path); }  // before the first Group

 private:
  friend class Group;
  Sandbox sandbox_;
};

// What becomes of an item's value.
enum class ItemKind { condition, json, text, timestamp };  // text: as a key's text

class Group {
 public:
  explicit Group(Evaluator& evaluator) : sandbox_(evaluator.sandbox_) {}
  ~Group();
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  // Checks the expression on its own, then takes it as the next item. Error: what a person must change.
  result<void> add(ItemKind kind, const std::string& sql);
  result<void> prepare();  // once, after the last add()
  const std::vector<std::string>& fields() const { return fields_; }  // that its expressions read
  // SQLite compares names without case, fields are compared with it: a statement cannot hold two that differ in case only.
  const std::string* clashes(std::string_view field) const;
  std::size_t size() const { return items_.size(); }

  // After this results() holds each item's value. Values are views that live until the next run().
  Outcome run(const Row& row);
  struct Result {
    std::string_view text;
    bool null = false;
    Timestamp timestamp_ms = 0;
  };
  const std::vector<Result>& results() const { return results_; }

 private:
  friend class Evaluator;
  struct Item {
    ItemKind kind;
    std::string sql;
    bool boolean = false;
    std::string bare_field;  // nothing but this field: copied without SQLite
    std::vector<std::string> fields;
    bool bare() const { return !bare_field.empty() && (kind == ItemKind::json || kind == ItemKind::text); }
  };
  static void on_item(sqlite3_context* context, int count, sqlite3_value** values);
  result<void> take(std::size_t index, sqlite3_value* value, bool& pass);
  void copy_field(std::size_t index, const Field* field);
  result<sqlite3_stmt*> compile(const std::string& begin, const std::string& end, std::vector<std::string>& fields) const;
  bool bind(const Row& row, Outcome& outcome);
  Outcome finish(int code);

  Sandbox& sandbox_;
  std::vector<Item> items_;
  std::vector<std::string> fields_, bound_;  // all; those that the statement reads
  std::vector<std::size_t> chain_;           // indices of the items in the statement
  sqlite3_stmt* statement_ = nullptr;        // none: every item is a bare field
  std::vector<Result> results_;
  std::vector<std::pair<std::size_t, std::size_t>> spans_;  // of each result in text_
  std::string text_;
  std::vector<std::string> buffers_;  // bound values that are not views of the row
  std::size_t completed_ = 0;  // of chain_
  bool stopped_ = false;
};

}  // namespace rivulet::pipeline
