#include "agent/pipeline/flatten.h"

#include <fmt/core.h>

#include <algorithm>

namespace rivulet::pipeline {
namespace {

constexpr std::size_t kKeptFields = 256;  // of capacity, after a record with thousands

// Whether there is anything in it.
bool full_object(const Field& field) {
  if (field.text || field.token.empty() || field.token.front() != '{') return false;
  JsonCursor inside(field.token.substr(1));
  return !inside.at('}');
}

}  // namespace

bool Flatten::add(std::string_view name, std::string_view quoted, std::string_view token) {
  if (flat_.size() == config_.max_fields) {
    failure_ = fmt::format("it would have more than {} fields (max_fields)", config_.max_fields);
    return false;
  }
  flat_.push_back({name, quoted, token});
  return true;
}

bool Flatten::add_named(std::string_view token, Arena& arena) {
  if (name_.size() > kMaxNameBytes) {
    failure_ = fmt::format("the name of a field would be longer than {} bytes: {}...", kMaxNameBytes, std::string_view(name_).substr(0, 60));
    return false;
  }
  quoted_.clear();
  codec::append_json_string(quoted_, name_);
  const std::string_view quoted = arena.keep(quoted_);
  const bool plain = quoted.size() == name_.size() + 2;  // nothing is escaped
  return add(plain ? quoted.substr(1, name_.size()) : arena.keep(name_), quoted, token);
}

// The members of an object whose bracket has been passed; name_ is what they are inside of.
bool Flatten::object(JsonCursor& at, std::uint32_t level, Arena& arena) {
  const std::size_t outside = name_.size();
  while (!at.take('}')) {
    if (at.at_end()) return true;
    at.take(',');
    const std::string_view quoted = at.text();
    at.take(':');
    name_ += config_.separator;
    name_ += codec::json_text(quoted, text_);
    JsonCursor inside = at;
    const bool deeper = (config_.depth == 0 || level < config_.depth) && inside.take('{') && !inside.at('}');
    if (deeper) {
      if (name_.size() > kMaxNameBytes) return add_named({}, arena);
      at = inside;
      if (!object(at, level + 1, arena)) return false;
    } else if (!add_named(at.value(), arena)) {
      return false;
    }
    name_.resize(outside);
  }
  return true;
}

result<void> Flatten::run(Row& row, Arena& arena) {
  if (std::none_of(row.fields.begin(), row.fields.end(), full_object)) {
    if (row.fields.size() <= config_.max_fields) return {};
    return Error{ErrorCode::invalid, fmt::format("it has more than {} fields (max_fields)", config_.max_fields)};
  }
  flat_.clear();
  if (flat_.capacity() > kKeptFields) flat_ = {};
  for (const Field& field : row.fields) {
    bool added = true;
    if (full_object(field)) {
      name_ = field.name;
      JsonCursor inside(field.token.substr(1));
      added = object(inside, 1, arena);
    } else if (field.text) {
      quoted_.clear();
      codec::append_json_string(quoted_, field.token);
      added = add(field.name, field.quoted, arena.keep(quoted_));
    } else {
      added = add(field.name, field.quoted, field.token);
    }
    if (!added) return Error{ErrorCode::invalid, failure_};
  }
  if (codec::has_repeated_names(flat_)) return Error{ErrorCode::invalid, "two of its values would be one field; rename one of them first, or take another separator"};
  row.fields.clear();
  for (const codec::JsonField& field : flat_) row.fields.push_back({field.name, field.quoted, field.token, false});
  row.changed = true;
  return {};
}

result<bool> Explode::elements(const Row& row, Growth& growth, std::vector<std::string_view>& found) const {
  found.clear();
  const Field* list = row.find(field_.name);
  if (list == nullptr || list->text || list->token.empty() || list->token.front() != '[') return false;
  std::size_t others = field_.quoted.size() + (row.key ? row.key->size() : 0);
  for (const Field& field : row.fields)
    if (&field != list) others += field.quoted.size() + field.token.size() + 2;
  std::size_t used = growth.used + list->token.size();
  JsonCursor at(list->token.substr(1));
  while (!at.take(']') && !at.at_end()) {
    at.take(',');
    found.push_back(at.value());
    used += others + 1;
    if (used > growth.most())
      return Error{ErrorCode::invalid, fmt::format("with the records that its list '{}' would give, what one message becomes takes more than {} bytes; take away fields that they need not repeat, first", field_.name, growth.most())};
  }
  growth.used = used;
  return true;
}

}  // namespace rivulet::pipeline
