#include "agent/pipeline/steps.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>

#include "agent/codec/json.h"

namespace rivulet::pipeline {
namespace {

constexpr std::size_t kMaxItems = 60;       // in one statement: SQLite's expression depth is bounded
constexpr std::size_t kLoggedBytes = 400;

bool null_value(const Row& row) { return !row.bytes; }

}  // namespace

void Steps::compile(const std::vector<config::Step>& steps, const std::optional<config::Output>& to, std::vector<config::Problem>& problems) {
  steps_ = steps;
  for (const config::Step& step : steps_) add_step(step, problems);
  close_group(problems);
  if (!to || !to->key) return;
  key_ = std::make_unique<Group>(evaluator_);
  auto added = key_->add(ItemKind::text, to->key->sql);
  if (added) added = key_->prepare();
  if (!added) problems.push_back({to->key->at, "pipelines." + pipeline_ + ".to.key", added.error().message, false});
}

Steps::Stage& Steps::open_group(const config::Step&) {
  if (!open_) {
    stages_.push_back({std::make_unique<Group>(evaluator_), {}, nullptr});
    changed_.clear();
    open_ = true;
  }
  return stages_.back();
}

void Steps::close_group(std::vector<config::Problem>& problems) {
  if (!open_) return;
  open_ = false;
  changed_.clear();
  Stage& stage = stages_.back();
  if (stage.group->size() == 0) {
    stages_.pop_back();
  } else if (auto prepared = stage.group->prepare(); !prepared) {
    problems.push_back({steps_[stage.apply.front().step].at, steps_[stage.apply.front().step].path, prepared.error().message, false});
  }
}

void Steps::add_item(ItemKind kind, const config::Expression& expression, Apply apply, const std::string& path, std::vector<config::Problem>& problems) {
  auto added = stages_.back().group->add(kind, expression.sql);
  if (!added) problems.push_back({expression.at, path, added.error().message, false});
  else stages_.back().apply.push_back(std::move(apply));
}

void Steps::add_step(const config::Step& step, std::vector<config::Problem>& problems) {
  const std::size_t index = kinds_.size();
  kinds_.push_back(step.kind);
  std::vector<const config::Expression*> expressions;
  if (const auto* where = std::get_if<config::Where>(&step.what)) expressions = {&where->condition};
  if (const auto* key = std::get_if<config::Key>(&step.what)) expressions = {&key->expression};
  if (const auto* timestamp = std::get_if<config::SetTimestamp>(&step.what)) expressions = {&timestamp->expression};
  const auto* set = std::get_if<config::Set>(&step.what);
  const auto* select = std::get_if<config::Select>(&step.what);
  if (set != nullptr)
    for (const config::Assignment& field : set->fields) expressions.push_back(&field.expression);
  if (select != nullptr)
    for (const config::Assignment& field : select->fields) expressions.push_back(&field.expression);

  if (expressions.empty()) {  // drop, rename, log
    close_group(problems);
    stages_.push_back({nullptr, {}, &step});
    return;
  }
  if (open_) {  // does it read what the group has changed so far?
    Group probe(evaluator_);
    for (const config::Expression* expression : expressions) static_cast<void>(probe.add(ItemKind::token, expression->sql).has_value());
    const bool stale = std::any_of(changed_.begin(), changed_.end(), [&](const std::string& field) { return probe.reads(field); });
    if (stale || stages_.back().group->size() + expressions.size() > kMaxItems) close_group(problems);
  }
  open_group(step);
  if (const auto* where = std::get_if<config::Where>(&step.what)) return add_item(ItemKind::condition, where->condition, {Apply::What::nothing, "", index, false}, step.path, problems);
  if (const auto* key = std::get_if<config::Key>(&step.what)) return add_item(ItemKind::text, key->expression, {Apply::What::key, "", index, false}, step.path, problems);
  if (const auto* timestamp = std::get_if<config::SetTimestamp>(&step.what)) return add_item(ItemKind::token, timestamp->expression, {Apply::What::timestamp, "", index, false}, step.path, problems);
  bool first = true;
  for (const config::Assignment& field : set != nullptr ? set->fields : select->fields) {
    add_item(ItemKind::token, field.expression, {Apply::What::set, field.field, index, select != nullptr && first}, step.path + "." + field.field, problems);
    changed_.push_back(field.field);
    first = false;
  }
  if (select != nullptr) close_group(problems);  // every field is another one now
}

StepResult Steps::run(Row& row, StepFailure& failure) {
  for (Stage& stage : stages_) {
    if (stage.group == nullptr) {
      run_plain(*stage.plain, row);
    } else if (const StepResult result = run_group(stage, row, failure); result != StepResult::passed) {
      return result;
    }
  }
  return StepResult::passed;
}

StepResult Steps::run_group(Stage& stage, Row& row, StepFailure& failure) {
  const Outcome outcome = stage.group->run(row);
  if (outcome.kind == Outcome::Kind::stopped) return StepResult::filtered;
  if (outcome.kind == Outcome::Kind::failed) {
    failure = {kinds_[stage.apply[std::min(outcome.item, stage.apply.size() - 1)].step], outcome.reason};
    return StepResult::failed;
  }
  const auto& results = stage.group->results();
  for (std::size_t i = 0; i < stage.apply.size(); ++i) {
    const Apply& apply = stage.apply[i];
    if (apply.what == Apply::What::key) {
      row.key = results[i].null ? std::nullopt : std::optional(arena_.keep(results[i].text));
    } else if (apply.what == Apply::What::timestamp) {
      const std::string_view text = results[i].text;
      std::int64_t ms = 0;
      const auto parsed = std::from_chars(text.data(), text.data() + text.size(), ms);
      if (parsed.ec != std::errc() || ms < 0) {
        failure = {kinds_[apply.step], fmt::format("the result {} is no timestamp, expected milliseconds since 1970", text.substr(0, 40))};
        return StepResult::failed;
      }
      row.timestamp_ms = ms;
    } else if (apply.what == Apply::What::set && !null_value(row)) {
      if (apply.clears) row.fields.clear();
      row.set(apply.field, arena_.keep(results[i].text));
    }
  }
  return StepResult::passed;
}

void Steps::run_plain(const config::Step& step, Row& row) {
  if (const auto* log = std::get_if<config::LogStep>(&step.what)) {
    std::string buffer;
    const auto value = row.value(buffer);
    spdlog::log(spdlog::level::from_str(log->level), "pipeline {}: {}{}key={} value={}", pipeline_, log->message, log->message.empty() ? "" : ": ",
                row.key.value_or("null"), value ? value->substr(0, kLoggedBytes) : std::string_view("null"));
    return;
  }
  if (null_value(row)) return;
  if (const auto* drop = std::get_if<config::Drop>(&step.what))
    for (const std::string& field : drop->fields) row.drop(field);
  if (const auto* rename = std::get_if<config::Rename>(&step.what))
    for (const auto& [from, to] : rename->fields) row.rename(from, to);
}

StepResult Steps::output_key(Row& row, StepFailure& failure) {
  if (key_ == nullptr) return StepResult::passed;
  const Outcome outcome = key_->run(row);
  if (outcome.kind == Outcome::Kind::failed) {
    failure = {"to.key", outcome.reason};
    return StepResult::failed;
  }
  row.key = key_->results()[0].null ? std::nullopt : std::optional(arena_.keep(key_->results()[0].text));
  return StepResult::passed;
}

std::string describe(const config::Step& step) {
  const auto assignments = [](const std::vector<config::Assignment>& fields) {
    std::string text;
    for (const config::Assignment& field : fields) text += (text.empty() ? "" : ", ") + field.field + " = " + field.expression.sql;
    return text;
  };
  std::string text = step.kind + " ";
  if (const auto* where = std::get_if<config::Where>(&step.what)) text += where->condition.sql;
  if (const auto* key = std::get_if<config::Key>(&step.what)) text += key->expression.sql;
  if (const auto* timestamp = std::get_if<config::SetTimestamp>(&step.what)) text += timestamp->expression.sql;
  if (const auto* set = std::get_if<config::Set>(&step.what)) text += assignments(set->fields);
  if (const auto* select = std::get_if<config::Select>(&step.what)) text += assignments(select->fields);
  if (const auto* drop = std::get_if<config::Drop>(&step.what))
    for (const std::string& field : drop->fields) text += field + " ";
  if (const auto* rename = std::get_if<config::Rename>(&step.what))
    for (const auto& [from, to] : rename->fields) text += from + " to " + to + " ";
  if (const auto* log = std::get_if<config::LogStep>(&step.what)) text += log->message;
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

}  // namespace rivulet::pipeline
