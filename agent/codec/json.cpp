#include "agent/codec/json.h"

#include <fmt/core.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <unordered_set>

namespace rivulet::codec {
namespace {

// What is kept for the next text; a giant one gives its memory back.
constexpr std::size_t kKeptFields = 256;
constexpr std::size_t kKeptBytes = 16 * 1024;

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Characters that stand for themselves in a string.
constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> plain{};
  for (std::size_t c = 0x20; c < plain.size(); ++c) plain[c] = c != '"' && c != '\\';
  return plain;
}();

// The first byte from `at` on that is not plain. Eight at a time as one number: in `marked` the lowest high bit that is set
// belongs to the first such byte (the test for a zero byte of Bit Twiddling Hacks, and its likes).
const char* skip_plain(const char* at, const char* end) {
  if constexpr (std::endian::native == std::endian::little) {
    constexpr std::uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;
    for (; end - at >= 8; at += 8) {
      std::uint64_t eight = 0;
      std::memcpy(&eight, at, 8);
      const std::uint64_t quote = eight ^ ones * '"', backslash = eight ^ ones * '\\';
      const std::uint64_t marked = (((eight - ones * 0x20) | (quote - ones) | (backslash - ones)) & ~eight) & highs;
      if (marked != 0) return at + std::countr_zero(marked) / 8;
    }
  }
  while (at != end && kPlain[static_cast<unsigned char>(*at)]) ++at;
  return at;
}

// The grammar, without recursion for its own sake: nested values go through value(), bounded by kMaxDepth.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : begin_(text.data()), at_(begin_), end_(begin_ + text.size()) {}

  void skip_space() {
    if (at_ == end_ || *at_ > ' ') return;
    while (at_ != end_ && is_space(*at_)) ++at_;
  }
  bool at_end() const { return at_ == end_; }
  char peek() const { return at_ != end_ ? *at_ : '\0'; }
  const char* at() const { return at_; }
  bool take(char c) {
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }
  std::string_view slice(const char* from) const { return {from, static_cast<std::size_t>(at_ - from)}; }

  bool string(bool& escaped) {
    if (!take('"')) return fail("expected a string");
    escaped = false;
    for (;;) {
      at_ = skip_plain(at_, end_);
      if (at_ == end_) return fail("a string without its end");
      if (take('"')) return true;
      if (!take('\\')) return fail("a control character in a string");
      escaped = true;
      if (!escape()) return false;
    }
  }

  bool value(int depth) {
    if (depth > kMaxDepth) return fail("nested deeper than 128 levels");
    switch (peek()) {
      case '{': return container(depth, '}');
      case '[': return container(depth, ']');
      case '"': {
        bool escaped = false;
        return string(escaped);
      }
      case 't': return word("true");
      case 'f': return word("false");
      case 'n': return word("null");
      default: return number();
    }
  }

  Error error() const { return {ErrorCode::invalid, fmt::format("no JSON: {} at byte {}", what_, at_ - begin_)}; }
  bool fail(const char* what) {
    what_ = what;
    return false;
  }

 private:
  bool escape() {
    const char c = peek();
    if (at_end()) return fail("a string without its end");
    ++at_;
    if (c != 'u') return std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos || fail("an unknown escape in a string");
    for (int i = 0; i < 4; ++i, ++at_)
      if (at_end() || hex_value(*at_) < 0) return fail("\\u without four hexadecimal digits");
    return true;
  }
  bool word(std::string_view expected) {
    if (std::string_view(at_, static_cast<std::size_t>(end_ - at_)).substr(0, expected.size()) != expected) return fail("expected a value");
    at_ += expected.size();
    return true;
  }
  bool digits() {
    if (!is_digit(peek())) return fail("expected a digit");
    while (is_digit(peek())) ++at_;
    return true;
  }
  bool number() {
    if (!is_digit(peek()) && peek() != '-') return fail(at_end() ? "the text ends too early" : "expected a value");
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!digits()) return false;
    }
    return true;
  }
  bool container(int depth, char close) {
    ++at_;
    skip_space();
    if (take(close)) return true;
    for (;;) {
      skip_space();
      if (close == '}') {
        bool escaped = false;
        if (!string(escaped)) return false;
        skip_space();
        if (!take(':')) return fail("expected : after a name");
        skip_space();
      }
      if (!value(depth + 1)) return false;
      skip_space();
      if (take(close)) return true;
      if (!take(',')) return fail(close == '}' ? "expected , or }" : "expected , or ]");
    }
  }

  const char* const begin_;
  const char* at_;
  const char* const end_;
  const char* what_ = "";
};

void append_utf8(std::string& to, std::uint32_t code) {
  if (code < 0x80) {
    to += static_cast<char>(code);
  } else if (code < 0x800) {
    to += static_cast<char>(0xc0 | code >> 6);
    to += static_cast<char>(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    to += static_cast<char>(0xe0 | code >> 12);
    to += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    to += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    to += static_cast<char>(0xf0 | code >> 18);
    to += static_cast<char>(0x80 | (code >> 12 & 0x3f));
    to += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    to += static_cast<char>(0x80 | (code & 0x3f));
  }
}

std::uint32_t hex4(std::string_view text) {
  std::uint32_t value = 0;
  for (const char c : text.substr(0, 4)) value = value << 4 | static_cast<std::uint32_t>(hex_value(c));
  return value;
}

// `inside` is checked text between the quotes. A surrogate without its partner becomes U+FFFD.
void unescape(std::string_view inside, std::string& to) {
  for (std::size_t i = 0; i < inside.size(); ++i) {
    if (inside[i] != '\\') {
      to += inside[i];
      continue;
    }
    const char c = inside[++i];
    static constexpr std::string_view from = "bfnrt", into = "\b\f\n\r\t";
    if (const std::size_t known = from.find(c); known != std::string_view::npos) {
      to += into[known];
    } else if (c != 'u') {
      to += c;
    } else {
      std::uint32_t code = hex4(inside.substr(i + 1));
      i += 4;
      if (code >= 0xd800 && code < 0xdc00 && inside.substr(i + 1, 2) == "\\u" && hex4(inside.substr(i + 3)) >= 0xdc00 && hex4(inside.substr(i + 3)) < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (hex4(inside.substr(i + 3)) - 0xdc00);
        i += 6;
      }
      append_utf8(to, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
    }
  }
}

}  // namespace

// Few fields: only those are compared whose length and ends fall together with another's, which beats hashing.
bool has_repeated_names(const std::vector<JsonField>& fields) {
  if (fields.size() <= 24) {
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const std::string_view name = fields[i].name;
      const std::uint64_t mark = std::uint64_t{1} << (name.empty() ? 0 : (name.size() + 7 * static_cast<unsigned char>(name.front()) + 31 * static_cast<unsigned char>(name.back())) % 64);
      if ((seen & mark) != 0)
        for (std::size_t j = 0; j < i; ++j)
          if (fields[j].name == name) return true;
      seen |= mark;
    }
    return false;
  }
  std::unordered_set<std::string_view> seen;
  return !std::all_of(fields.begin(), fields.end(), [&](const JsonField& field) { return seen.insert(field.name).second; });
}

bool is_json_number(std::string_view text) {
  if (text.empty() || (text.front() != '-' && !is_digit(text.front()))) return false;
  Scanner scanner(text);
  return scanner.value(1) && scanner.at_end();
}

bool is_utf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

result<JsonKind> JsonDocument::parse(std::string_view text) {
  fields_.clear();
  names_.clear();
  token_ = {};
  if (fields_.capacity() > kKeptFields) fields_ = std::vector<JsonField>();
  if (names_.capacity() > kKeptBytes) names_ = std::string();
  if (!simdjson::validate_utf8(text.data(), text.size())) return Error{ErrorCode::invalid, "no JSON: not valid UTF-8"};
  Scanner scanner(text);
  scanner.skip_space();
  if (scanner.at_end()) return JsonKind::empty;
  if (text.substr(0, 3) == "\xEF\xBB\xBF") return Error{ErrorCode::invalid, "no JSON: it begins with a byte order mark, which RFC 8259 section 8.1 forbids"};
  const char* const begin = scanner.at();
  if (scanner.peek() != '{') {
    if (!scanner.value(1)) return scanner.error();
    token_ = scanner.slice(begin);
    scanner.skip_space();
    if (!scanner.at_end()) {
      scanner.fail("more text after the value");
      return scanner.error();
    }
    return JsonKind::other;
  }
  scanner.take('{');
  scanner.skip_space();
  bool more = !scanner.take('}');
  while (more) {
    scanner.skip_space();
    const char* const name_begin = scanner.at();
    bool escaped = false;
    if (!scanner.string(escaped)) return scanner.error();
    const std::string_view quoted = scanner.slice(name_begin);
    std::string_view name = quoted.substr(1, quoted.size() - 2);
    if (escaped) {
      if (names_.capacity() < text.size()) names_.reserve(text.size());  // unescaped is never longer: no view moves
      const std::size_t start = names_.size();
      unescape(name, names_);
      name = std::string_view(names_).substr(start);
    }
    scanner.skip_space();
    if (!scanner.take(':')) {
      scanner.fail("expected : after a name");
      return scanner.error();
    }
    scanner.skip_space();
    const char* const value_begin = scanner.at();
    if (!scanner.value(2)) return scanner.error();
    if (fields_.size() == kMaxFields) return Error{ErrorCode::invalid, fmt::format("more than {} fields", kMaxFields)};
    fields_.push_back({name, quoted, scanner.slice(value_begin)});
    scanner.skip_space();
    if (scanner.take('}')) break;
    if (!scanner.take(',')) {
      scanner.fail("expected , or }");
      return scanner.error();
    }
  }
  token_ = scanner.slice(begin);
  scanner.skip_space();
  if (!scanner.at_end()) {
    scanner.fail("more text after the value");
    return scanner.error();
  }
  if (has_repeated_names(fields_)) return Error{ErrorCode::invalid, "a field stands twice; which one counts is not defined (RFC 8259 section 4)"};
  return JsonKind::object;
}

std::string_view json_text(std::string_view token, std::string& buffer) {
  if (token.size() < 2 || token.front() != '"') return token;
  const std::string_view inside = token.substr(1, token.size() - 2);
  if (inside.find('\\') == std::string_view::npos) return inside;
  buffer.clear();
  unescape(inside, buffer);
  return buffer;
}

std::string_view as_utf8(std::string_view text, std::string& buffer) {
  if (simdjson::validate_utf8(text.data(), text.size())) return text;
  buffer.clear();
  for (std::size_t i = 0; i < text.size();) {
    std::size_t length = 1;
    while (length <= 4 && i + length <= text.size() && !simdjson::validate_utf8(text.data() + i, length)) ++length;
    if (length <= 4 && i + length <= text.size()) {
      buffer += text.substr(i, length);
      i += length;
    } else {
      buffer += "\xEF\xBF\xBD";
      ++i;
    }
  }
  return buffer;
}

void append_json_string(std::string& to, std::string_view given) {
  std::string repaired;
  append_json_utf8(to, as_utf8(given, repaired));
}

void append_json_utf8(std::string& to, std::string_view text) {
  to += '"';
  const char* const end = text.data() + text.size();
  for (const char* at = text.data();;) {
    const char* const plain = at;
    at = skip_plain(at, end);
    to.append(plain, static_cast<std::size_t>(at - plain));
    if (at == end) break;
    switch (const char c = *at++) {
      case '"': to += "\\\""; break;
      case '\\': to += "\\\\"; break;
      case '\n': to += "\\n"; break;
      case '\r': to += "\\r"; break;
      case '\t': to += "\\t"; break;
      default: fmt::format_to(std::back_inserter(to), "\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    }
  }
  to += '"';
}

void append_json_double(std::string& to, double value) {
  const std::size_t start = to.size();
  fmt::format_to(std::back_inserter(to), "{}", value);
  if (to.find_first_of(".eE", start) == std::string::npos) to += ".0";
}

}  // namespace rivulet::codec
