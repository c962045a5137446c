// Enrichment: the rows of an `enrich` step, which stand in the configuration: fields by a key.
//
// Every record gets every field that some row has: its row's value, else the default's, else null. A number, true, false and null without
// quotes are what they are in JSON, all else is text. Thread: io. Lifetime: what set() gives a row are views into this.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/config.h"
#include "agent/pipeline/row.h"
#include "agent/pipeline/stateful/by_key.h"

namespace rivulet::pipeline {

class Enrichment {
 public:
  explicit Enrichment(const config::Enrich& config);
  const std::vector<FieldName>& fields() const { return fields_; }
  void set(Row& row, std::optional<std::string_view> key) const;

 private:
  using Tokens = std::vector<std::string>;  // one for each field
  Tokens tokens(const config::Enrich::Row& row) const;
  void add_fields(const config::Enrich::Row& row);

  std::vector<FieldName> fields_;
  Tokens otherwise_;
  ByKey<Tokens> rows_;
};

}  // namespace rivulet::pipeline
