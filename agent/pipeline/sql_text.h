// SqlText: what can be said of an SQL expression from its tokens alone, before SQLite sees it.
//
// Expressions come from the configuration. What would make them more than a scalar (subqueries, parameters, a second statement) is
// refused here by token, and again by SQLite's authorizer. Thread: any.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"

namespace rivulet::pipeline {

struct SqlText {
  // Its outermost operator is a comparison, IS, IN, LIKE, BETWEEN, NOT, AND, OR, or it is TRUE or FALSE: its value is a JSON boolean.
  // Every one of these binds weaker than every operator that gives anything else, but for SQLite's `a IN (1) + 1` = (a IN (1)) + 1 and
  // `1 + NOT a` = 1 + (NOT a): analyse() asks for brackets there.
  bool boolean = false;
  std::string bare_field;              // the expression is nothing but this field
  bool clock = false;  // it says another time each time: CURRENT_TIMESTAMP, datetime('now'), date()
  std::vector<std::string> names;      // words and quoted names as written, without quotes; keywords too, functions not
  std::vector<std::string> functions;  // what stands before a bracket

  static result<SqlText> analyse(std::string_view expression);
};

// Why such an expression is refused where a table's row takes back what it gave.
inline constexpr const char* kReadsClock = "reads the clock, so that it could not be taken back as it was given; of a table expected an expression over the row alone";

struct SqlToken {
  enum class Kind { word, quoted, text, number, operation, open, close, comma } kind;
  std::string text;   // words: as written; quoted: without quotes
  std::string upper;  // of words
  std::size_t begin = 0, end = 0;  // in the expression
};
result<std::vector<SqlToken>> sql_tokens(std::string_view expression);

// For expressions over two records: left.x becomes the one name "left.x" and a bare left the name "left" (LEFT and RIGHT are words of SQL).
result<std::string> name_sides(std::string_view expression);

// For expressions over the left record alone: left.x becomes "x". What reads the right one is refused.
result<std::string> left_alone(std::string_view expression);

}  // namespace rivulet::pipeline
