// JoinSelect: the value of a joined pair. Expressions see left.x and right.x; left and right alone are whole values.
//
// Without expressions it is {"left":...,"right":...}. A side that is missing is null, and so are all its fields.
// Thread: io. Lifetime: within its Evaluator.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/codec/json.h"
#include "agent/config/config.h"
#include "agent/pipeline/evaluator.h"
#include "agent/pipeline/row.h"

namespace rivulet::pipeline {

// A side's value; `row` where its fields are known already.
struct Side {
  std::string_view value;
  bool text = false;
  const Row* row = nullptr;
};

class JoinSelect {
 public:
  JoinSelect(Evaluator& evaluator, const config::Join& join, const std::string& path, std::vector<config::Problem>& problems);

  // JSON, valid until the next call. Error: an expression failed.
  result<std::string_view> value(const Side* left, const Side* right);

 private:
  struct Wanted {
    bool left;
    std::string name;  // of the field; empty: the whole value
    const std::string* full;
  };
  result<void> add(const std::string& expression);
  result<void> bind(const Side& side, bool left, codec::JsonDocument& json);

  std::optional<Group> group_;
  std::vector<FieldName> names_;
  std::vector<Wanted> wanted_;
  bool reads_left_ = false, reads_right_ = false;  // fields, not only the whole
  Row row_;
  codec::JsonDocument left_json_, right_json_;
  std::string result_;
};

}  // namespace rivulet::pipeline
