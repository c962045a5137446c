// Steps: the steps of one pipeline, compiled: neighbouring stateless steps share one SQL statement (a Group).
//
// A step begins a new group when it reads a field that an earlier step of the group changed, or one that differs from another only in
// case: fused or not, the result is the same. A null value (a tombstone) has no
// fields: conditions see NULLs, and what would change fields leaves it alone. Thread: io. Lifetime: the Evaluator's.
#pragma once
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/config.h"
#include "agent/pipeline/clamp.h"
#include "agent/pipeline/enrich.h"
#include "agent/pipeline/evaluator.h"
#include "agent/pipeline/flatten.h"
#include "agent/pipeline/row.h"

namespace rivulet::pipeline {

struct StepFailure {
  std::string step;  // kind, as configured
  std::string reason;
};

enum class StepResult { passed, filtered, failed };

class Steps {
 public:
  Steps(Evaluator& evaluator, Arena& arena, const WallClock& clock, std::string pipeline) : evaluator_(evaluator), arena_(arena), clock_(clock), pipeline_(std::move(pipeline)) {}
  // Reports each problem with its place; what is compiled is meaningful only without any.
  void compile(const std::vector<config::Step>& steps, const std::vector<config::Output>& to, std::vector<config::Problem>& problems);
  StepResult run(Row& row, StepFailure& failure);
  std::uint64_t clamped() const;  // timestamps, since compile()
  bool empty() const { return stages_.empty() && std::all_of(keys_.begin(), keys_.end(), [](const auto& key) { return key == nullptr; }); }
  // The key of its own of the output with this index, if it has one, else the row's. Called after run() passed. A view that lives as the row's.
  StepResult output_key(std::size_t output, const Row& row, std::optional<std::string_view>& key, StepFailure& failure);

 private:
  struct Apply {  // what to do with the result of one item
    enum class What { nothing, set, key, timestamp, enrich } what = What::nothing;
    FieldName field;
    std::size_t step = 0;  // index into steps_
    bool clears = false;   // first field of a select
    std::shared_ptr<const Enrichment> rows = nullptr;
  };
  struct Stage {  // either a group of expressions, or one operation without any
    std::unique_ptr<Group> group;
    std::vector<Apply> apply;
    const config::Step* plain = nullptr;
    std::vector<Renamed> renamed = {};
    std::unique_ptr<Flatten> flatten = nullptr;
    std::unique_ptr<Clamp> clamp = nullptr;
    std::unique_ptr<Enrichment> enrich = nullptr;  // by the record's key
  };
  void add_step(const config::Step& step, std::vector<config::Problem>& problems);
  void add_item(ItemKind kind, const config::Expression& expression, Apply apply, const std::string& path, std::vector<config::Problem>& problems);
  bool fits_the_open_group(const std::vector<const config::Expression*>& expressions) const;
  void close_group(std::vector<config::Problem>& problems);
  StepResult run_group(Stage& stage, Row& row, StepFailure& failure);
  void add_plain(const config::Step& step);
  StepResult run_plain(Stage& stage, Row& row, StepFailure& failure);
  void log(const config::LogStep& step, const Row& row);

  Evaluator& evaluator_;
  Arena& arena_;
  const WallClock& clock_;
  std::string pipeline_;
  std::vector<config::Step> steps_;
  std::vector<Stage> stages_;
  std::vector<std::string> changed_;  // fields that the open group sets
  bool open_ = false;
  std::vector<std::unique_ptr<Group>> keys_;  // of each output; null: the row's
};

// A step in one line, as configured: for `rivulet explain`.
std::string describe(const config::Step& step);

}  // namespace rivulet::pipeline
