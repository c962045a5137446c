#include "agent/pipeline/join/select.h"

#include <algorithm>

#include "agent/pipeline/sql_text.h"

namespace rivulet::pipeline {
namespace {

constexpr std::size_t kKeptBytes = 64 * 1024;

bool of_left(const std::string& name) { return name == "left" || name.rfind("left.", 0) == 0; }
bool of_right(const std::string& name) { return name == "right" || name.rfind("right.", 0) == 0; }

// A value as it came may have white space around it, a token has none.
std::string_view token_of(const Side& side) {
  std::string_view token = side.value;
  if (side.text) return token;
  constexpr std::string_view white = " \t\r\n";
  token.remove_prefix(std::min(token.find_first_not_of(white), token.size()));
  return token.substr(0, token.find_last_not_of(white) + 1);
}

void append_whole(std::string& to, const Side* side) {
  if (side == nullptr) to += "null";
  else if (side->text) codec::append_json_string(to, side->value);
  else to += token_of(*side);
}

}  // namespace

JoinSelect::JoinSelect(Evaluator& evaluator, const config::Join& join, const std::string& path, std::vector<config::Problem>& problems) {
  if (join.select.empty()) return;
  group_.emplace(evaluator);
  const std::size_t before = problems.size();
  for (const config::Assignment& field : join.select) {
    names_.emplace_back(field.field);
    if (auto added = add(field.expression.sql); !added) problems.push_back({field.expression.at, path + ".select." + field.field, added.error().message, false});
  }
  if (problems.size() != before) return;
  if (auto prepared = group_->prepare(); !prepared) {
    problems.push_back({join.select.front().expression.at, path + ".select", prepared.error().message, false});
    return;
  }
  for (const std::string& name : group_->fields()) {
    const bool left = of_left(name);
    const std::size_t dot = name.find('.');
    wanted_.push_back({left, dot == std::string::npos ? std::string() : name.substr(dot + 1), &name});
    if (dot != std::string::npos) (left ? reads_left_ : reads_right_) = true;
  }
}

result<void> JoinSelect::add(const std::string& expression) {
  auto sql = name_sides(expression);
  if (!sql) return sql.error();
  const std::size_t known = group_->fields().size();
  if (auto added = group_->add(ItemKind::json, *sql); !added) return added;
  for (std::size_t i = known; i < group_->fields().size(); ++i)
    if (const std::string& name = group_->fields()[i]; !of_left(name) && !of_right(name))
      return Error{ErrorCode::invalid, "'" + name + "' is a field of which side? Expected left." + name + " or right." + name};
  return {};
}

result<void> JoinSelect::bind(const Side& side, bool left, codec::JsonDocument& json) {
  const bool reads = left ? reads_left_ : reads_right_;
  auto kind = codec::JsonKind::empty;
  if (reads && side.row == nullptr && !side.text) {
    auto parsed = json.parse(side.value);
    if (!parsed) return parsed.error();
    kind = *parsed;
  }
  const auto put = [&](const Wanted& wanted, std::string_view token, bool text) { row_.fields.push_back({*wanted.full, {}, token, text}); };
  for (const Wanted& wanted : wanted_) {
    if (wanted.left != left) continue;
    if (wanted.name.empty()) {
      put(wanted, token_of(side), side.text);
    } else if (side.row != nullptr) {
      if (const Field* field = side.row->find(wanted.name)) put(wanted, field->token, field->text);
    } else if (kind != codec::JsonKind::object) {
      if (wanted.name == "value") put(wanted, side.text ? side.value : json.token(), side.text);
    } else {
      for (const codec::JsonField& field : json.fields())
        if (field.name == wanted.name) {
          put(wanted, field.token, false);
          break;
        }
    }
  }
  return {};
}

result<std::string_view> JoinSelect::value(const Side* left, const Side* right) {
  if (result_.capacity() > kKeptBytes) result_ = std::string();
  result_.clear();
  if (!group_) {
    result_ += "{\"left\":";
    append_whole(result_, left);
    result_ += ",\"right\":";
    append_whole(result_, right);
    result_ += '}';
    return std::string_view(result_);
  }
  row_.clear();
  if (left != nullptr)
    if (auto bound = bind(*left, true, left_json_); !bound) return bound.error();
  if (right != nullptr)
    if (auto bound = bind(*right, false, right_json_); !bound) return bound.error();
  const Outcome outcome = group_->run(row_);
  if (outcome.kind == Outcome::Kind::failed) return Error{ErrorCode::invalid, "select." + names_[outcome.item].name + ": " + outcome.reason};
  for (std::size_t i = 0; i < names_.size(); ++i) {
    result_ += i == 0 ? '{' : ',';
    result_ += names_[i].quoted;
    result_ += ':';
    result_ += group_->results()[i].text;
  }
  result_ += '}';
  return std::string_view(result_);
}

}  // namespace rivulet::pipeline
