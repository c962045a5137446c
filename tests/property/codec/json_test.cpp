// Random JSON and damaged JSON: what JsonDocument takes is what a second reader takes, written here from RFC 8259's grammar in another way (recursive
// descent over code points, where the codec scans bytes), and what it gives are the very bytes that stand in the text.
#include "agent/codec/json.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "tests/support/seeds.h"

using namespace rivulet::codec;
using rivulet::test::Random;

namespace {

struct Wrong {};

// The reference: slow and plain. Throws Wrong for what the codec must refuse.
class Reference {
 public:
  struct Field {
    std::string name, token;
  };
  explicit Reference(const std::string& text) : text_(text) {
    for (std::size_t i = 0; i < text.size();) i += character(i);
    space();
    if (at_ == text_.size()) return;
    const std::size_t begin = at_;
    object = text_[at_] == '{';
    value(1);
    token = text_.substr(begin, at_ - begin);
    space();
    if (at_ != text_.size()) throw Wrong();
    std::set<std::string> names;
    for (const Field& field : fields)
      if (!names.insert(field.name).second) throw Wrong();
    if (fields.size() > kMaxFields) throw Wrong();
    empty = false;
  }
  bool object = false, empty = true;
  std::string token;
  std::vector<Field> fields;  // of the top

 private:
  // The length of the UTF-8 character at `i`: RFC 3629's table.
  std::size_t character(std::size_t i) const {
    const auto byte = [&](std::size_t k) { return k < text_.size() ? static_cast<unsigned char>(text_[k]) : 0U; };
    const unsigned first = byte(i);
    if (first < 0x80) return 1;
    const std::size_t length = first >= 0xC2 && first <= 0xDF ? 2 : first >= 0xE0 && first <= 0xEF ? 3 : first >= 0xF0 && first <= 0xF4 ? 4 : 0;
    if (length == 0) throw Wrong();
    for (std::size_t k = 1; k < length; ++k) {
      const unsigned low = k == 1 && first == 0xE0 ? 0xA0 : k == 1 && first == 0xF0 ? 0x90 : 0x80;
      const unsigned high = k == 1 && first == 0xED ? 0x9F : k == 1 && first == 0xF4 ? 0x8F : 0xBF;
      if (byte(i + k) < low || byte(i + k) > high) throw Wrong();
    }
    return length;
  }
  char next() const {
    if (at_ >= text_.size()) throw Wrong();
    return text_[at_];
  }
  char take() {
    const char c = next();
    ++at_;
    return c;
  }
  void expect(const char* word) {
    for (; *word != '\0'; ++word)
      if (take() != *word) throw Wrong();
  }
  void space() {
    while (at_ < text_.size() && std::strchr(" \t\r\n", text_[at_]) != nullptr && text_[at_] != '\0') ++at_;
  }
  void digits() {
    int count = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) ++count;
    if (count == 0) throw Wrong();
  }
  unsigned hex() {
    unsigned value = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = take();
      const char* found = std::strchr("0123456789abcdefABCDEF", c);
      if (c == '\0' || found == nullptr) throw Wrong();
      value = value * 16 + static_cast<unsigned>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
  }
  static void put(std::string& to, unsigned code) {
    if (code < 0x80) to += static_cast<char>(code);
    else if (code < 0x800) (to += static_cast<char>(0xC0 + code / 64)) += static_cast<char>(0x80 + code % 64);
    else if (code < 0x10000) ((to += static_cast<char>(0xE0 + code / 4096)) += static_cast<char>(0x80 + code / 64 % 64)) += static_cast<char>(0x80 + code % 64);
    else (((to += static_cast<char>(0xF0 + code / 262144)) += static_cast<char>(0x80 + code / 4096 % 64)) += static_cast<char>(0x80 + code / 64 % 64)) += static_cast<char>(0x80 + code % 64);
  }
  std::string string() {
    std::string out;
    if (take() != '"') throw Wrong();
    for (;;) {
      const char c = take();
      if (c == '"') return out;
      if (static_cast<unsigned char>(c) < 0x20) throw Wrong();
      if (c != '\\') {
        out += c;
        continue;
      }
      const char e = take();
      const char* known = e == '\0' ? nullptr : std::strchr("\"\\/bfnrt", e);
      if (known != nullptr) {
        out += "\"\\/\b\f\n\r\t"[known - std::strchr("\"\\/bfnrt", '"')];
        continue;
      }
      if (e != 'u') throw Wrong();
      unsigned code = hex();
      if (code >= 0xD800 && code <= 0xDBFF && text_.compare(at_, 2, "\\u") == 0) {
        const std::size_t back = at_;
        at_ += 2;
        const unsigned low = hex();
        if (low >= 0xDC00 && low <= 0xDFFF) code = 0x10000 + (code - 0xD800) * 1024 + (low - 0xDC00);
        else at_ = back;
      }
      put(out, code >= 0xD800 && code <= 0xDFFF ? 0xFFFD : code);
    }
  }
  void value(int depth) {
    if (depth > kMaxDepth) throw Wrong();
    switch (next()) {
      case 't': return expect("true");
      case 'f': return expect("false");
      case 'n': return expect("null");
      case '"': string(); return;
      case '[':
        ++at_;
        space();
        if (next() == ']') return void(++at_);
        for (;;) {
          space();
          value(depth + 1);
          space();
          const char c = take();
          if (c == ']') return;
          if (c != ',') throw Wrong();
        }
      case '{':
        ++at_;
        space();
        if (next() == '}') return void(++at_);
        for (;;) {
          space();
          std::string name = string();
          space();
          expect(":");
          space();
          const std::size_t begin = at_;
          value(depth + 1);
          if (depth == 1) fields.push_back({std::move(name), text_.substr(begin, at_ - begin)});
          space();
          const char c = take();
          if (c == '}') return;
          if (c != ',') throw Wrong();
        }
      default:
        if (next() == '-') ++at_;
        if (next() == '0') ++at_;
        else digits();
        if (at_ < text_.size() && text_[at_] == '.') {
          ++at_;
          digits();
        }
        if (at_ < text_.size() && (text_[at_] | 0x20) == 'e') {
          ++at_;
          if (next() == '+' || next() == '-') ++at_;
          digits();
        }
    }
  }

  const std::string& text_;
  std::size_t at_ = 0;
};

std::string blank(Random& random) { return random.one_in(4) ? random.pick(std::vector<std::string>{" ", "\n", "\t ", "\r\n", "   "}) : ""; }

std::string text_of(Random& random) {
  static const std::vector<std::string> pieces = {"a", "b", "temp", "0", " ", "\\n", "\\\"", "\\\\", "\\/", "\\u0041", "\\u00e9", "\\ud83d\\ude00", "\\ud83d", "\\ude00", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\\t", "{", "]", ":", "\\u0000", "\x7F"};
  std::string out = "\"";
  for (auto left = random.below(6); left > 0; --left) out += random.pick(pieces);
  return out + "\"";
}

std::string number_of(Random& random) {
  static const std::vector<std::string> odd = {"0", "-0", "1e999", "-1E-999", "12345678901234567890123", "0.1", "1.50", "9223372036854775808", "1e+5", "0e0", "-0.0e-0"};
  return random.one_in(2) ? random.pick(odd) : std::to_string(static_cast<std::int64_t>(random.below(2000)) - 1000);
}

std::string json_of(Random& random, int depth) {
  const auto kind = random.below(depth > 0 ? 9 : 6);
  if (kind < 2) return number_of(random);
  if (kind < 4) return text_of(random);
  if (kind < 6) return random.pick(std::vector<std::string>{"true", "false", "null"});
  const bool object = kind != 6;
  std::string out = object ? "{" : "[";
  const auto count = random.below(6);
  for (std::uint64_t i = 0; i < count; ++i) {
    out += i > 0 ? "," : "";
    out += blank(random);
    if (object) out += text_of(random) + blank(random) + ":" + blank(random);
    out += json_of(random, depth - 1) + blank(random);
  }
  return out + blank(random) + (object ? "}" : "]");
}

std::string document(Random& random) {
  std::string out = blank(random) + "{";
  const auto count = random.one_in(40) ? random.below(5000) : random.below(40);
  for (std::uint64_t i = 0; i < count; ++i) out += (i > 0 ? "," : "") + blank(random) + (random.one_in(30) ? text_of(random) : "\"f" + std::to_string(i) + "\"") + ":" + json_of(random, 3);
  return out + "}" + blank(random);
}

std::string damaged(Random& random, std::string text) {
  static const std::vector<std::string> pieces = {"\"", "\\", "{", "}", "[", "]", ",", ":", "0", "1", "-", ".", "e", "E+", "t", "true", "null", "\\u", "\\ud800", "\x01", "\x1F", "\xFF", "\xC0\x80", "\xED\xA0\x80", "\xF5", "\xE2\x82", "\xEF\xBB\xBF", "\t", "\v", "//", "NaN", "'"};
  for (auto left = 1 + random.below(3); left > 0; --left) {
    const auto at = random.below(text.size() + 1);
    const auto length = random.below(std::min<std::uint64_t>(text.size() - at, 12) + 1);
    switch (random.below(6)) {
      case 0: text.insert(at, random.pick(pieces)); break;
      case 1: text.erase(at, length); break;
      case 2: if (at < text.size()) text[at] = static_cast<char>(random.below(256)); break;
      case 3: text.insert(at, text.substr(at, length)); break;
      case 4: {  // into a string
        const auto quote = text.find('"', at);
        if (quote != std::string::npos) text.insert(quote + 1, random.one_in(3) ? random.pick(pieces) : std::string(1, static_cast<char>(random.below(0x24))));
        break;
      }
      default: if (random.one_in(4)) text.resize(at); else text.insert(at, 1, '\0');
    }
  }
  return text;
}

std::string deep(Random& random) {
  const int depth = static_cast<int>(120 + random.below(16)) * (random.one_in(5) ? 1000 : 1);
  std::string open, close;
  for (int i = 0; i < depth; ++i) {
    const bool object = random.one_in(2);
    open += object ? "{\"a\":" : "[";
    close += object ? '}' : ']';
  }
  std::reverse(close.begin(), close.end());
  return open + "1" + (random.one_in(3) ? "" : close);
}

// Each check on one text; one document for all, as the pipeline has it. True: it was taken.
bool same(JsonDocument& json, const std::string& text) {
  INFO(text.substr(0, 600));
  const auto parsed = json.parse(text);
  try {
    const Reference expected(text);
    REQUIRE(parsed.has_value());
    REQUIRE((*parsed == JsonKind::empty) == expected.empty);
    if (expected.empty) return true;
    REQUIRE((*parsed == JsonKind::object) == expected.object);
    REQUIRE(json.token() == expected.token);
    if (!expected.object) {
      REQUIRE(json.fields().empty());
      return true;
    }
    REQUIRE(json.fields().size() == expected.fields.size());
    for (std::size_t i = 0; i < expected.fields.size(); ++i) {
      const JsonField& field = json.fields()[i];
      REQUIRE(field.name == expected.fields[i].name);
      REQUIRE(field.token == expected.fields[i].token);
      REQUIRE((field.token.data() >= text.data() && field.token.data() + field.token.size() <= text.data() + text.size()));  // the bytes that came
      REQUIRE((field.quoted.size() >= 2 && field.quoted.front() == '"' && field.quoted.back() == '"'));
      std::string buffer;
      REQUIRE(json_text(field.quoted, buffer) == field.name);
    }
    return true;
  } catch (const Wrong&) {
    REQUIRE_FALSE(parsed.has_value());
    REQUIRE((parsed.error().code == rivulet::ErrorCode::invalid && !parsed.error().message.empty()));
    return false;
  }
}

}  // namespace

TEST_CASE("a JSON text is taken exactly when a second reader takes it, and its fields are the bytes that came") {
  JsonDocument json;
  int taken = 0, refused = 0, runs = 0;
  rivulet::test::each_seed(3000, [&](std::uint64_t seed) {
    Random random(seed);
    const std::string text = random.one_in(4) ? blank(random) + json_of(random, 4) : document(random);
    same(json, text);
    for (int i = 0; i < 8; ++i) ++(same(json, damaged(random, text)) ? taken : refused);
    if (random.one_in(10)) same(json, deep(random));
    ++runs;
  });
  if (runs >= 100) CHECK((taken > runs / 4 && refused > runs));  // both answers are looked at
}

TEST_CASE("any bytes are a JSON text, nothing, or an error") {
  JsonDocument json;
  rivulet::test::each_seed(3000, [&](std::uint64_t seed) {
    Random random(seed);
    std::string text;
    for (auto left = random.below(40); left > 0; --left) text += random.one_in(2) ? "{}[]\",:\\eE.-+0 1tn"[random.below(18)] : static_cast<char>(random.below(256));
    same(json, text);
  });
}

TEST_CASE("any text that is written as a JSON string is read back, with U+FFFD for bytes that are no UTF-8") {
  JsonDocument json;
  rivulet::test::each_seed(3000, [&](std::uint64_t seed) {
    Random random(seed);
    std::string text, token, buffer, valid;
    for (auto left = random.below(60); left > 0; --left) text += random.one_in(2) ? static_cast<char>(random.below(128)) : static_cast<char>(random.below(256));
    append_json_string(token, text);
    REQUIRE(same(json, token));
    REQUIRE(json_text(token, buffer) == as_utf8(text, valid));
  });
}

TEST_CASE("any double is written as JSON that reads back the same") {
  rivulet::test::each_seed(5000, [](std::uint64_t seed) {
    Random random(seed);
    const std::uint64_t bits = random.one_in(2) ? random.below(~0ULL) : random.below(1 << 20) << 44;
    double value = 0;
    std::memcpy(&value, &bits, sizeof value);
    if (!std::isfinite(value)) return;
    std::string token;
    append_json_double(token, value);
    JsonDocument json;
    REQUIRE(same(json, token));
    REQUIRE(std::strtod(token.c_str(), nullptr) == value);
  });
}
