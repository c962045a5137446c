// What joins and aggregates read: a stream's records or a table's changes. It decides what kind a join is, and what does not fit.
#include <map>

#include "agent/config/sections.h"

namespace rivulet::config {
namespace {

const Table kLookedUp;  // what any lookup table is to a join

// The records between two steps.
struct Input {
  bool known = true;            // false: a name in `from` has been refused
  const Table* table = nullptr;  // these are its changes; null: a stream
  std::string name;             // "<pipeline>/<step>" of the table
  std::string spoiled;          // the first step after it that makes its changes something else
};

class Inputs {
 public:
  Inputs(Config& config, Report& report) : config_(config), report_(report) {
    for (const Source& source : config.sources) ends_[source.name] = {};
    for (const LookupTable& table : config.tables) ends_[table.name] = {true, &kLookedUp, table.name, {}};
  }

  // Pipelines come after those that they read from.
  void check() {
    for (Pipeline& pipeline : config_.pipelines) {
      Input input = begin(pipeline);
      for (Step& step : pipeline.steps) pass(pipeline, step, input);
      ends_[pipeline.name] = std::move(input);
    }
  }

 private:
  Input begin(const Pipeline& pipeline) const {
    Input all;
    for (const std::string& from : pipeline.from) {
      const auto end = ends_.find(from);
      if (end == ends_.end()) all.known = false;
      else if (pipeline.from.size() == 1) return end->second;
      else all.known = all.known && end->second.known;
    }
    return all;  // changes of several tables are a stream
  }

  void pass(const Pipeline& pipeline, Step& step, Input& input) {
    const bool known = input.known;
    if (auto* join = std::get_if<Join>(&step.what)) {
      if (const auto with = ends_.find(join->with); known && with != ends_.end() && with->second.known) check(step, *join, input, with->second);
    } else if (auto* aggregate = std::get_if<Aggregate>(&step.what)) {
      check(step, *aggregate, input);
    }
    if (const auto* table = std::get_if<Table>(&step.what)) {
      input = {known, table, pipeline.name + "/" + step.name, {}};
    } else if (is_stateful(step)) {
      input = {known, nullptr, {}, {}};
    } else if (input.table != nullptr && input.spoiled.empty() && !std::holds_alternative<LogStep>(step.what)) {
      input.spoiled = step.kind;
    }
  }

  void error(const Step& step, const std::string& message) { report_.error(step.at, step.path, message); }

  void check(const Step& step, Aggregate& aggregate, const Input& input) {
    if (input.table == nullptr) return;
    if (!input.spoiled.empty()) return between(step, input);
    if (aggregate.window.kind != WindowSpec::Kind::none)
      return error(step, "aggregates the table " + input.name + ", whose rows belong to no window; expected no 'window' (or no table step before it)");
    aggregate.of_table = true;
  }

  void between(const Step& step, const Input& input) {
    error(step, "a '" + input.spoiled + "' step stands between the table " + input.name + " and this " + step.kind + "; put it before the table step, or a table step after it");
  }

  void check(const Step& step, Join& join, const Input& left, const Input& right) {
    const std::string with = "'" + join.with + "'";
    if (!left.spoiled.empty()) return between(step, left);
    if (!right.spoiled.empty()) return error(step, with + " has a '" + right.spoiled + "' step after its table step; put it before the table step, or a table step after it");
    join.left_table = left.name;
    join.right_table = right.name;
    if (right.table == &kLookedUp) return check_lookup(step, join, with);
    if (right.table == nullptr) {
      join.how = Join::How::stream_stream;
      if (left.table != nullptr) error(step, "a table cannot be joined with the stream " + with + "; join the stream with the table, or give " + with + " a table step");
      else if (join.on) error(step, with + " is a stream, and streams are joined by their keys; expected no 'on'");
      else if (join.grace_ms) error(step, "a join of two streams has its grace in within: {before: 5s, after: 5s, grace: 1s}");
      else if (!join.within) error(step, "joins two streams, expected within: {before: 5s, after: 5s, grace: 1s} (is " + with + " to be a table? Then it needs a table step)");
    } else if (join.within) {
      error(step, with + " is a table, which has no 'within'; expected none" + (left.table == nullptr ? " (grace: 5s waits for late changes of a table with history)" : ""));
    } else if (left.table != nullptr) {
      check_tables(step, join, with);
    } else {
      check_stream_table(step, join, *right.table, with);
    }
  }

  void check_lookup(const Step& step, Join& join, const std::string& with) {
    join.how = Join::How::lookup;
    const std::string what = with + " is a lookup table, ";
    if (!join.left_table.empty()) error(step, what + "and a lookup table's changes reach nobody, so that a table cannot be joined with it; expected a stream (or a kafka source with a table step)");
    else if (join.kind == Join::Kind::outer) error(step, what + "whose rows wait for no record; expected inner or left");
    else if (join.within) error(step, what + "which has no 'within'; expected none");
    else if (join.grace_ms) error(step, what + "which knows only what is now; expected no 'grace'");
  }

  void check_tables(const Step& step, Join& join, const std::string& with) {
    join.how = join.on ? Join::How::foreign_key : Join::How::table_table;
    if (join.left_table == join.right_table) error(step, "joins the table " + with + " with itself; give one side a table step of its own");
    else if (join.grace_ms) error(step, "joins two tables, which wait for nothing; expected no 'grace'");
    else if (join.on && join.kind == Join::Kind::outer) error(step, "an outer join by 'on' is not possible: a right row has no key of the left table; expected inner or left");
  }

  void check_stream_table(const Step& step, Join& join, const Table& table, const std::string& with) {
    join.how = Join::How::stream_table;
    if (join.kind == Join::Kind::outer) error(step, "an outer join of a stream with the table " + with + " is not possible: a table's row waits for no record; expected inner or left");
    else if (join.grace_ms && !table.history_ms) error(step, "grace needs a table that knows its past: give " + with + " table: {history: 1h}");
    else if (join.grace_ms && *join.grace_ms > *table.history_ms) error(step, "grace is longer than the history of " + with + ", which would have forgotten the row by then; expected at most that");
  }

  Config& config_;
  Report& report_;
  std::map<std::string, Input> ends_;  // of sources and pipelines
};

}  // namespace

void check_inputs(Config& config, Report& report) { Inputs(config, report).check(); }

}  // namespace rivulet::config
