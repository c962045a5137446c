// The line protocol of InfluxDB (docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol):
//   measurement[,tag=text...] field=value[,field=value...] [nanoseconds]
#include <fmt/core.h>

#include <charconv>
#include <cmath>
#include <optional>

#include "agent/codec/decoder.h"

namespace rivulet::codec {
namespace {

Error wrong(const std::string& what) { return {ErrorCode::invalid, "no line protocol: " + what}; }

bool special(char c, bool measurement) { return c == ',' || c == ' ' || (c == '=' && !measurement); }
bool quoted_special(char c) { return c == '"' || c == '\\'; }

// One line from its measurement on. A backslash takes the meaning from a comma, a space and (but in a measurement) an equals sign; before
// anything else it stands for itself.
class Line {
 public:
  Line(std::string_view text, std::string& buffer) : text_(text), buffer_(buffer) {}

  bool at_end() const { return at_ == text_.size(); }
  bool take(char c) {
    if (at_end() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void skip_spaces() {
    while (take(' ')) {
    }
  }
  std::string_view name(bool measurement) {
    const std::size_t begin = at_;
    bool escaped = false;
    for (; !at_end(); ++at_) {
      const char c = text_[at_];
      if (c == '\\' && at_ + 1 < text_.size() && special(text_[at_ + 1], measurement)) {
        escaped = true;
        ++at_;
      } else if (special(c, measurement)) {
        break;
      }
    }
    const std::string_view raw = text_.substr(begin, at_ - begin);
    return escaped ? without_backslashes(raw, [&](char c) { return special(c, measurement); }) : raw;
  }
  // What stands between quotes; the first was taken.
  std::optional<std::string_view> string() {
    const std::size_t begin = at_;
    bool escaped = false;
    for (; !at_end() && text_[at_] != '"'; ++at_)
      if (text_[at_] == '\\' && at_ + 1 < text_.size() && quoted_special(text_[at_ + 1])) {
        escaped = true;
        ++at_;
      }
    const std::string_view raw = text_.substr(begin, at_ - begin);
    if (!take('"')) return std::nullopt;
    return escaped ? without_backslashes(raw, quoted_special) : raw;
  }
  std::string_view word() {
    const std::size_t end = std::min(text_.find_first_of(", ", at_), text_.size());
    const std::string_view word = text_.substr(at_, end - at_);
    at_ = end;
    return word;
  }

 private:
  template <class Special>
  std::string_view without_backslashes(std::string_view raw, const Special& is_special) {
    buffer_.clear();
    for (std::size_t i = 0; i < raw.size(); ++i) {
      if (raw[i] == '\\' && i + 1 < raw.size() && is_special(raw[i + 1])) ++i;
      buffer_ += raw[i];
    }
    return buffer_;
  }

  const std::string_view text_;
  std::size_t at_ = 0;
  std::string& buffer_;
};

template <class Integer>
bool whole(std::string_view word, std::string& to) {
  Integer value = 0;
  const auto read = std::from_chars(word.data(), word.data() + word.size(), value);
  if (word.empty() || read.ec != std::errc() || read.ptr != word.data() + word.size()) return false;
  to += std::to_string(value);
  return true;
}

// A float keeps its digits; one that JSON writes otherwise (.5, 1.) is written anew. It always has a point or an exponent, so that it stays one.
bool real(std::string_view word, std::string& to) {
  if (is_json_number(word)) {
    to += word;
    if (word.find_first_of(".eE") == std::string_view::npos) to += ".0";
    return true;
  }
  const std::size_t first = word.substr(0, 1) == "-" ? 1 : 0;
  if (first == word.size() || (word[first] != '.' && (word[first] < '0' || word[first] > '9'))) return false;  // from_chars takes nan and inf
  double value = 0;
  const auto read = std::from_chars(word.data(), word.data() + word.size(), value);
  if (read.ec != std::errc() || read.ptr != word.data() + word.size() || !std::isfinite(value)) return false;
  append_json_double(to, value);
  return true;
}

bool boolean(std::string_view word, std::string& to) {
  const bool yes = word == "t" || word == "T" || word == "true" || word == "True" || word == "TRUE";
  if (!yes && word != "f" && word != "F" && word != "false" && word != "False" && word != "FALSE") return false;
  to += yes ? "true" : "false";
  return true;
}

result<void> value(Line& line, std::string_view field, std::string& to) {
  if (line.take('"')) {
    const auto text = line.string();
    if (!text) return wrong("the text has no closing quote");
    append_json_utf8(to, *text);
    return {};
  }
  const std::string_view word = line.word();
  const char last = word.empty() ? '\0' : word.back();
  const std::string_view digits = word.substr(0, word.size() - (word.empty() ? 0 : 1));
  if (last == 'i' ? whole<std::int64_t>(digits, to) : last == 'u' ? whole<std::uint64_t>(digits, to) : boolean(word, to) || real(word, to)) return {};
  return wrong(fmt::format("field '{}' has the value '{}', expected a number, 17i, 17u, true, false or \"text\"", field.substr(0, 60), word.substr(0, 60)));
}

class InfluxDecoder final : public Decoder {
 protected:
  result<Found> take(JsonObject& to) override {
    const std::string_view before = rest_;
    const std::string_view text = take_line();
    const std::size_t begin = text.find_first_not_of(' ');
    if (begin == std::string_view::npos || text[begin] == '#') return Found::nothing;
    if (!is_utf8(before.substr(0, before.size() - rest_.size()))) return wrong("not valid UTF-8");
    if (auto read = read_line(text.substr(begin), to); !read) return read.error();
    if (auto ended = to.end(); !ended) return Error{ErrorCode::invalid, ended.error().message + " (measurement and time are fields, too)"};
    return Found::record;
  }

 private:
  // Up to the line's end; within quotes of a field's value a line may end without being at its end.
  std::string_view take_line() {
    std::size_t at = rest_.find('\n') == std::string_view::npos ? rest_.size() : 0;
    bool quoted = false, after_equals = false, comment = true;
    int spaces = 0;  // values stand after the first
    for (; at < rest_.size(); ++at) {
      const char c = rest_[at];
      if (c == '\n' && !quoted) break;
      if (comment && c != ' ') {
        if (c == '#') {
          at = std::min(rest_.find('\n', at), rest_.size());
          break;
        }
        comment = false;
      }
      if (c == '\\' && at + 1 < rest_.size() && (quoted ? quoted_special(rest_[at + 1]) : special(rest_[at + 1], false))) ++at;
      else if (quoted) quoted = c != '"';
      else if (c == '"' && after_equals && spaces > 0) quoted = true;
      else if (c == ' ' && !comment) ++spaces;
      after_equals = c == '=';
    }
    std::string_view line = rest_.substr(0, at);
    rest_.remove_prefix(std::min(at + 1, rest_.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    return line;
  }

  result<void> read_line(std::string_view text, JsonObject& to) {
    Line line(text, buffer_);
    const std::string_view measurement = line.name(true);
    if (measurement.empty()) return wrong("it has no measurement");
    to.begin();
    append_json_utf8(to.begin_field("measurement", "\"measurement\""), measurement);
    while (line.take(',')) {
      const std::string_view tag = line.name(false);
      if (tag.empty()) return wrong("a tag has no name");
      std::string& token = to.begin_field(tag);
      if (!line.take('=')) return wrong("a tag has no value");
      const std::string_view of_tag = line.name(false);
      if (of_tag.empty()) return wrong("a tag has no value");
      append_json_utf8(token, of_tag);
    }
    if (!line.take(' ')) return wrong("a space is missing before the fields");
    line.skip_spaces();
    do {
      const std::string_view name = line.name(false);
      if (name.empty()) return wrong("a field has no name");
      const std::string field(name);
      std::string& token = to.begin_field(field);
      if (!line.take('=')) return wrong(fmt::format("field '{}' has no value", field.substr(0, 60)));
      if (auto read = value(line, field, token); !read) return read;
    } while (line.take(','));
    if (!line.at_end() && !line.take(' ')) return wrong("something follows a value");
    line.skip_spaces();
    if (line.at_end()) return {};
    const std::string_view time = line.word();
    if (!whole<std::int64_t>(time, to.begin_field("time", "\"time\""))) return wrong(fmt::format("the timestamp is '{}', expected nanoseconds since 1970", time.substr(0, 60)));
    line.skip_spaces();
    if (!line.at_end()) return wrong("something follows the timestamp");
    return {};
  }

  std::string buffer_;
};

}  // namespace

std::unique_ptr<Decoder> make_influx_decoder() { return std::make_unique<InfluxDecoder>(); }

}  // namespace rivulet::codec
