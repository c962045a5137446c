#include "agent/pipeline/route.h"

#include <fmt/core.h>

#include <charconv>

namespace rivulet::pipeline {
namespace {

// CASE is documented to evaluate in order and no more than it needs. A newline: nothing in a condition can hide the bracket.
std::string choice(const config::Route& route) {
  std::string sql = route.all ? "" : "CASE";
  for (std::size_t i = 0; i < route.cases.size(); ++i) {
    const std::string condition = " WHEN (" + route.cases[i].when.sql + "\n) THEN ";
    if (route.all) sql += (i == 0 ? "(CASE" : " || (CASE") + condition + "'1' ELSE '0' END)";
    else sql += condition + std::to_string(i);
  }
  return route.all ? sql : sql + " ELSE -1 END";
}

}  // namespace

Route::Route(Evaluator& evaluator, Arena& arena, const config::Step& step, std::vector<config::Problem>& problems)
    : arena_(arena), all_(std::get<config::Route>(step.what).all), has_else_(std::get<config::Route>(step.what).otherwise.has_value()),
      cases_(std::get<config::Route>(step.what).cases.size()), choice_(evaluator) {
  const auto& route = std::get<config::Route>(step.what);
  const std::size_t before = problems.size();
  for (std::size_t i = 0; i < cases_; ++i) {
    const std::string path = fmt::format("{}.cases[{}]", step.path, i);
    Group alone(evaluator);
    if (auto added = alone.add(ItemKind::condition, route.cases[i].when.sql); !added) problems.push_back({route.cases[i].when.at, path + ".when", added.error().message, false});
    add_target(evaluator, route.cases[i].to, path + ".to", problems);
  }
  if (route.otherwise) add_target(evaluator, *route.otherwise, step.path + ".else", problems);
  if (problems.size() != before) return;
  auto added = choice_.add(ItemKind::text, choice(route));
  if (added) added = choice_.prepare();
  if (!added) problems.push_back({step.at, step.path, added.error().message, false});
}

void Route::add_target(Evaluator& evaluator, const config::Output& to, const std::string& path, std::vector<config::Problem>& problems) {
  targets_.push_back({to, nullptr, 0});
  if (!to.key) return;
  targets_.back().key = std::make_unique<Group>(evaluator);
  auto added = targets_.back().key->add(ItemKind::text, to.key->sql);
  if (added) added = targets_.back().key->prepare();
  if (!added) problems.push_back({to.key->at, path + ".key", added.error().message, false});
}

result<void> Route::take(const Target& target, const Row& row, std::vector<Taken>& taken) {
  if (target.key == nullptr) return taken.push_back({&target, row.key}), result<void>();
  const Outcome outcome = target.key->run(row);
  if (outcome.kind == Outcome::Kind::failed) return Error{ErrorCode::invalid, "the key for " + target.to.topic + ": " + outcome.reason};
  const Group::Result& key = target.key->results()[0];
  taken.push_back({&target, key.null ? std::nullopt : std::optional(arena_.keep(key.text))});
  return {};
}

result<void> Route::run(const Row& row, std::vector<Taken>& taken) {
  taken.clear();
  const Outcome outcome = choice_.run(row);
  if (outcome.kind == Outcome::Kind::failed) return Error{ErrorCode::invalid, outcome.reason};
  const std::string_view chosen = choice_.results()[0].text;
  if (!all_) {
    int number = -1;
    std::from_chars(chosen.data(), chosen.data() + chosen.size(), number);
    if (number >= 0) return take(targets_[static_cast<std::size_t>(number)], row, taken);
  } else {
    for (std::size_t i = 0; i < cases_ && i < chosen.size(); ++i)
      if (chosen[i] == '1')
        if (auto done = take(targets_[i], row, taken); !done) return done;
  }
  return taken.empty() && has_else_ ? take(targets_.back(), row, taken) : result<void>();
}

}  // namespace rivulet::pipeline
