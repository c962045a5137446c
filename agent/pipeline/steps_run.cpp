// The compiled steps of one pipeline, for each record; optimised for speed (CMakeLists.txt).
#include "agent/base/log.h"
#include "agent/pipeline/steps.h"

namespace rivulet::pipeline {
namespace {

constexpr std::size_t kLoggedBytes = 400;  // of a value, and of a key

bool null_value(const Row& row) { return !row.bytes; }

}  // namespace

StepResult Steps::run(Row& row, StepFailure& failure) {
  for (Stage& stage : stages_) {
    const StepResult result = stage.group == nullptr ? run_plain(stage, row, failure) : run_group(stage, row, failure);
    if (result != StepResult::passed) return result;
  }
  return StepResult::passed;
}

StepResult Steps::run_group(Stage& stage, Row& row, StepFailure& failure) {
  const Outcome outcome = stage.group->run(row);
  if (outcome.kind == Outcome::Kind::stopped) return StepResult::filtered;
  if (outcome.kind == Outcome::Kind::failed) {
    failure = {steps_[stage.apply[outcome.item].step].kind, outcome.reason};
    return StepResult::failed;
  }
  const auto& results = stage.group->results();
  for (std::size_t i = 0; i < stage.apply.size(); ++i) {
    const Apply& apply = stage.apply[i];
    switch (apply.what) {
      case Apply::What::nothing: break;
      case Apply::What::key: row.key = results[i].null ? std::nullopt : std::optional(arena_.keep(results[i].text)); break;
      case Apply::What::timestamp: row.timestamp_ms = results[i].timestamp_ms; break;
      case Apply::What::enrich:
        if (!null_value(row)) apply.rows->set(row, results[i].null ? std::nullopt : std::optional(results[i].text));
        break;
      case Apply::What::set:
        if (null_value(row)) break;
        if (apply.clears) row.fields.clear();
        row.set(apply.field, arena_.keep(results[i].text));
    }
  }
  return StepResult::passed;
}

void Steps::log(const config::LogStep& step, const Row& row) {
  const auto level = log::level_of(step.level);
  if (!log::is_written(level)) return;
  std::string buffer;
  const auto value = row.value(buffer);
  log::write(level, "pipeline {}: {}{}key={} value={}", pipeline_, step.message, step.message.empty() ? "" : ": ", row.key ? row.key->substr(0, kLoggedBytes) : "null",
              value ? value->substr(0, kLoggedBytes) : "null");
}

StepResult Steps::run_plain(Stage& stage, Row& row, StepFailure& failure) {
  if (stage.clamp != nullptr) stage.clamp->run(row.timestamp_ms);
  if (const auto* logged = std::get_if<config::LogStep>(&stage.plain->what)) log(*logged, row);
  if (null_value(row)) return StepResult::passed;
  if (const auto* drop = std::get_if<config::Drop>(&stage.plain->what))
    for (const std::string& field : drop->fields) row.drop(field);
  if (!stage.renamed.empty()) row.rename(stage.renamed);
  if (stage.enrich != nullptr) stage.enrich->set(row, row.key);
  if (stage.flatten == nullptr) return StepResult::passed;
  const auto done = stage.flatten->run(row, arena_);
  if (done) return StepResult::passed;
  failure = {stage.plain->kind, done.error().message};
  return StepResult::failed;
}

StepResult Steps::output_key(std::size_t output, const Row& row, std::optional<std::string_view>& key, StepFailure& failure) {
  key = row.key;
  Group* const own = keys_[output].get();
  if (own == nullptr) return StepResult::passed;
  const Outcome outcome = own->run(row);
  if (outcome.kind == Outcome::Kind::failed) {
    failure = {"to.key", outcome.reason};
    return StepResult::failed;
  }
  key = own->results()[0].null ? std::nullopt : std::optional(arena_.keep(own->results()[0].text));
  return StepResult::passed;
}

}  // namespace rivulet::pipeline
