// Plan: an aggregate step, compiled: arguments (once a record), slots (what a state holds), calls (what is asked of a slot), outputs.
//
// Equal arguments are evaluated once, and calls that need the same share a slot: avg(t), sum(t) and round(avg(t), 1) are one.
// Thread: io. Lifetime: the Aggregates'.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/config/config.h"
#include "agent/pipeline/aggregate/accumulator.h"
#include "agent/pipeline/evaluator.h"

namespace rivulet::pipeline::aggregate {

inline constexpr std::size_t kNone = static_cast<std::size_t>(-1);

struct Argument {
  std::string canonical;
  std::string written;      // the first call that has it, for messages
  unsigned needs = 0;
  std::string bare_field;   // it is nothing but this field; else:
  std::size_t item = kNone;  // in Plan::arguments_group
  std::size_t found_at = 0;  // where the field stood in the last record
  Value value;
  ValueBuffers buffers;
};

struct SlotPlan {
  std::string canonical;
  std::unique_ptr<Accumulator> accumulator;
  std::size_t argument = kNone;
  std::size_t words_at = 0, part_at = 0;
};

struct Call {
  std::size_t slot = 0;
  Ask ask = Ask::value;
  double parameter = 0;
};

enum class What { call, key, window_start, window_end, expression };

struct Output {
  std::string quoted;  // the field's name as JSON
  What what = What::expression;
  std::size_t index = 0;  // of the call; of the item in Plan::outer
};

struct OuterField {  // what an expression over the calls reads
  FieldName name;
  What what = What::call;
  std::size_t call = 0;
};

struct Plan {
  std::vector<Argument> arguments;
  std::unique_ptr<Group> arguments_group;  // none where all are bare fields
  std::vector<SlotPlan> slots;
  std::size_t words = 0, parts = 0;
  std::vector<std::uint64_t> zeros;  // the words of a state that was never written
  std::vector<Call> calls;
  std::vector<Output> outputs;
  bool having = false;               // the first item of outer
  std::unique_ptr<Group> outer;      // none where every output is fast
  std::vector<std::string> item_names;  // of outer, for messages
  std::vector<OuterField> outer_fields;
  bool names_start = false, names_end = false;  // `select` has fields of these names
  Timestamp timestamp_ms = 0;        // of the record that was taken
  bool taken = false;
  std::string definition;
};

// Null, and problems, where an expression is wrong.
std::unique_ptr<Plan> compile(Evaluator& evaluator, const config::Aggregate& config, const std::string& path, std::vector<config::Problem>& problems, bool subtractable);

}  // namespace rivulet::pipeline::aggregate
