// Flatten: objects inside a record become fields of it; Explode: a list becomes a record for each of its elements.
//
// {"a":{"b":1,"c":{}},"l":[2]} is {"a_b":1,"a_c":{},"l":[2]}: empty objects and lists stay what they are, tokens stay as they came. Two values
// that would be one field, more fields than max_fields, or a name beyond kMaxNameBytes: the record fails, nothing of it is guessed away.
// Thread: io. Bounds: names take at most max_fields * 2 * kMaxNameBytes of the Arena; an exploded record's records together
// kMaxGrowth times its size or kMinRecordsBytes, whatever is more.
#pragma once
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

class Explode {
 public:
  explicit Explode(const std::string& field) : field_(field) {}
  // The list's elements, in their order. False: there is no such list, and the record goes on as it is. An error: they would be too much.
  result<bool> elements(const Row& row, std::vector<std::string_view>& found) const;
  const FieldName& field() const { return field_; }

 private:
  static constexpr std::size_t kMaxGrowth = 4, kMinRecordsBytes = 8 << 20;
  const FieldName field_;
};

}  // namespace rivulet::pipeline
