#include "agent/pipeline/expressions_check.h"

#include <fmt/core.h>

#include <algorithm>

#include "agent/pipeline/decoding.h"
#include "agent/pipeline/evaluator.h"
#include "agent/pipeline/sql_text.h"

namespace rivulet::pipeline {
namespace {

class Check {
 public:
  Check(const config::Config& config, const Clock& clock, std::vector<config::Problem>& problems) : config_(config), problems_(problems), evaluator_(clock) {
    for (const auto& extension : config.extensions)
      if (auto loaded = evaluator_.load_extension(extension.path); !loaded) problems.push_back({extension.at, "extensions", loaded.error().message, false});
    functions_missing_ = std::any_of(problems.begin(), problems.end(), [](const config::Problem& one) { return one.path.rfind("extensions", 0) == 0; });
  }

  void all() {
    for (const config::Source& source : config_.sources) {
      if (auto decoder = source.decode.pattern.empty() ? result<void>() : pattern(source.decode); !decoder)
        problem(source.decode.pattern_at, "sources." + source.name + ".decode.raw.pattern", decoder.error());
      expression(ItemKind::text, {source.key, source.key_at}, "sources." + source.name + ".key");
    }
    for (const config::Pipeline& pipeline : config_.pipelines) {
      for (const config::Step& each : pipeline.steps) step(each);
      for (const config::Output& to : pipeline.to) {
        const bool mqtt = to.local && std::holds_alternative<config::MqttOutput>(*to.local);
        expression(ItemKind::text, to.key, "pipelines." + pipeline.name + (mqtt ? ".to.mqtt.topic_from" : ".to.key"));
      }
    }
  }

 private:
  static result<void> pattern(const config::Decode& decode) {
    auto made = make_decoder(decode);
    return made ? result<void>() : result<void>(made.error());
  }

  void problem(const config::Location& at, const std::string& path, const Error& error) {
    if (functions_missing_ && error.message.rfind("no such function", 0) == 0) return;
    problems_.push_back({at, path, error.message, false});
  }

  // Empty: it could not be read, which is a problem already.
  void expression(ItemKind kind, const config::Expression& expression, const std::string& path) {
    if (expression.sql.empty()) return;
    Group alone(evaluator_);
    if (auto added = alone.add(kind, expression.sql); !added) problem(expression.at, path, added.error());
  }
  void expression(ItemKind kind, const std::optional<config::Expression>& one, const std::string& path) {
    if (one) expression(kind, *one, path);
  }
  void fields(const std::vector<config::Assignment>& assignments, const std::string& path) {
    for (const config::Assignment& field : assignments) expression(ItemKind::json, field.expression, path + "." + field.field);
  }

  void step(const config::Step& step) {
    if (const auto* where = std::get_if<config::Where>(&step.what)) expression(ItemKind::condition, where->condition, step.path);
    if (const auto* set = std::get_if<config::Set>(&step.what)) fields(set->fields, step.path);
    if (const auto* select = std::get_if<config::Select>(&step.what)) fields(select->fields, step.path);
    if (const auto* key = std::get_if<config::Key>(&step.what)) expression(ItemKind::text, key->expression, step.path);
    if (const auto* timestamp = std::get_if<config::SetTimestamp>(&step.what)) expression(ItemKind::timestamp, timestamp->expression, step.path);
    if (const auto* enrich = std::get_if<config::Enrich>(&step.what)) expression(ItemKind::text, enrich->by, step.path + ".by");
    if (const auto* route = std::get_if<config::Route>(&step.what)) cases(*route, step.path);
    if (const auto* aggregate = std::get_if<config::Aggregate>(&step.what)) expression(ItemKind::text, aggregate->by, step.path + ".by");
    if (const auto* sample = std::get_if<config::Sample>(&step.what)) expression(ItemKind::text, sample->by, step.path + ".by");
    if (const auto* dedupe = std::get_if<config::Dedupe>(&step.what)) expression(ItemKind::text, dedupe->by, step.path + ".by");
    if (const auto* deadband = std::get_if<config::Deadband>(&step.what)) expression(ItemKind::text, deadband->by, step.path + ".by");
    if (const auto* limit = std::get_if<config::RateLimit>(&step.what)) expression(ItemKind::text, limit->by, step.path + ".by");
    if (const auto* join = std::get_if<config::Join>(&step.what); join != nullptr && join->on) {
      auto sql = left_alone(join->on->sql);
      if (sql) expression(ItemKind::text, config::Expression{*sql, join->on->at}, step.path + ".on");
      else problem(join->on->at, step.path + ".on", sql.error());
    }
  }

  void cases(const config::Route& route, const std::string& path) {
    for (std::size_t i = 0; i < route.cases.size(); ++i) {
      const std::string at = fmt::format("{}.cases[{}]", path, i);
      expression(ItemKind::condition, route.cases[i].when, at + ".when");
      expression(ItemKind::text, route.cases[i].to.key, at + ".to.key");
    }
    if (route.otherwise) expression(ItemKind::text, route.otherwise->key, path + ".else.key");
  }

  const config::Config& config_;
  std::vector<config::Problem>& problems_;
  Evaluator evaluator_;
  bool functions_missing_ = false;
};

}  // namespace

void check_expressions(const config::Config& config, const Clock& clock, std::vector<config::Problem>& problems) { Check(config, clock, problems).all(); }

}  // namespace rivulet::pipeline
