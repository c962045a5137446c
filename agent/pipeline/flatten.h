// Flatten: objects inside a record become fields of it; Explode: a list becomes a record for each of its elements.
//
// {"a":{"b":1,"c":{}},"l":[2]} is {"a_b":1,"a_c":{},"l":[2]}: empty objects and lists stay what they are, tokens stay as they came. Two values
// that would be one field, more fields than max_fields, or a name beyond kMaxNameBytes: the record fails, nothing of it is guessed away.
// Thread: io. Bounds: names take at most max_fields * 2 * kMaxNameBytes of the Arena; what lists become: Growth.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/codec/json.h"
#include "agent/config/config.h"
#include "agent/pipeline/json_cursor.h"
#include "agent/pipeline/row.h"

namespace rivulet::pipeline {

class Flatten {
 public:
  static constexpr std::size_t kMaxNameBytes = 1024;
  explicit Flatten(config::Flatten config) : config_(std::move(config)) {}
  result<void> run(Row& row, Arena& arena);  // an error has changed nothing

 private:
  bool object(JsonCursor& at, std::uint32_t level, Arena& arena);
  bool add(std::string_view name, std::string_view quoted, std::string_view token);
  bool add_named(std::string_view token, Arena& arena);

  const config::Flatten config_;
  std::vector<codec::JsonField> flat_;
  std::string name_, text_, quoted_;
  std::string failure_;
};

// What one message (all frames of it), or one result of a stateful step, may become, through all the lists in it: four times its size, or 8 MiB where
// that is more.
struct Growth {
  std::size_t bytes = 0, used = 0;
  std::size_t most() const { return std::max<std::size_t>(8 << 20, 4 * bytes); }
};

class Explode {
 public:
  explicit Explode(const std::string& field) : field_(field) {}
  // The list's elements, in their order. False: there is no such list, and the record goes on as it is. An error: they would be too much.
  result<bool> elements(const Row& row, Growth& growth, std::vector<std::string_view>& found) const;
  const FieldName& field() const { return field_; }

 private:
  const FieldName field_;
};

}  // namespace rivulet::pipeline
