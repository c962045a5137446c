// Grouping: whose records a step looks at together: those of a key (the record's, or an expression's), or all.
//
// A group's id is "=" and the key's text; records with a null key are a group of their own, as are all with `scope: all`: the empty id. Thread: io.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "agent/pipeline/stateful/operator.h"

namespace rivulet::pipeline {

class Grouping {
 public:
  Grouping(const OperatorParts& parts, const config::Grouped& config);
  result<std::string> of(const Row& row);  // an error: `by` failed
  bool one_for_all() const { return all_; }
  const std::string& definition() const { return definition_; }  // a part of the step's

 private:
  const bool all_;
  std::unique_ptr<Group> by_;
  std::string definition_;
};

// Of the record's key.
std::string group_of(const std::optional<std::string_view>& key);
// The key that an id says, for people.
inline std::string_view key_of(std::string_view id) { return id.empty() ? id : id.substr(1); }
// Where the row of a group lies.
KeyRange range_of_group(std::string_view key);

// "the expression, compiled", or a problem at its place.
std::unique_ptr<Group> key_expression(const OperatorParts& parts, const config::Expression& expression);

}  // namespace rivulet::pipeline
