#include "agent/codec/json_object.h"

#include <fmt/core.h>

namespace rivulet::codec {
namespace {

constexpr std::size_t kKeptBytes = 64 * 1024, kKeptFields = 256;

}  // namespace

void JsonObject::clear() {
  if (text_.capacity() > kKeptBytes) text_ = std::string();
  if (names_.capacity() > kKeptBytes) names_ = std::string();
  if (spans_.capacity() > kKeptFields) spans_ = std::vector<Span>();
  if (fields_.capacity() > kKeptFields) fields_ = std::vector<JsonField>();
  kind_ = JsonKind::object;
  text_.clear();
  names_.clear();
  spans_.clear();
  fields_.clear();
}

std::string& JsonObject::named(std::string_view name, std::size_t at) {
  Span span;
  span.quoted = at;
  span.name = kInside;
  if (text_.size() - at != name.size() + 2) {
    span.name = names_.size();
    names_ += name;
  }
  text_ += ':';
  span.token = text_.size();
  spans_.push_back(span);
  return text_;
}

result<void> JsonObject::end() {
  if (spans_.size() > kMaxFields) return Error{ErrorCode::invalid, fmt::format("more than {} fields", kMaxFields)};
  if (!spans_.empty()) spans_.back().end = text_.size();
  text_ += '}';
  const std::string_view text = text_, names = names_;
  std::size_t name_end = names.size();
  fields_.resize(spans_.size());
  for (std::size_t i = spans_.size(); i-- > 0;) {
    const Span& span = spans_[i];
    JsonField& field = fields_[i];
    field.quoted = text.substr(span.quoted, span.token - 1 - span.quoted);
    field.token = text.substr(span.token, span.end - span.token);
    if (span.name == kInside) {
      field.name = field.quoted.substr(1, field.quoted.size() - 2);
    } else {
      field.name = names.substr(span.name, name_end - span.name);
      name_end = span.name;
    }
  }
  if (has_repeated_names(fields_)) {
    return Error{ErrorCode::invalid, "a field stands twice; which one counts is not defined"};
  }
  return {};
}

}  // namespace rivulet::codec
