// Operator: a stateful step inside a pipeline (aggregate, suppress, join, table, absence ...).
//
// A pipeline is a chain of segments: stateless Steps, an Operator, stateless Steps, ... A record reaches process(); what the operator emits runs
// through the rest of the pipeline before emit() returns. An operator is made (and its configuration checked) without state;
// attach() gives it its tables before the first record.
// At the end of an epoch every operator in topological order gets flush() (results that were held back go out), then each gets
// save() (decoded objects go into the tables). After save() the tables alone must be enough to go on: a restart is attach().
// Thread: io. Lifetime: within its Topology. Errors: process() answers why a record failed; it must have changed nothing then, but for what a
// table's row gave before it became this one.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/result.h"
#include "agent/config/config.h"
#include "agent/pipeline/evaluator.h"
#include "agent/pipeline/row.h"
#include "agent/pipeline/state/state.h"
#include "agent/pipeline/table/table_view.h"
#include "agent/record/record.h"

namespace rivulet::pipeline {

// A result. Views are valid during emit().
struct Emitted {
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;  // JSON; none: a tombstone
  Timestamp timestamp_ms = 0;
  std::optional<Window> window;
  bool text = false;                    // the value is plain text (raw decoding), not JSON
  const TableChange* change = nullptr;  // of a table
};

// What a step's state says, as a table of SQL (`rivulet query`).
struct Shown {
  std::uint32_t part = 0;           // which of the step's tables; a row of it is a row of SQL, or none
  bool windowed = false;            // its rows have a window
  std::vector<std::string> fields;  // columns of the value; none: it is one column `value`
};
struct ShownRow {
  std::string key;
  Window window;                     // when windowed
  Timestamp timestamp_ms = 0;
  std::optional<std::string> value;  // JSON; with fields an object
};
struct KeyRange {
  std::string from, to;  // [from, to); an empty `to`: the end
};

class Emit {
 public:
  virtual ~Emit() = default;
  virtual void emit(const Emitted& result) = 0;
  virtual void pass(const Row& row) = 0;  // the record itself goes on, as it is
  // The record was too late for so many windows (counted; once a record, it goes to `late: {topic}` where there is one).
  virtual void late(const Row& row, std::uint64_t windows) = 0;
  virtual void dropped(std::uint64_t count) = 0;  // null keys, null values, ... : SEMANTICS' "dropped (+1)"
  // A result that could not be computed, to quarantine with what is known of it: nobody's record is to blame, so process() does not answer it.
  virtual void failed(const Emitted& result, const std::string& reason) = 0;
  // The epoch has enough: an operator that can leave the rest of its results for go_on() does so now (pending()).
  virtual bool full() { return false; }
};

class Operator {
 public:
  virtual ~Operator() = default;
  // What the state means, as canonical text: state that was written under another definition is refused.
  virtual std::string definition() const = 0;
  virtual void attach(StepState& state) = 0;
  // `input` 0: the records of this pipeline; 1: those of the step's other input (inputs()).
  virtual result<void> process(std::size_t input, const Row& row, Emit& out) = 0;
  // Results of what came before are still to come, because the epoch was full; also after a restart. process() begins with them.
  virtual bool pending() const { return false; }
  virtual void go_on(Emit& out) { static_cast<void>(out); }
  virtual void flush(Emit& out) { static_cast<void>(out); }
  virtual void save() {}
  virtual std::size_t held_bytes() const { return 0; }  // about what save() will bring into the tables
  virtual TableView* table() { return nullptr; }  // of a step that keeps one: what joins look into
  // Silence, by Clock::steady_ms(): when advance_idle() has something to do next; none: nothing is waiting.
  virtual std::optional<Timestamp> next_idle_ms() const { return std::nullopt; }
  virtual void advance_idle(Timestamp now_ms, Emit& out) { static_cast<void>(now_ms), static_cast<void>(out); }

  // For `query`, without attach(): what there is to see; none: nothing.
  virtual std::optional<Shown> shown() const { return std::nullopt; }
  // Where the rows of `key` lie; all of the table where it is not ordered by key.
  virtual KeyRange shown_range(std::string_view key) const { return static_cast<void>(key), KeyRange{}; }
  // One row, as the step would emit it now. False: there is no result (`having`). Errors: the bytes are damaged, an expression fails.
  virtual result<bool> show(std::string_view name, std::string_view bytes, ShownRow& row) { return static_cast<void>(name), static_cast<void>(bytes), static_cast<void>(row), false; }
};
// Of rows whose names begin with `prefix`.
KeyRange range_of_prefix(std::string_view prefix);  // shown.cpp

// What an operator is made from. Problems are added with their place; what was made is meaningful only without any.
struct OperatorParts {
  Evaluator& evaluator;
  const Clock& clock;
  const config::Config& config;
  const config::Pipeline& pipeline;
  const config::Step& step;
  config::Time time;  // the pipeline's, else its source's
  std::vector<config::Problem>& problems;
  const Tables& tables;  // of the steps before this one
};
std::unique_ptr<Operator> make_operator(const OperatorParts& parts);  // factory.cpp: add a kind there

// The source or pipeline that the step reads besides its own pipeline's records: a join's `with`. Empty: none.
std::string other_input(const config::Step& step);
// The same, and the table that a stream looks into, which tells the join nothing.
std::string joined_with(const config::Step& step);
bool part_of_the_step_before(const config::Step& step);  // the aggregate before a `suppress: {until: closed}` does its work
std::optional<std::string> late_topic(const config::Step& step);
// The pipeline's time, else that of the sources it reads from; a problem when these differ.
config::Time time_of(const config::Config& config, const config::Pipeline& pipeline, std::vector<config::Problem>& problems);
// A warning of each pipeline whose results wait for the next record because its time.idle is never: of its first such step.
void check_idle(const config::Config& config, std::vector<config::Problem>& problems);

}  // namespace rivulet::pipeline
