// JsonView: a value of a JSON text that was checked, for what another rivulet answers (`rivulet top`).
//
// What is not there, or is of another kind, reads as nothing: an older or newer agent's answer shows what it has. Thread: any (a view). Lifetime: the text's.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/result.h"

namespace rivulet::app {

class JsonView {
 public:
  JsonView() = default;
  static result<JsonView> of(std::string_view text);  // checks all of it: an object

  JsonView at(std::string_view name) const;  // of an object
  std::vector<JsonView> items() const;       // of an array
  std::vector<std::pair<std::string, JsonView>> fields() const;
  bool is_null() const { return token_.empty() || token_ == "null"; }
  std::string text() const;  // of a string; else empty
  std::uint64_t number() const;
  bool yes() const { return token_ == "true"; }

 private:
  explicit JsonView(std::string_view token) : token_(token) {}
  std::string_view token_;
};

}  // namespace rivulet::app
