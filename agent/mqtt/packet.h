// MQTT packets that a client sends and receives, subscriber or publisher (QoS 1), for versions 3.1.1 and 5.0. No I/O, no state.
//
// Source: MQTT 5.0 (OASIS, 2019) sections 2 and 3; MQTT 3.1.1 where `version` is 3. Input is hostile: parse() reads nothing beyond the
// bytes it is given and refuses what the specification calls malformed, with a reason. Thread: any. Lifetime: a Packet's views
// point into the bytes it was parsed from.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/base/result.h"

namespace rivulet::mqtt {

enum class Type : std::uint8_t { connect = 1, connack, publish, puback, pubrec, pubrel, pubcomp, subscribe, suback, unsubscribe, unsuback, pingreq, pingresp, disconnect, auth };

struct Connack {
  bool session_present = false;
  std::uint8_t reason = 0;
  std::string_view reason_text;                 // 5.0 only
  std::optional<std::uint16_t> keep_alive_s;       // the server's own, 5.0
  std::optional<std::uint32_t> session_expiry_s;  // the server's own, 5.0
  // What the server takes of a publisher, 5.0.
  std::uint16_t receive_maximum = 65'535;  // unacknowledged messages
  std::uint8_t maximum_qos = 2;
  bool retain_available = true;
  std::uint32_t maximum_packet = UINT32_MAX;  // bytes
};
struct Publish {
  std::string_view topic, payload;
  std::uint16_t id = 0;  // of QoS 1 and 2
  std::uint8_t qos = 0;
  bool duplicate = false;
};
struct Puback {
  std::uint16_t id = 0;
  std::uint8_t reason = 0;  // 5.0; below 0x80: taken
  std::string_view reason_text;
};
struct Pubrel { std::uint16_t id = 0; };
struct Suback {
  std::uint16_t id = 0;
  std::string_view reasons;  // a byte for each filter
  std::string_view reason_text;
};
struct Unsuback { std::uint16_t id = 0; };
struct Pingresp {};
struct Disconnect {
  std::uint8_t reason = 0;
  std::string_view reason_text;
};
using Packet = std::variant<Connack, Publish, Puback, Pubrel, Suback, Unsuback, Pingresp, Disconnect>;

// The fixed header (section 2.1): type, flags, length of the rest. Only of packets that a server may send to such a client:
// whatever else talks to us (an HTTP server, say) is refused at its first byte.
struct Head {
  Type type;
  std::uint8_t flags;
  std::uint32_t length;
  std::uint32_t size;  // of the head itself
};
// Nothing: more bytes are needed.
result<std::optional<Head>> parse_head(std::string_view bytes);

// `body`: exactly head.length bytes.
result<Packet> parse_body(const Head& head, std::string_view body, int version);

// The head of a PUBLISH that is too large to be held: topic and id from its first bytes. Nothing: more bytes are needed.
struct PublishStart {
  Publish publish;      // without payload
  std::uint32_t used;   // bytes of the body that it took
};
result<std::optional<PublishStart>> parse_publish_start(const Head& head, std::string_view bytes);

struct ConnectOptions {
  int version = 5;
  std::string client_id, username, password;
  bool login = false;
  std::uint16_t keep_alive_s = 30;
  std::uint32_t session_expiry_s = 0;
  std::uint16_t receive_maximum = 1000;
  bool clean_start = false;  // else the session goes on
};
std::string encode_connect(const ConnectOptions& options);
// What encode_publish() would append, in bytes.
std::uint64_t publish_size(std::string_view topic, std::uint64_t payload_bytes, int version);
// QoS 1. `topic` is at most 65,535 bytes, the whole below 256 MiB (check).
void encode_publish(std::string& to, std::uint16_t id, std::string_view topic, std::string_view payload, bool retain, bool duplicate, int version);
std::string encode_subscribe(std::uint16_t id, const std::vector<std::string>& filters, int qos, int version);
void encode_ack(std::string& to, Type type, std::uint16_t id);  // PUBACK, PUBREC, PUBCOMP
std::string encode_unsubscribe(std::uint16_t id, const std::vector<std::string>& filters, int version);
std::string encode_pingreq();
std::string encode_disconnect(int version, std::uint8_t reason = 0);  // 5.0 sends the reason, 3.1.1 has none

// Reason codes of CONNACK, PUBACK, SUBACK and DISCONNECT for people (5.0 section 2.4; 3.1.1 section 3.2.2.3).
std::string reason_name(std::uint8_t reason, int version, std::string_view text);

}  // namespace rivulet::mqtt
