#include "agent/codec/csv.h"

#include <algorithm>
#include <utility>

namespace rivulet::codec {

Error CsvReader::wrong(const std::string& what) const { return {ErrorCode::invalid, "line " + std::to_string(row_line_) + ": " + what}; }

result<void> CsvReader::feed(std::string_view bytes) {
  static constexpr std::string_view mark = "\xEF\xBB\xBF";
  if (begun_) return take(bytes);
  start_ += bytes;
  if (start_.size() < mark.size() && mark.substr(0, start_.size()) == start_) return {};  // perhaps
  begun_ = true;
  const std::string begin = std::exchange(start_, {});
  return take(std::string_view(begin).substr(begin.rfind(mark, 0) == 0 ? mark.size() : 0));
}

// How many bytes at the beginning are text of the field, whatever follows: most of a file, and taken as one.
std::size_t CsvReader::text_at(std::string_view bytes) const {
  const char ends[] = {'"', '\n', '\r', separator_};
  switch (at_) {
    case At::quoted: return std::min(bytes.size(), bytes.find_first_of("\"\n"));
    case At::start:
    case At::plain: return std::min(bytes.size(), bytes.find_first_of(std::string_view(ends, sizeof ends)));
    case At::after_quote:
    case At::after_return: return 0;
  }
  return 0;
}

result<void> CsvReader::take(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t text = text_at(bytes), taken = std::max<std::size_t>(text, 1);
    row_bytes_ += taken;
    if (row_bytes_ > kMaxRowBytes) return wrong("a row is longer than 1 MiB (is a quote not closed?)");
    if (text > 0) {
      field_.text += bytes.substr(0, text);
      if (at_ == At::start) at_ = At::plain;
    } else if (auto done = take(bytes.front()); !done) {
      return done;
    }
    bytes.remove_prefix(taken);
  }
  return {};
}

// A byte that is not text for sure: see text_at.
result<void> CsvReader::take(char c) {
  if (c == '\n') ++line_;
  if (at_ == At::quoted) {
    if (c == '"') at_ = At::after_quote;
    else field_.text += c;  // the end of a line
    return {};
  }
  if (at_ == At::after_return && c != '\n') return wrong("a carriage return stands in a field without quotes");
  if (c == '\n') return end_row();
  if (c == '\r') {
    at_ = At::after_return;
    return {};
  }
  if (c == separator_) {
    end_field();
    return fields_.size() >= kMaxFields ? result<void>(wrong("has more than " + std::to_string(kMaxFields) + " fields")) : result<void>();
  }
  if (c == '"') {
    if (at_ == At::plain) return wrong("a quote stands within a field without quotes");
    if (at_ == At::after_quote) field_.text += c;
    field_.quoted = true;
    at_ = At::quoted;
    return {};
  }
  return wrong("something follows the closing quote of a field");
}

void CsvReader::end_field() {
  fields_.push_back(std::exchange(field_, {}));
  at_ = At::start;
}

result<void> CsvReader::end_row() {
  const bool nothing = fields_.empty() && field_.text.empty() && !field_.quoted;
  if (!nothing) {
    end_field();
    if (auto done = visit_(fields_); !done) return Error{done.error().code, wrong(done.error().message).message};
  }
  fields_.clear();
  at_ = At::start;
  row_bytes_ = 0;
  row_line_ = line_;
  return {};
}

result<void> CsvReader::finish() {
  if (auto taken = take(std::exchange(start_, {})); !taken) return taken;
  if (at_ == At::quoted) return wrong("a quote is not closed");
  return end_row();
}

}  // namespace rivulet::codec
