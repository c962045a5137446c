// JsonCursor: walks through JSON that has been checked, without a second look at what it passes.
//
// For steps that go into a value. Text that is not what was promised gives empty views, and ends: nothing is read beyond it.
// Thread: any. Lifetime: views into the text.
#pragma once
#include <algorithm>
#include <cstddef>
#include <string_view>

namespace rivulet::pipeline {

class JsonCursor {
 public:
  explicit JsonCursor(std::string_view checked) : rest_(checked) {}

  // Passes `mark`, and white space before it, if it is next.
  bool take(char mark) {
    space();
    if (rest_.empty() || rest_.front() != mark) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool at(char mark) {
    space();
    return !rest_.empty() && rest_.front() == mark;
  }
  // A text with its quotes.
  std::string_view text() {
    if (!at('"')) return {};
    return first(text_end(0));
  }
  std::string_view value() {
    space();
    if (rest_.empty()) return {};
    switch (rest_.front()) {
      case '"': return text();
      case '{':
      case '[': return nested();
      default: return first(rest_.find_first_of(",]} \t\r\n"));
    }
  }
  bool at_end() {
    space();
    return rest_.empty();
  }

 private:
  void space() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size())); }
  std::string_view first(std::size_t size) {
    const std::string_view found = rest_.substr(0, size);
    rest_.remove_prefix(found.size());
    return found;
  }
  // Behind the quote that ends the text which begins at `at`.
  std::size_t text_end(std::size_t at) const {
    for (++at; at < rest_.size(); ++at) {
      if (rest_[at] == '\\') ++at;
      else if (rest_[at] == '"') return at + 1;
    }
    return rest_.size();
  }
  std::string_view nested() {
    std::size_t open = 0, at = 0;
    while (at < rest_.size()) {
      at = rest_.find_first_of("\"{}[]", at);
      if (at == std::string_view::npos) break;
      const char mark = rest_[at];
      if (mark == '"') {
        at = text_end(at);
        continue;
      }
      ++at;
      if (mark == '{' || mark == '[') ++open;
      else if (--open == 0) return first(at);
    }
    return first(rest_.size());
  }

  std::string_view rest_;
};

}  // namespace rivulet::pipeline
