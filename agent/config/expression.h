// Expressions, as they stand in the configuration: config knows no SQLite, the pipeline room compiles them. Thread: any (plain data).
#pragma once
#include <string>

#include "agent/config/location.h"

namespace rivulet::config {

// SQL text; `at` is where it stands.
struct Expression {
  std::string sql;
  Location at;
};
struct Assignment {
  std::string field;
  Expression expression;
};

}  // namespace rivulet::config
