#include <algorithm>
#include <set>

#include "agent/base/check.h"
#include "agent/pipeline/absence/absence.h"
#include "agent/pipeline/join/joining.h"
#include "agent/pipeline/stateful/aggregating.h"
#include "agent/pipeline/stateful/operator.h"
#include "agent/pipeline/stateful/suppress.h"
#include "agent/pipeline/table/table_step.h"
#include "agent/pipeline/thinning/thinning.h"

namespace rivulet::pipeline {
namespace {

std::unique_ptr<Operator> make_aggregate(const OperatorParts& parts) {
  using Kind = config::WindowSpec::Kind;
  const auto& aggregate = std::get<config::Aggregate>(parts.step.what);
  if (aggregate.of_table) return make_table_groups(parts);
  switch (aggregate.window.kind) {
    case Kind::none: return make_unwindowed(parts);
    case Kind::tumbling:
    case Kind::hopping: return make_time_windows(parts);
    case Kind::sliding: return make_sliding_windows(parts);
    case Kind::session: return make_session_windows(parts);
  }
  return nullptr;
}

// Times that a pipeline's records bring with them, each once. `seen`: many pipelines may read from one.
void collect_times(const config::Config& config, const config::Pipeline& pipeline, std::vector<config::Time>& times, std::set<std::string>& seen) {
  if (!seen.insert(pipeline.name).second) return;
  std::vector<std::string> inputs = pipeline.from;
  for (const config::Step& step : pipeline.steps)
    if (std::string other = other_input(step); !other.empty()) inputs.push_back(std::move(other));
  for (const std::string& from : inputs) {
    std::optional<config::Time> time;
    for (const config::Source& source : config.sources)
      if (source.name == from) time = source.time.value_or(config::Time{});
    for (const config::Pipeline& other : config.pipelines)
      if (other.name == from) {
        if (other.time) time = other.time;
        else collect_times(config, other, times, seen);
      }
    if (time && std::find(times.begin(), times.end(), *time) == times.end()) times.push_back(*time);
  }
}

}  // namespace

std::unique_ptr<Operator> make_operator(const OperatorParts& parts) {
  if (std::holds_alternative<config::Aggregate>(parts.step.what)) return make_aggregate(parts);
  if (std::holds_alternative<config::Suppress>(parts.step.what)) return make_suppress_limit(parts);
  if (std::holds_alternative<config::Table>(parts.step.what)) return make_table(parts);
  if (std::holds_alternative<config::Join>(parts.step.what)) return make_join(parts);
  if (std::holds_alternative<config::Absence>(parts.step.what)) return make_absence(parts);
  if (std::holds_alternative<config::Sample>(parts.step.what)) return make_sample(parts);
  if (std::holds_alternative<config::Dedupe>(parts.step.what)) return make_dedupe(parts);
  if (std::holds_alternative<config::Deadband>(parts.step.what)) return make_deadband(parts);
  if (std::holds_alternative<config::RateLimit>(parts.step.what)) return make_rate_limit(parts);
  RV_CHECK(false, "every stateful step has an operator");
  return nullptr;
}

std::string other_input(const config::Step& step) {
  const auto* join = std::get_if<config::Join>(&step.what);
  // A stream looks into its table and hears nothing of it.
  const bool looks = join != nullptr && (join->how == config::Join::How::stream_table || join->how == config::Join::How::lookup);
  return join == nullptr || looks ? std::string() : join->with;
}

std::string joined_with(const config::Step& step) {
  const auto* join = std::get_if<config::Join>(&step.what);
  return join == nullptr || join->how == config::Join::How::lookup ? std::string() : join->with;
}

bool part_of_the_step_before(const config::Step& step) {
  const auto* suppress = std::get_if<config::Suppress>(&step.what);
  return suppress != nullptr && suppress->until_closed;
}

std::optional<std::string> late_topic(const config::Step& step) {
  if (const auto* join = std::get_if<config::Join>(&step.what)) return join->late_topic;
  const auto* aggregate = std::get_if<config::Aggregate>(&step.what);
  return aggregate == nullptr ? std::nullopt : aggregate->late_topic;
}

config::Time time_of(const config::Config& config, const config::Pipeline& pipeline, std::vector<config::Problem>& problems) {
  if (pipeline.time) return *pipeline.time;
  std::vector<config::Time> times;
  std::set<std::string> seen;
  collect_times(config, pipeline, times, seen);
  const bool stateful = std::any_of(pipeline.steps.begin(), pipeline.steps.end(), config::is_stateful);
  if (times.size() > 1 && stateful)
    problems.push_back({pipeline.at, "pipelines." + pipeline.name, "reads from sources with different 'time' settings; give this pipeline its own 'time'", false});
  return times.empty() ? config::Time{} : times.front();
}

void check_idle(const config::Config& config, std::vector<config::Problem>& problems) {
  for (const config::Pipeline& pipeline : config.pipelines) {
    const auto waits = [](const config::Step& step) {
      const auto* aggregate = std::get_if<config::Aggregate>(&step.what);
      const bool closes = aggregate != nullptr && aggregate->emits() == config::EmitWhen::closed;
      return closes || std::holds_alternative<config::Absence>(step.what);
    };
    const auto step = std::find_if(pipeline.steps.begin(), pipeline.steps.end(), waits);
    std::vector<config::Problem> known;
    if (step == pipeline.steps.end() || time_of(config, pipeline, known).idle_ms != 0) continue;
    const bool absence = std::holds_alternative<config::Absence>(step->what);
    problems.push_back({step->at, step->path, std::string(absence ? "a silence is noticed" : "a window closes") + " when a later record comes, and when none comes, never; time: {idle: 30s} in the pipeline or its source goes by the clock", true});
  }
}

}  // namespace rivulet::pipeline
