#include "agent/pipeline/thinning/grouping.h"

namespace rivulet::pipeline {

std::unique_ptr<Group> key_expression(const OperatorParts& parts, const config::Expression& expression) {
  auto group = std::make_unique<Group>(parts.evaluator);
  auto added = group->add(ItemKind::text, expression.sql);
  if (added) added = group->prepare();
  if (!added) parts.problems.push_back({expression.at, parts.step.path + ".by", added.error().message, false});
  return group;
}

Grouping::Grouping(const OperatorParts& parts, const config::Grouped& config) : all_(config.all) {
  definition_ = all_ ? "of all\n" : "by " + (config.by ? config.by->sql : "") + "\n";
  if (config.by) by_ = key_expression(parts, *config.by);
}

std::string group_of(const std::optional<std::string_view>& key) { return key ? "=" + std::string(*key) : std::string(); }

KeyRange range_of_group(std::string_view key) {
  if (key.empty()) return {};  // the null key's row is called so, too
  std::string id = group_of(key);
  return {id, id + '\0'};
}

result<std::string> Grouping::of(const Row& row) {
  if (all_) return std::string();
  if (by_ == nullptr) return group_of(row.key);
  const Outcome outcome = by_->run(row);
  if (outcome.kind == Outcome::Kind::failed) return Error{ErrorCode::invalid, "by: " + outcome.reason};
  const Group::Result& key = by_->results()[0];
  return key.null ? std::string() : group_of(key.text);
}

}  // namespace rivulet::pipeline
