#include "agent/app/json_view.h"

#include <charconv>

#include "agent/codec/json.h"

namespace rivulet::app {

result<JsonView> JsonView::of(std::string_view text) {
  codec::JsonDocument document;
  const auto kind = document.parse(text);
  if (!kind) return kind.error();
  if (*kind != codec::JsonKind::object) return Error{ErrorCode::invalid, "expected a JSON object"};
  return JsonView(document.token());
}

JsonView JsonView::at(std::string_view name) const {
  codec::JsonDocument document;
  const auto kind = document.parse(token_);
  if (!kind || *kind != codec::JsonKind::object) return {};
  for (const auto& field : document.fields())
    if (field.name == name) return JsonView(field.token);
  return {};
}

std::vector<std::pair<std::string, JsonView>> JsonView::fields() const {
  std::vector<std::pair<std::string, JsonView>> all;
  codec::JsonDocument document;
  const auto kind = document.parse(token_);
  if (!kind || *kind != codec::JsonKind::object) return all;
  for (const auto& field : document.fields()) all.emplace_back(std::string(field.name), JsonView(field.token));
  return all;
}

std::vector<JsonView> JsonView::items() const {
  std::vector<JsonView> all;
  if (token_.size() < 2 || token_.front() != '[') return all;
  const auto add = [&](std::string_view item) {
    while (!item.empty() && static_cast<unsigned char>(item.front()) <= ' ') item.remove_prefix(1);
    while (!item.empty() && static_cast<unsigned char>(item.back()) <= ' ') item.remove_suffix(1);
    if (!item.empty()) all.push_back(JsonView(item));
  };
  const std::string_view inside = token_.substr(1, token_.size() - 2);  // checked: brackets match, strings end
  std::size_t begin = 0;
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < inside.size(); ++i) {
    const char c = inside[i];
    if (quoted) {
      if (c == '\\') ++i;
      else if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      ++depth;
    } else if (c == ']' || c == '}') {
      --depth;
    } else if (c == ',' && depth == 0) {
      add(inside.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  add(inside.substr(begin));
  return all;
}

std::string JsonView::text() const {
  if (token_.empty() || token_.front() != '"') return {};
  std::string buffer;
  return std::string(codec::json_text(token_, buffer));
}

std::uint64_t JsonView::number() const {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(token_.data(), token_.data() + token_.size(), value);
  return error == std::errc() ? value : 0;
}

}  // namespace rivulet::app
