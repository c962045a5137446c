// Functions: the aggregate functions by name: their arguments, and the slot of a state that they read.
//
// Add one: its row in functions.cpp, its Accumulator, its line in README.md, its tests. Thread: any. Errors: what a person must change.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/pipeline/aggregate/accumulator.h"

namespace rivulet::pipeline::aggregate {

struct Function {
  const char* name;
  std::size_t least, most;  // arguments; what follows the first are constants
  const char* usage;
  const char* slot;         // functions with the same slot and arguments share one
  Ask ask = Ask::value;
  bool json = false;        // gives an array
  bool per_window = false;  // needs a window
};
const Function* find_function(std::string_view name_in_lower_case);
std::string function_names();

// The slot's accumulator; `constants`: all arguments but the first. `of_all`: without arguments.
result<std::unique_ptr<Accumulator>> make_accumulator(const Function& function, bool of_all, const std::vector<double>& constants);
// Whether the constants are part of the slot (histogram) or of the question alone (percentile).
bool constants_in_slot(const Function& function);

}  // namespace rivulet::pipeline::aggregate
