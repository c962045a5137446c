// Numbers and words of short texts that we wrote ourselves, or that must have exactly that form. Thread: any.
#pragma once
#include <algorithm>
#include <charconv>
#include <string_view>

namespace rivulet {

// A whole number at the beginning of `text`, which is taken off. `to` changes only when there is one.
template <class Number>
bool take_number(std::string_view& text, Number& to, int base = 10) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), to, base);
  if (read.ec != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(read.ptr - text.data()));
  return true;
}

// `text` is a whole number and nothing else.
template <class Number>
bool whole_number(std::string_view text, Number& to) { return take_number(text, to) && text.empty(); }

// Up to the next blank, which goes too.
inline std::string_view next_word(std::string_view& text) {
  const auto end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

}  // namespace rivulet
