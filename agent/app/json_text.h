// JsonText: writes one JSON document into a string; commas and escaping are its business.
//
// Text that is not UTF-8 is written byte by byte as \u00XX, so the document always is. Thread: any (a value).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace rivulet::app {

class JsonText {
 public:
  JsonText& begin_object() { return open('{'); }
  JsonText& end_object() { return close('}'); }
  JsonText& begin_array() { return open('['); }
  JsonText& end_array() { return close(']'); }
  JsonText& key(std::string_view name);
  JsonText& value(std::string_view text);
  JsonText& value(const char* text) { return value(std::string_view(text)); }
  JsonText& value(std::uint64_t number);
  JsonText& value(std::int64_t number);
  JsonText& value(bool yes);
  JsonText& null();
  template <class T>
  JsonText& field(std::string_view name, const T& what) {
    key(name);
    return value(what);
  }
  const std::string& text() const { return text_; }

 private:
  JsonText& open(char bracket);
  JsonText& close(char bracket);
  void separate();
  void quote(std::string_view text);
  std::string text_;
};

}  // namespace rivulet::app
