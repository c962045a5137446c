// Publisher: what a publishing client has in flight, with QoS 1 (MQTT 5.0 section 4.3.2). No I/O: packets in, bytes to send out.
//
// A message is done when its PUBACK is there; messages are done in their order, and what a connection left undone is published anew by the next
// one: at least once. The session ends with the connection (clean start): the store knows better what is not done. So DUP is never set.
// In flight: `in_flight`, and what the server allows (receive maximum).
// A message that can never be published (no legal topic, larger than the server takes) is refused. So is one after which the server closed the
// connection kPatience times although nothing else was in flight: otherwise it would hold up all behind it for ever.
// Thread: one. Lifetime: over many connections; the stretch outlives begin() to take(). Bound: 32 bytes a message in flight.
#pragma once
#include <cstdint>
#include <deque>
#include <string>

#include "agent/config/output.h"
#include "agent/mqtt/packet.h"
#include "agent/sink/writer.h"

namespace rivulet::sink {

class Publisher {
 public:
  static constexpr int kSuspicion = 3;  // closed so often at the same message: from then on it goes alone
  static constexpr int kPatience = 8;

  Publisher(const config::MqttOutput& settings, std::string client_id) : settings_(settings), client_id_(std::move(client_id)), keep_alive_s_(configured_keep_alive_s()) {}

  std::string connect();  // a new connection begins: what to send first; nothing is in flight
  // An error ends the connection. One of kind `invalid` is a breach of the protocol.
  result<void> on_packet(const mqtt::Packet& packet);
  void closed() { connected_ = false; }
  void closed_by_server();

  bool connected() const { return connected_; }
  std::uint16_t keep_alive_s() const { return keep_alive_s_; }

  void begin(const Stretch& stretch);
  void fill(std::string& out);  // as far as the window lets
  bool done() const { return stretch_ == nullptr || (pack_ == stretch_->packs.size() && flying_.empty()); }
  std::uint64_t acknowledged() const { return acknowledged_; }  // PUBACKs since the start: whether there is progress
  Delivery take();  // ends the stretch

 private:
  struct Flying {
    std::uint16_t id;
    bool done;
    Sequence sequence, up_to;  // up_to: with a gap behind it
    std::uint64_t bytes;       // 0: refused
  };
  std::uint16_t configured_keep_alive_s() const;
  result<void> on_connack(const mqtt::Connack& connack);
  result<void> on_puback(const mqtt::Puback& puback);
  std::size_t window() const;
  std::string unfit(const store::PackRecord& record, Sequence sequence) const;  // why it can never be published; empty: it can
  void refuse(Flying& flying, std::string reason);
  void settle();  // what is done at the front

  const config::MqttOutput settings_;
  const std::string client_id_;
  bool connected_ = false;
  std::uint16_t keep_alive_s_, last_id_ = 0;
  std::uint16_t server_window_ = 65'535;
  std::uint32_t server_packet_ = UINT32_MAX;
  std::uint64_t acknowledged_ = 0;

  const Stretch* stretch_ = nullptr;
  std::size_t pack_ = 0, record_ = 0;  // what is published next
  std::deque<Flying> flying_;          // ids are consecutive
  Delivery delivery_;

  StreamId suspect_stream_ = 0;
  Sequence suspect_ = 0;  // the message at which the server closed
  int closings_ = 0;      // one after the other
};

}  // namespace rivulet::sink
