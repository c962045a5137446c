// Secret: a text of the configuration that never reaches a log or a message.
//
// Thread: any (plain data).
#pragma once
#include <string>
#include <utility>

namespace rivulet::config {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}
  const std::string& reveal() const { return text_; }
  bool empty() const { return text_.empty(); }

 private:
  std::string text_;
};

}  // namespace rivulet::config
