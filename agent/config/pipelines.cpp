#include <algorithm>
#include <map>

#include "agent/config/sections.h"

namespace rivulet::config {
namespace {

constexpr std::size_t kMaxSteps = 100;
constexpr std::size_t kMaxExpression = 16 * 1024;

}  // namespace

std::optional<Expression> read_expression(const Value& value) {
  auto text = value.text();
  if (!text) return std::nullopt;
  if (text->find_first_not_of(" \t\r\n") == std::string::npos) {
    value.error("is empty, expected an expression");
    return std::nullopt;
  }
  if (text->size() > kMaxExpression) {
    value.error("is longer than 16KiB, expected a shorter expression");
    return std::nullopt;
  }
  return Expression{std::move(*text), value.at()};
}

std::vector<Assignment> read_assignments(const Value& value) {
  std::vector<Assignment> fields;
  if (!value.is_map()) {
    value.error("expected a map of field: expression");
    return fields;
  }
  for (const auto& [field, expression] : value.entries())
    if (auto read = read_expression(expression)) fields.push_back({field, std::move(*read)});
  if (value.node().size() == 0) value.error("is empty, expected at least one field: expression");
  return fields;
}

std::string read_step_name(const Map& map) {
  const auto name = map.get("name");
  return name ? name->name().value_or("") : std::string();
}

std::vector<const Output*> outputs_of(const Pipeline& pipeline) {
  std::vector<const Output*> outputs;
  for (const Step& step : pipeline.steps)
    if (const auto* route = std::get_if<Route>(&step.what)) {
      for (const Route::Case& one : route->cases) outputs.push_back(&one.to);
      if (route->otherwise) outputs.push_back(&*route->otherwise);
    }
  for (const Output& to : pipeline.to) outputs.push_back(&to);
  return outputs;
}

namespace {

using ReadStep = void (*)(const Value&, Step&);
const std::map<std::string, ReadStep> kReaders = {
    {"flatten", read_flatten}, {"enrich", read_enrich}, {"clamp", read_clamp}, {"route", read_route}, {"aggregate", read_aggregate},
    {"suppress", read_suppress}, {"table", read_table}, {"join", read_join}, {"absence", read_absence},
    {"sample", read_sample}, {"dedupe", read_dedupe}, {"deadband", read_deadband}, {"rate_limit", read_rate_limit},
};

void read_step_body(const std::string& kind, const Value& value, Step& step) {
  if (kind == "where") {
    if (auto condition = read_expression(value)) step.what = Where{std::move(*condition)};
  } else if (kind == "select") {
    step.what = Select{read_assignments(value)};
  } else if (kind == "set") {
    step.what = Set{read_assignments(value)};
  } else if (kind == "drop") {
    Drop drop;
    for (const Value& field : value.list())
      if (auto text = field.text()) drop.fields.push_back(*text);
    if (value.list().empty()) value.error("is empty, expected at least one field");
    step.what = drop;
  } else if (kind == "rename") {
    Rename rename;
    if (!value.is_map()) value.error("expected a map of old: new");
    else if (value.node().size() == 0) value.error("is empty, expected at least one old: new");
    std::map<std::string, std::string> old_names;
    for (const auto& [old_name, new_name] : value.entries()) {
      const auto text = new_name.text();
      if (!text) continue;
      if (const auto [other, is_new] = old_names.emplace(*text, old_name); !is_new) new_name.error("'" + *text + "' is the new name of '" + other->second + "' as well, and one of the values would be lost; expected another name");
      rename.fields.emplace_back(old_name, *text);
    }
    step.what = rename;
  } else if (kind == "key") {
    if (auto expression = read_expression(value)) step.what = Key{std::move(*expression)};
  } else if (kind == "timestamp") {
    if (auto expression = read_expression(value)) step.what = SetTimestamp{std::move(*expression)};
  } else if (const auto found = kReaders.find(kind); found != kReaders.end()) {
    found->second(value, step);
  } else {
    LogStep log;
    if (value.is_map()) {
      const Map map(value, schema::log_step);
      if (auto message = map.get("message")) log.message = message->text().value_or("");
      if (auto level = map.get("level")) log.level = level->choice().value_or("info");
      map.done();
    } else if (!value.is_null()) {
      log.message = value.text().value_or("");
    }
    step.what = log;
  }
}

std::optional<Step> read_step(const Value& value) {
  if (!value.is_map() || value.node().size() != 1) {
    value.error("expected one step as a map with one key, such as - where: temperature > 20");
    return std::nullopt;
  }
  const Map map(value, schema::step);
  if (map.keys().empty()) return std::nullopt;
  const std::string kind = map.keys().front();
  if (schema::step.find(kind) == nullptr) {
    const std::vector<std::string> kinds = alternatives_of(schema::step);
    std::string all;
    for (const std::string& known : kinds) all += " " + known;
    value.report().error(value.at(), value.path() + "." + kind, "is not a known step" + (suggestion(kind, kinds).empty() ? ", expected one of:" + all : suggestion(kind, kinds)));
    return std::nullopt;
  }
  const Value body = *map.get(kind);
  Step step;
  step.kind = kind;
  step.at = body.at();
  step.path = body.path();
  read_step_body(kind, body, step);
  return step;
}

}  // namespace

void read_pipelines(const Value& value, std::vector<Pipeline>& pipelines) {
  for (const auto& [name, entry] : value.entries()) {
    Pipeline pipeline;
    pipeline.name = name;
    pipeline.at = entry.at();
    check_name(name, entry);
    const Map map(entry, schema::pipeline);
    if (auto from = map.need("from", "a source, a pipeline, or a list of them"))
      for (const Value& one : from->list())
        if (auto text = one.text()) pipeline.from.push_back(*text);
    if (auto steps = map.get("steps")) {
      if (!steps->is_list()) {
        if (!steps->is_null()) steps->error("expected a list of steps, each beginning with - ");
      } else if (steps->node().size() > kMaxSteps) {
        steps->error("has " + std::to_string(steps->node().size()) + " steps, expected at most " + std::to_string(kMaxSteps));
      } else {
        for (const Value& one : steps->list())
          if (auto step = read_step(one)) pipeline.steps.push_back(std::move(*step));
        check_stateful(pipeline, *steps);
      }
    }
    if (auto time = map.get("time")) pipeline.time = read_time(*time);
    if (auto to = map.get("to")) pipeline.to = read_outputs(*to);
    if (auto changelog = map.get("changelog")) pipeline.changelog = changelog->topic();
    map.done();
    pipelines.push_back(std::move(pipeline));
  }
}

}  // namespace rivulet::config
