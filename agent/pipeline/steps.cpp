#include "agent/pipeline/steps.h"

#include <algorithm>

namespace rivulet::pipeline {
namespace {

constexpr std::size_t kMaxItems = 200;  // in one statement

std::vector<const config::Expression*> expressions_of(const config::Step& step) {
  if (const auto* where = std::get_if<config::Where>(&step.what)) return {&where->condition};
  if (const auto* key = std::get_if<config::Key>(&step.what)) return {&key->expression};
  if (const auto* timestamp = std::get_if<config::SetTimestamp>(&step.what)) return {&timestamp->expression};
  std::vector<const config::Expression*> found;
  if (const auto* enrich = std::get_if<config::Enrich>(&step.what); enrich != nullptr && enrich->by) return {&*enrich->by};
  if (const auto* set = std::get_if<config::Set>(&step.what))
    for (const config::Assignment& field : set->fields) found.push_back(&field.expression);
  if (const auto* select = std::get_if<config::Select>(&step.what))
    for (const config::Assignment& field : select->fields) found.push_back(&field.expression);
  return found;
}

}  // namespace

void Steps::compile(const std::vector<config::Step>& steps, const std::vector<config::Output>& to, std::vector<config::Problem>& problems) {
  steps_ = steps;
  for (const config::Step& step : steps_) add_step(step, problems);
  close_group(problems);
  for (const config::Output& output : to) {
    std::unique_ptr<Group>& key = keys_.emplace_back();
    if (!output.key) continue;
    key = std::make_unique<Group>(evaluator_);
    auto added = key->add(ItemKind::text, output.key->sql);
    if (added) added = key->prepare();
    const bool mqtt = output.local && std::holds_alternative<config::MqttOutput>(*output.local);
    if (!added) problems.push_back({output.key->at, "pipelines." + pipeline_ + (mqtt ? ".to.mqtt.topic_from" : ".to.key"), added.error().message, false});
  }
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

// Does the step see the same record when it is evaluated together with what is in the open group?
bool Steps::fits_the_open_group(const std::vector<const config::Expression*>& expressions) const {
  const Group& group = *stages_.back().group;
  if (group.size() + expressions.size() > kMaxItems) return false;
  Group probe(evaluator_);  // a problem in an expression is reported when it is added for good
  for (const config::Expression* expression : expressions) static_cast<void>(probe.add(ItemKind::json, expression->sql).has_value());
  return std::none_of(probe.fields().begin(), probe.fields().end(), [&](const std::string& field) {
    return group.clashes(field) != nullptr || std::find(changed_.begin(), changed_.end(), field) != changed_.end();
  });
}

void Steps::add_step(const config::Step& step, std::vector<config::Problem>& problems) {
  const auto index = static_cast<std::size_t>(&step - steps_.data());
  const auto expressions = expressions_of(step);
  if (expressions.empty()) {
    close_group(problems);
    return add_plain(step);
  }
  if (open_ && !fits_the_open_group(expressions)) close_group(problems);
  if (!open_) {
    stages_.push_back({std::make_unique<Group>(evaluator_), {}, nullptr});
    open_ = true;
  }
  if (const auto* enrich = std::get_if<config::Enrich>(&step.what)) {
    const auto rows = std::make_shared<const Enrichment>(*enrich);
    for (const FieldName& field : rows->fields()) changed_.push_back(field.name);
    return add_item(ItemKind::text, *expressions[0], {Apply::What::enrich, {}, index, false, rows}, step.path + ".by", problems);
  }
  if (std::holds_alternative<config::Where>(step.what)) return add_item(ItemKind::condition, *expressions[0], {Apply::What::nothing, {}, index, false}, step.path, problems);
  if (std::holds_alternative<config::Key>(step.what)) return add_item(ItemKind::text, *expressions[0], {Apply::What::key, {}, index, false}, step.path, problems);
  if (std::holds_alternative<config::SetTimestamp>(step.what)) return add_item(ItemKind::timestamp, *expressions[0], {Apply::What::timestamp, {}, index, false}, step.path, problems);
  const auto* select = std::get_if<config::Select>(&step.what);
  bool first = select != nullptr;
  for (const config::Assignment& field : select != nullptr ? select->fields : std::get<config::Set>(step.what).fields) {
    add_item(ItemKind::json, field.expression, {Apply::What::set, FieldName(field.field), index, first}, step.path + "." + field.field, problems);
    changed_.push_back(field.field);
    first = false;
  }
  if (select != nullptr) close_group(problems);  // every field is another one now
}

// What needs no expression: drop, rename, log, flatten, clamp, enrich by the record's key.
void Steps::add_plain(const config::Step& step) {
  Stage& stage = stages_.emplace_back(Stage{nullptr, {}, &step});
  if (const auto* rename = std::get_if<config::Rename>(&step.what))
    for (const auto& [from, to] : rename->fields) stage.renamed.push_back({from, FieldName(to)});
  if (const auto* flatten = std::get_if<config::Flatten>(&step.what)) stage.flatten = std::make_unique<Flatten>(*flatten);
  if (const auto* clamp = std::get_if<config::Clamp>(&step.what)) stage.clamp = std::make_unique<Clamp>(*clamp, clock_);
  if (const auto* enrich = std::get_if<config::Enrich>(&step.what)) stage.enrich = std::make_unique<Enrichment>(*enrich);
}

std::uint64_t Steps::clamped() const {
  std::uint64_t all = 0;
  for (const Stage& stage : stages_)
    if (stage.clamp != nullptr) all += stage.clamp->clamped();
  return all;
}

}  // namespace rivulet::pipeline
