#include "agent/codec/csv.h"

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

result<void> CsvReader::take(std::string_view bytes) {
  for (const char c : bytes)
    if (auto taken = take(c); !taken) return taken;
  return {};
}

result<void> CsvReader::take(char c) {
  if (++row_bytes_ > kMaxRowBytes) return wrong("a row is longer than 1 MiB (is a quote not closed?)");
  if (c == '\n') ++line_;
  if (at_ == At::quoted) {
    if (c == '"') at_ = At::after_quote;
    else field_.text += c;
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
  if (at_ == At::after_quote) return wrong("something follows the closing quote of a field");
  at_ = At::plain;
  field_.text += c;
  return {};
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
