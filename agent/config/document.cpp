#include "agent/config/document.h"

#include <algorithm>
#include <map>

#include "agent/config/reader.h"

namespace rivulet::config {
namespace {

// --- the reference

std::string cell(std::string_view text) {
  std::string escaped;
  for (const char c : text) escaped += c == '|' ? std::string("\\|") : std::string(1, c);
  return escaped;
}

std::string words_text(const Setting& setting) {
  std::string all;
  for (const std::string& word : words_of(setting.words)) all += (all.empty() ? "`" : ", `") + word + "`";
  return all;
}

std::string type_text(const Setting& setting) {
  const bool listed = setting.shape == Shape::list;
  switch (setting.type) {
    case Type::boolean: return setting.section != nullptr ? "`true` or a map" : "true or false";
    case Type::integer:
    case Type::duration:
    case Type::size: return bounds_text(setting) + (setting.words.empty() ? "" : ", or " + words_text(setting));
    case Type::number: return "number";
    case Type::rate: return "rate";
    case Type::amount: return "a number from 0 on";
    case Type::word: return words_text(setting) + (setting.section != nullptr ? " or a map" : "");
    case Type::expression: return setting.shape == Shape::named ? "field: expression" : "expression";
    case Type::topic: return setting.section == nullptr ? "topic" : listed ? "topic, a map, or a list of these" : "topic or a map";
    case Type::name: return "name";
    case Type::secret: return "secret";
    case Type::text: return setting.shape == Shape::rows ? "key: {field: value}" : setting.shape == Shape::named ? "name: text" : listed ? "text or a list" : setting.section != nullptr ? "text or a map" : "text";
    case Type::none: break;
  }
  return "";
}

void print(const Section& section, const std::string& prefix, std::map<const Section*, std::string>& printed, std::string& to) {
  for (const Setting& setting : section.settings) {
    std::string path = prefix + std::string(setting.name);
    const std::string type = type_text(setting);
    to += "| `" + path + "` | " + (setting.standard.empty() ? setting.required ? "*needed*" : "" : "`" + cell(setting.standard) + "`") + " | " + cell(type) + " | " + cell(setting.meaning);
    if (setting.section == nullptr || setting.section->settings.empty()) {
      to += " |\n";
      continue;
    }
    const auto [known, first] = printed.emplace(setting.section, path);
    to += first ? " |\n" : " (its settings: `" + known->second + "`) |\n";
    if (setting.shape == Shape::named && setting.type == Type::none) path += ".NAME";
    if (setting.shape == Shape::list) path += "[]";
    if (first) print(*setting.section, path + ".", printed, to);
  }
}

// --- JSON Schema

constexpr std::string_view kSubstituted = R"(|\\$\\{)";  // ${env:} and ${file:} stand where any value does

std::string json_string(std::string_view text) {
  std::string to = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') to += '\\';
    to += c;
  }
  return to + '"';
}

std::string pattern(std::string_view of) { return "\"pattern\": \"" + std::string(of) + std::string(kSubstituted) + "\""; }

std::string any_of(const std::vector<std::string>& forms) {
  if (forms.size() == 1) return forms.front();
  std::string all;
  for (const std::string& form : forms) all += (all.empty() ? "" : ", ") + form;
  return "{\"anyOf\": [" + all + "]}";
}

std::string words_schema(std::string_view words) {
  std::string all;
  for (const std::string& word : words_of(words)) {
    all += (all.empty() ? "" : ", ") + json_string(word);
    // YAML reads such a word as a number.
    if (word.find_first_not_of("0123456789.") == std::string::npos && std::count(word.begin(), word.end(), '.') < 2) all += ", " + word;
  }
  return "{\"enum\": [" + all + "]}";
}

std::vector<std::string> scalar_schema(const Setting& setting) {
  const std::string bounds = "\"minimum\": " + std::to_string(setting.min) + ", \"maximum\": " + std::to_string(setting.max);
  const std::string substituted = R"({"type": "string", "pattern": "\\$\\{"})";
  std::vector<std::string> forms;
  switch (setting.type) {
    case Type::none: return {};
    case Type::text:
    case Type::secret:
    case Type::expression: forms = {R"({"type": ["string", "number", "boolean"]})"}; break;
    case Type::name: forms = {R"({"type": ["string", "number"], )" + pattern("^[A-Za-z0-9_.-]{1,64}$") + "}"}; break;
    case Type::topic: forms = {R"({"type": ["string", "number"], )" + pattern("^[A-Za-z0-9_.-]{1,249}$") + "}"}; break;
    case Type::boolean: forms = {R"({"type": "boolean"})", R"({"enum": ["true", "false", "yes", "no", "on", "off"]})", substituted}; break;
    case Type::integer: forms = {"{\"type\": \"integer\", " + bounds + "}", R"({"type": "string", )" + pattern("^([0-9]+|0x[0-9A-Fa-f]+)$") + "}"}; break;
    case Type::number: forms = {R"({"type": "number"})", R"({"type": "string", )" + pattern("^[-+0-9.eE]+$") + "}"}; break;
    case Type::duration: forms = {R"({"type": "string", )" + pattern("^-?[0-9.]+(ms|s|m|h|d)$") + "}"}; break;
    case Type::size: forms = {"{\"type\": \"number\", " + bounds + "}", R"({"type": "string", )" + pattern("^[0-9.]+(B|KiB|MiB|GiB|TiB)?$") + "}"}; break;
    case Type::rate: forms = {R"({"type": "string", )" + pattern("^[0-9.]+/s$") + "}"}; break;
    case Type::amount: forms = {R"({"type": "number", "minimum": 0})", R"({"type": "string", )" + pattern("^[0-9.]+$") + "}"}; break;
    case Type::word: forms = {substituted}; break;
  }
  if (!setting.words.empty()) forms.insert(forms.begin(), words_schema(setting.words));
  return forms;
}

std::string map_schema(const Section& section, const std::string& indent);

std::string setting_schema(const Setting& setting, const std::string& indent) {
  std::vector<std::string> forms = scalar_schema(setting);
  if (setting.section != nullptr) forms.push_back(map_schema(*setting.section, indent));
  std::string one = any_of(forms);
  if (setting.shape == Shape::rows) one = R"({"type": "object", "additionalProperties": {"type": "object", "additionalProperties": )" + any_of({one, R"({"type": "null"})"}) + "}}";
  if (setting.shape == Shape::named) one = R"({"type": ["object", "null"], "additionalProperties": )" + one + "}";
  if (setting.shape == Shape::list && setting.type == Type::none) one = R"({"type": ["array", "null"], "items": )" + one + "}";
  else if (setting.shape == Shape::list) one = "{\"anyOf\": [" + one + R"(, {"type": "array", "items": )" + one + "}]}";
  one.insert(1, "\"description\": " + json_string(setting.meaning) + ", ");
  if (!setting.standard.empty() && setting.standard.front() != '"') one.insert(1, "\"default\": " + json_string(setting.standard) + ", ");
  return one;
}

std::string map_schema(const Section& section, const std::string& indent) {
  const std::string inner = indent + "  ";
  std::string settings, required, alternatives;
  for (const Setting& setting : section.settings) {
    settings += (settings.empty() ? "\n" : ",\n") + inner + json_string(setting.name) + ": " + setting_schema(setting, inner);
    if (setting.required) required += (required.empty() ? "" : ", ") + json_string(setting.name);
    if (setting.alternative) alternatives += (alternatives.empty() ? "" : ", ") + std::string("{\"required\": [") + json_string(setting.name) + "]}";
  }
  std::string map = required.empty() ? R"({"type": ["object", "null"])" : R"({"type": "object")";
  if (!required.empty()) map += ", \"required\": [" + required + "]";
  if (!alternatives.empty()) map += ", \"oneOf\": [" + alternatives + "]";
  return map + ", \"additionalProperties\": false, \"properties\": {" + settings + "}}";
}

}  // namespace

std::string reference() {
  std::string text = "| setting | default | form | meaning |\n|---|---|---|---|\n";
  std::map<const Section*, std::string> printed;
  print(schema::root, "", printed, text);
  return text;
}

std::string json_schema() {
  std::string schema = map_schema(schema::root, "");
  schema.insert(1, R"("$schema": "https://json-schema.org/draft/2020-12/schema", "title": "rivulet", )");
  return schema + "\n";
}

}  // namespace rivulet::config
