#include "agent/codec/decoder.h"

namespace rivulet::codec {

void Decoder::begin(std::string_view frame, const std::optional<std::string_view>& first_line) {
  rest_ = frame;
  piece_ = {};
  frame_bytes_ = frame.size();
  told_ = !frame.empty();
  on_begin(first_line);
}

result<Decoder::Found> Decoder::next(JsonObject& to) {
  to.clear();
  if (rest_.empty()) {
    piece_ = {};
    return std::exchange(told_, true) ? Found::end : Found::nothing;  // an empty frame is no record either
  }
  const std::string_view before = rest_;
  auto taken = take(to);
  piece_ = before.substr(0, before.size() - rest_.size());
  return taken;
}

void append_guessed(std::string& to, std::string_view text) {
  if (text == "true" || text == "false" || is_json_number(text)) to += text;
  else append_json_utf8(to, text);
}

}  // namespace rivulet::codec
