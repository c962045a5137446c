#include "agent/pipeline/enrich.h"

#include <algorithm>

#include "agent/codec/json.h"

namespace rivulet::pipeline {
namespace {

std::string token_of(const config::Constant& constant) {
  if (constant.plain) {
    if (codec::is_json_number(constant.text)) return constant.text;
    for (const char* const truth : {"true", "True", "TRUE"})
      if (constant.text == truth) return "true";
    for (const char* const truth : {"false", "False", "FALSE"})
      if (constant.text == truth) return "false";
    if (constant.text == "null" || constant.text == "~" || constant.text.empty()) return "null";
  }
  std::string token;
  codec::append_json_string(token, constant.text);
  return token;
}

}  // namespace

Enrichment::Enrichment(const config::Enrich& config) {
  add_fields(config.rows->otherwise);
  for (const auto& [key, row] : config.rows->by_key) add_fields(row);
  otherwise_.assign(fields_.size(), "null");
  otherwise_ = tokens(config.rows->otherwise);
  for (const auto& [key, row] : config.rows->by_key) rows_.emplace(key, tokens(row));
}

void Enrichment::add_fields(const config::Enrich::Row& row) {
  for (const auto& [field, constant] : row) {
    const std::string& name = field;
    if (std::none_of(fields_.begin(), fields_.end(), [&](const FieldName& known) { return known.name == name; })) fields_.emplace_back(name);
  }
}

Enrichment::Tokens Enrichment::tokens(const config::Enrich::Row& row) const {
  Tokens tokens = otherwise_;
  for (const auto& [field, constant] : row)
    for (std::size_t i = 0; i < fields_.size(); ++i)
      if (fields_[i].name == field) tokens[i] = token_of(constant);
  return tokens;
}

void Enrichment::set(Row& row, std::optional<std::string_view> key) const {
  const Tokens* tokens = &otherwise_;
  if (key)
    if (const auto found = rows_.find(*key); found != rows_.end()) tokens = &found->second;
  for (std::size_t i = 0; i < fields_.size(); ++i) row.set(fields_[i], (*tokens)[i]);
}

}  // namespace rivulet::pipeline
