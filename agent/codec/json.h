// JSON (RFC 8259): a strict check of a whole text in one pass, and the fields of its top-level object as raw tokens.
//
// Why not simdjson's parsers: they refuse integers beyond 64 bits and numbers beyond a double, which must pass through unchanged,
// and their lazy one does not check what it skips. simdjson checks the UTF-8, where it is many times faster than a byte loop.
// What is decided: README.md in this folder. Thread: any; a Document belongs to one. Lifetime: tokens are views into the text.
// Bounds: kMaxDepth levels, kMaxFields fields at the top.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"

namespace rivulet::codec {

inline constexpr int kMaxDepth = 128;
inline constexpr std::size_t kMaxFields = 4096;

struct JsonField {
  std::string_view name;    // unescaped
  std::string_view quoted;  // as it stands in the text, with its quotes
  std::string_view token;   // as it stands in the text: "text" with its quotes, 17, {...}
};

enum class JsonKind { object, other, empty };  // empty: nothing but white space

class JsonDocument {
 public:
  // Checks `text` and finds its fields. A text that is not an object has none; token() is the value without white space.
  result<JsonKind> parse(std::string_view text);
  const std::vector<JsonField>& fields() const { return fields_; }
  std::string_view token() const { return token_; }

 private:
  std::vector<JsonField> fields_;
  std::string_view token_;
  std::string names_;  // the rare names with escapes; reserved before views into it are taken
};

// A token's text: of a string its characters (views `token` where nothing is escaped, else `buffer`), of anything else the token.
std::string_view json_text(std::string_view token, std::string& buffer);

// Appends `text` as a JSON string. Bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string& to, std::string_view text);

// The same for text that is known to be UTF-8.
void append_json_utf8(std::string& to, std::string_view text);

bool is_utf8(std::string_view text);
bool is_json_number(std::string_view text);  // by RFC 8259's grammar
bool has_repeated_names(const std::vector<JsonField>& fields);

// `text` where it is UTF-8; else a copy in `buffer` with U+FFFD for each byte that is not.
std::string_view as_utf8(std::string_view text, std::string& buffer);

// Appends a double so that it reads back the same: 98.6, 32.0, 1e+300. Must be finite.
void append_json_double(std::string& to, double value);

}  // namespace rivulet::codec
