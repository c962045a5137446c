#include "agent/pipeline/lookup/file_rows.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>
#include <vector>

#include "agent/codec/csv.h"
#include "agent/codec/json.h"

namespace rivulet::pipeline {
namespace {

constexpr std::size_t kMaxRowBytes = 1 << 20;

Error wrong(std::string what) { return {ErrorCode::invalid, std::move(what)}; }

bool is_number(std::string_view text, codec::JsonDocument& json) {
  if (text.empty() || (text[0] != '-' && (text[0] < '0' || text[0] > '9'))) return false;
  const auto parsed = json.parse(text);
  return parsed && json.token().size() == text.size();
}

class CsvRows final : public FileRows {
 public:
  CsvRows(std::string key_field, Visit visit)
      : key_field_(std::move(key_field)), visit_(std::move(visit)), reader_([this](const std::vector<codec::CsvField>& fields) { return names_.empty() ? begin(fields) : row(fields); }) {}

  result<void> feed(std::string_view bytes) override { return reader_.feed(bytes); }
  result<void> finish() override {
    if (auto done = reader_.finish(); !done) return done;
    return names_.empty() ? result<void>(wrong("line 1: is missing, expected the names of the fields")) : result<void>();
  }

 private:
  result<void> begin(const std::vector<codec::CsvField>& fields) {
    std::set<std::string> once;
    for (const codec::CsvField& field : fields) {
      if (field.text.empty()) return wrong("a field has no name");
      if (!once.insert(field.text).second) return wrong("the field '" + field.text + "' stands twice");
      std::string name;
      codec::append_json_string(name, field.text);
      names_.push_back(std::move(name) + ":");
    }
    const auto key = std::find_if(fields.begin(), fields.end(), [this](const auto& field) { return field.text == key_field_; });
    if (key == fields.end()) return wrong("there is no field '" + key_field_ + "', which is to be the key");
    key_ = static_cast<std::size_t>(key - fields.begin());
    return {};
  }

  result<void> row(const std::vector<codec::CsvField>& fields) {
    if (fields.size() != names_.size()) return wrong("has " + std::to_string(fields.size()) + " fields, expected " + std::to_string(names_.size()) + " as in the first line");
    text_.clear();
    text_ += '{';
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const codec::CsvField& field = fields[i];
      if (codec::as_utf8(field.text, buffer_).data() != field.text.data()) return wrong("is not UTF-8");
      text_ += names_[i];
      if (!field.quoted && field.text.empty()) text_ += "null";
      else if (!field.quoted && is_number(field.text, json_)) text_ += field.text;
      else codec::append_json_string(text_, field.text);
      text_ += i + 1 < fields.size() ? ',' : '}';
    }
    return visit_(fields[key_].text, text_);
  }

  const std::string key_field_;
  const Visit visit_;
  std::vector<std::string> names_;  // as JSON, with the colon
  std::size_t key_ = 0;
  std::string text_, buffer_;
  codec::JsonDocument json_;
  codec::CsvReader reader_;
};

// Cuts between rows; each is then checked as JSON.
class JsonRows final : public FileRows {
 public:
  JsonRows(bool lines, std::string key_field, Visit visit) : lines_(lines), key_field_(std::move(key_field)), visit_(std::move(visit)) {}

  result<void> feed(std::string_view bytes) override {
    for (const char c : bytes) {
      if (auto taken = lines_ ? take_of_lines(c) : take(c); !taken) return taken;
      if (row_.size() > kMaxRowBytes) return wrong(place() + "is longer than 1 MiB");
    }
    return {};
  }
  result<void> finish() override {
    if (lines_) return row();
    return at_ == At::after ? result<void>() : result<void>(wrong("the array has no end"));
  }

 private:
  enum class At { before, within, after };
  static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
  std::string place() const { return (lines_ ? "line " : "row ") + std::to_string(number_) + ": "; }

  result<void> take_of_lines(char c) {
    if (c != '\n') {
      row_ += c;
      return {};
    }
    if (auto done = row(); !done) return done;
    ++number_;
    return {};
  }

  result<void> take(char c) {
    if (at_ != At::within) {
      if (is_space(c)) return {};
      if (at_ == At::after || c != '[') return wrong(at_ == At::after ? "something follows the array" : "is no array, expected [{...}, {...}]");
      at_ = At::within;
      return {};
    }
    if (!in_string_ && depth_ == 0 && (c == ',' || c == ']')) {
      const bool empty_array = c == ']' && number_ == 1 && std::all_of(row_.begin(), row_.end(), is_space);
      if (c == ']') at_ = At::after;
      if (empty_array) return {};
      if (std::all_of(row_.begin(), row_.end(), is_space)) return wrong(place() + "is empty");
      if (auto done = row(); !done) return done;
      ++number_;
      return {};
    }
    row_ += c;
    if (in_string_) {
      if (escaped_) escaped_ = false;
      else if (c == '\\') escaped_ = true;
      else if (c == '"') in_string_ = false;
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if ((c == '}' || c == ']') && depth_-- == 0) {
      return wrong(place() + "has a bracket too many");
    }
    return {};
  }

  result<void> row() {
    const std::string text = std::exchange(row_, {});
    const auto kind = json_.parse(text);
    if (!kind) return wrong(place() + kind.error().message);
    if (*kind == codec::JsonKind::empty) return {};
    if (*kind != codec::JsonKind::object) return wrong(place() + "is no object");
    for (const codec::JsonField& field : json_.fields()) {
      if (field.name != key_field_) continue;
      if (field.token[0] == '{' || field.token[0] == '[' || field.token == "null") break;
      return visit_(codec::json_text(field.token, buffer_), json_.token());
    }
    return wrong(place() + "has no text or number '" + key_field_ + "', which is to be the key");
  }

  const bool lines_;
  const std::string key_field_;
  const Visit visit_;
  At at_ = At::before;
  bool in_string_ = false, escaped_ = false;
  std::size_t depth_ = 0, number_ = 1;
  std::string row_, buffer_;
  codec::JsonDocument json_;
};

}  // namespace

std::unique_ptr<FileRows> FileRows::make(const std::string& path, const std::string& key_field, Visit visit) {
  const std::string ending = std::filesystem::path(path).extension().string();
  if (ending == ".csv") return std::make_unique<CsvRows>(key_field, std::move(visit));
  return std::make_unique<JsonRows>(ending == ".jsonl", key_field, std::move(visit));
}

}  // namespace rivulet::pipeline
