// Calls: where an expression calls aggregate functions, and the same expression with a name in place of each call.
//
// min and max of several arguments are SQLite's scalar functions, not calls. Thread: any. Errors: what a person must change.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"

namespace rivulet::pipeline::aggregate {

struct CallText {
  std::string function;                // in lower case
  std::vector<std::string> arguments;  // as written; none for count(*) and count()
  std::string written;                 // the whole call
  std::size_t begin = 0, end = 0;      // in the expression
};
// In order, not nested: an aggregate within an aggregate is an error.
result<std::vector<CallText>> find_calls(std::string_view expression);

// The expression with `call(i)` in place of the i-th call, and `alias(name)` in place of a name outside of calls (empty: as it is).
result<std::string> replace_calls(std::string_view expression, const std::vector<CallText>& calls, const std::function<std::string(std::size_t)>& call,
                                  const std::function<std::string(const std::string&)>& alias);

// The expression's tokens with one space between: equal for equal expressions.
result<std::string> canonical(std::string_view expression);

}  // namespace rivulet::pipeline::aggregate
