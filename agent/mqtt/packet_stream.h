// PacketStream: bytes as they come off a connection, as packets. No I/O.
//
// A PUBLISH beyond max_packet is never held: its topic and id are taken from its first bytes and the rest is passed over.
// Thread: io. Lifetime: of one connection; a packet's views are valid until the next call. Bounds: max_packet and one feed() in
// memory. Errors: the bytes are not MQTT, or not what a server may send; after one the stream is over.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "agent/mqtt/packet.h"

namespace rivulet::mqtt {

struct Oversized {
  Publish publish;  // without payload
  std::uint32_t size_bytes = 0;
};

class PacketStream {
 public:
  using Item = std::variant<Packet, Oversized>;
  PacketStream(int version, std::uint64_t max_packet_bytes) : version_(version), max_packet_bytes_(max_packet_bytes) {}

  void feed(std::string_view bytes);
  result<std::optional<Item>> next();  // nothing: more bytes are needed
  std::size_t held_bytes() const { return input_.size() - begin_; }

 private:
  result<std::optional<Item>> pass_over(const Head& head, std::string_view rest);

  int version_;
  std::uint64_t max_packet_bytes_;
  std::string input_;
  std::size_t begin_ = 0;      // of what next() has not taken
  std::uint64_t skip_ = 0;     // of an oversized message that has yet to come
};

}  // namespace rivulet::mqtt
