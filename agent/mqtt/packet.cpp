#include "agent/mqtt/packet.h"

#include <fmt/core.h>

#include "agent/base/bytes.h"
#include "agent/base/check.h"
#include "agent/mqtt/properties.h"

namespace rivulet::mqtt {
namespace {

Error malformed(const std::string& what) { return {ErrorCode::invalid, "malformed packet: " + what}; }

// What a server may send to a client that publishes with QoS 1 at most, and the flags it must have (table 2-2).
bool flags_fit(Type type, std::uint8_t flags) {
  switch (type) {
    case Type::publish: return true;
    case Type::pubrel: return flags == 2;
    case Type::connack: case Type::puback: case Type::suback: case Type::unsuback: case Type::pingresp: case Type::disconnect: return flags == 0;
    default: return false;
  }
}

result<Packet> parse_publish(const Head& head, std::string_view body, int version) {
  auto start = parse_publish_start(head, body);
  if (!start) return start.error();
  if (!*start) return malformed("a PUBLISH is cut");
  Publish publish = (*start)->publish;
  Reader reader(body.substr((*start)->used));
  if (version == 5) {
    auto properties = read_properties(reader, head.type);
    if (!properties) return properties.error();
    if (properties->topic_alias) return malformed("a topic alias, which we did not allow");
  }
  publish.payload = reader.rest();
  return Packet(publish);
}

result<Packet> parse_connack(Reader& reader, int version) {
  Connack connack;
  const std::uint8_t flags = reader.u8();
  connack.reason = reader.u8();
  if (!reader.ok() || flags > 1) return malformed("a CONNACK with bad flags");
  connack.session_present = flags == 1;
  if (version == 5 && !reader.at_end()) {  // a server that knows 3.1.1 only answers with its short form
    auto properties = read_properties(reader, Type::connack);
    if (!properties) return properties.error();
    connack.reason_text = properties->reason_text;
    connack.keep_alive_s = properties->keep_alive_s;
    connack.session_expiry_s = properties->session_expiry_s;
    connack.receive_maximum = properties->receive_maximum.value_or(connack.receive_maximum);
    connack.maximum_qos = properties->maximum_qos.value_or(connack.maximum_qos);
    connack.retain_available = properties->retain_available.value_or(true);
    connack.maximum_packet = properties->maximum_packet.value_or(connack.maximum_packet);
    if (connack.receive_maximum == 0 || connack.maximum_packet == 0 || connack.maximum_qos > 2) return malformed("a CONNACK with a limit that cannot be");  // sections 3.2.2.3.3, .4 and .6
  }
  if (!reader.at_end()) return malformed("a CONNACK with more bytes");
  return Packet(connack);
}

result<Packet> parse_puback(Reader& reader, int version) {
  Puback puback;
  puback.id = reader.u16_be();
  if (!reader.ok() || puback.id == 0) return malformed("a PUBACK without packet id");
  if (version == 5 && !reader.at_end()) {
    puback.reason = reader.u8();
    if (!reader.at_end()) {
      auto properties = read_properties(reader, Type::puback);
      if (!properties) return properties.error();
      puback.reason_text = properties->reason_text;
    }
  }
  if (!reader.at_end()) return malformed("a PUBACK with more bytes");
  return Packet(puback);
}

result<Packet> parse_pubrel(Reader& reader, int version) {
  const std::uint16_t id = reader.u16_be();
  if (!reader.ok() || id == 0) return malformed("a PUBREL without packet id");
  if (version == 5 && !reader.at_end()) {
    reader.u8();
    if (!reader.at_end())
      if (auto properties = read_properties(reader, Type::pubrel); !properties) return properties.error();
  }
  if (!reader.at_end()) return malformed("a PUBREL with more bytes");
  return Packet(Pubrel{id});
}

result<Packet> parse_suback(Reader& reader, int version) {
  Suback suback;
  suback.id = reader.u16_be();
  if (!reader.ok()) return malformed("a SUBACK without packet id");
  if (version == 5) {
    auto properties = read_properties(reader, Type::suback);
    if (!properties) return properties.error();
    suback.reason_text = properties->reason_text;
  }
  suback.reasons = reader.rest();
  for (const char reason : suback.reasons)
    if (const auto code = static_cast<std::uint8_t>(reason); code > 2 && code < 0x80) return malformed("a SUBACK with an unknown reason");
  return Packet(suback);
}

// Its reasons change nothing: what cannot be unsubscribed is not subscribed.
result<Packet> parse_unsuback(Reader& reader, int version) {
  const std::uint16_t id = reader.u16_be();
  if (!reader.ok()) return malformed("an UNSUBACK without packet id");
  if (version == 3 && !reader.at_end()) return malformed("an UNSUBACK with more bytes");
  if (version == 5)
    if (auto properties = read_properties(reader, Type::unsuback); !properties) return properties.error();
  return Packet(Unsuback{id});
}

result<Packet> parse_disconnect(Reader& reader, int version) {
  Disconnect disconnect;
  if (version == 3) return malformed("a DISCONNECT from the server in version 3.1.1");
  if (!reader.at_end()) disconnect.reason = reader.u8();
  if (!reader.at_end()) {
    auto properties = read_properties(reader, Type::disconnect);
    if (!properties) return properties.error();
    disconnect.reason_text = properties->reason_text;
  }
  if (!reader.at_end()) return malformed("a DISCONNECT with more bytes");
  return Packet(disconnect);
}

}  // namespace

result<std::optional<Head>> parse_head(std::string_view bytes) {
  if (bytes.empty()) return std::optional<Head>();
  const auto first = static_cast<std::uint8_t>(bytes[0]);
  Head head{static_cast<Type>(first >> 4), static_cast<std::uint8_t>(first & 15), 0, 1};
  if (!flags_fit(head.type, head.flags)) return malformed(fmt::format("0x{:02x} begins no packet for a client like this", first));
  for (int shift = 0;; shift += 7) {
    if (shift == 28) return malformed("its length has more than four bytes");
    if (head.size == bytes.size()) return std::optional<Head>();
    const auto byte = static_cast<std::uint8_t>(bytes[head.size++]);
    head.length |= static_cast<std::uint32_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) break;
  }
  return std::optional<Head>(head);
}

result<std::optional<PublishStart>> parse_publish_start(const Head& head, std::string_view bytes) {
  PublishStart start{};
  start.publish.qos = static_cast<std::uint8_t>(head.flags >> 1 & 3);
  start.publish.duplicate = (head.flags & 8) != 0;
  if (start.publish.qos == 3) return malformed("a PUBLISH with QoS 3");
  if (start.publish.qos == 0 && start.publish.duplicate) return malformed("a PUBLISH with QoS 0 and DUP");
  Reader reader(bytes);
  start.publish.topic = reader.bytes(reader.u16_be());
  if (start.publish.qos > 0) start.publish.id = reader.u16_be();
  if (!reader.ok()) return std::optional<PublishStart>();
  if (start.publish.qos > 0 && start.publish.id == 0) return malformed("a PUBLISH with packet id 0");
  if (start.publish.topic.empty() || !good_text(start.publish.topic) || start.publish.topic.find_first_of("+#") != std::string_view::npos) return malformed("a PUBLISH with a bad topic");
  start.used = static_cast<std::uint32_t>(bytes.size() - reader.rest().size());
  return std::optional<PublishStart>(start);
}

result<Packet> parse_body(const Head& head, std::string_view body, int version) {
  RV_CHECK(body.size() == head.length, "a body is as long as its head says");
  Reader reader(body);
  switch (head.type) {
    case Type::publish: return parse_publish(head, body, version);
    case Type::connack: return parse_connack(reader, version);
    case Type::puback: return parse_puback(reader, version);
    case Type::pubrel: return parse_pubrel(reader, version);
    case Type::suback: return parse_suback(reader, version);
    case Type::unsuback: return parse_unsuback(reader, version);
    case Type::disconnect: return parse_disconnect(reader, version);
    case Type::pingresp:
      if (!body.empty()) return malformed("a PINGRESP with more bytes");
      return Packet(Pingresp{});
    default: return malformed(fmt::format("packet type {} is not for a client like this", static_cast<int>(head.type)));
  }
}

}  // namespace rivulet::mqtt
