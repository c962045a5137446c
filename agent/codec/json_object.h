// JsonObject: what the codecs other than json write a record into: the text of a JSON value, and its top-level fields as views into it.
//
// A record that comes as CSV, CBOR, ... goes on as this text, so that whatever reads fields or forwards bytes sees what it would see had
// JSON come. Thread: one. Lifetime: views live until the next clear(). Bounds: kMaxFields fields; the text is as long as the codec makes
// it (README.md in this folder says how much longer than its input); a giant one gives its memory back.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/codec/json.h"

namespace rivulet::codec {

class JsonObject {
 public:
  void clear();

  // An object: begin(), for each field begin_field() and its token appended to what that answers, end().
  void begin() { text_ += '{'; }
  std::string& begin_field(std::string_view name) {  // UTF-8
    mark();
    const std::size_t at = text_.size();
    append_json_utf8(text_, name);
    return named(name, at);
  }
  std::string& begin_field(std::string_view name, std::string_view quoted) {
    mark();
    const std::size_t at = text_.size();
    text_ += quoted;
    return named(name, at);
  }
  std::size_t fields_begun() const { return spans_.size(); }
  // Error: a field stands twice, or there are too many of them.
  result<void> end();

  // Anything else: its JSON text is appended here.
  std::string& other() {
    kind_ = JsonKind::other;
    return text_;
  }

  JsonKind kind() const { return kind_; }
  std::string_view text() const { return text_; }
  const std::vector<JsonField>& fields() const { return fields_; }

 private:
  struct Span {
    std::size_t name = 0, quoted = 0, token = 0, end = 0;  // of the name: where it is in names_, kInside: within its quotes
  };
  static constexpr std::size_t kInside = static_cast<std::size_t>(-1);
  void mark() {
    if (spans_.empty()) return;
    spans_.back().end = text_.size();
    text_ += ',';
  }
  std::string& named(std::string_view name, std::size_t at);

  JsonKind kind_ = JsonKind::object;
  std::string text_, names_;  // names_: those with escapes
  std::vector<Span> spans_;
  std::vector<JsonField> fields_;
};

}  // namespace rivulet::codec
