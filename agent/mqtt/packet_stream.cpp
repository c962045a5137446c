#include "agent/mqtt/packet_stream.h"

#include <fmt/core.h>

#include <algorithm>

namespace rivulet::mqtt {
namespace {

constexpr std::size_t kKeepBytes = 256 * 1024;  // a buffer that one large message made larger is given back

}  // namespace

void PacketStream::feed(std::string_view bytes) {
  const auto gone = static_cast<std::size_t>(std::min<std::uint64_t>(skip_, bytes.size()));
  skip_ -= gone;
  bytes.remove_prefix(gone);
  input_.erase(0, begin_);
  begin_ = 0;
  if (input_.empty() && input_.capacity() > kKeepBytes) input_.shrink_to_fit();
  input_ += bytes;
}

result<std::optional<PacketStream::Item>> PacketStream::next() {
  const std::string_view rest = std::string_view(input_).substr(begin_);
  const auto head = parse_head(rest);
  if (!head) return head.error();
  if (!*head) return std::optional<Item>();
  const Head& found = **head;
  if (found.length > max_packet_bytes_) return pass_over(found, rest);
  if (rest.size() - found.size < found.length) return std::optional<Item>();
  auto packet = parse_body(found, rest.substr(found.size, found.length), version_);
  if (!packet) return packet.error();
  begin_ += found.size + found.length;
  return std::optional<Item>(*packet);
}

result<std::optional<PacketStream::Item>> PacketStream::pass_over(const Head& head, std::string_view rest) {
  if (head.type != Type::publish) {
    return Error{ErrorCode::invalid, fmt::format("malformed packet: {} bytes that are no message (max_packet is {})", head.length, max_packet_bytes_)};
  }
  const auto start = parse_publish_start(head, rest.substr(head.size, head.length));
  if (!start) return start.error();
  if (!*start) return std::optional<Item>();
  const std::size_t at_hand = std::min<std::size_t>(head.length, rest.size() - head.size);
  skip_ = head.length - at_hand;
  begin_ += head.size + at_hand;
  return std::optional<Item>(Oversized{(*start)->publish, head.length});
}

}  // namespace rivulet::mqtt
