#include "agent/source/mqtt/packet.h"

#include <fmt/format.h>

#include "agent/base/bytes.h"
#include "agent/base/check.h"

namespace rivulet::source::mqtt {
namespace {

Error malformed(const std::string& what) { return {ErrorCode::invalid, "malformed packet: " + what}; }

// Section 1.5.4: UTF-8 without NUL and surrogates.
bool good_text(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto at = [&](std::size_t k) { return i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0U; };
    const unsigned lead = at(0);
    std::size_t length = 0;
    if (lead == 0) return false;
    if (lead < 0x80) length = 1;
    else if (lead >= 0xc2 && lead < 0xe0) length = 2;
    else if (lead >= 0xe0 && lead < 0xf0) length = 3;
    else if (lead >= 0xf0 && lead < 0xf5) length = 4;
    else return false;
    for (std::size_t k = 1; k < length; ++k)
      if ((at(k) & 0xc0) != 0x80) return false;
    if ((lead == 0xe0 && at(1) < 0xa0) || (lead == 0xed && at(1) > 0x9f) || (lead == 0xf0 && at(1) < 0x90) || (lead == 0xf4 && at(1) > 0x8f)) return false;
    i += length;
  }
  return true;
}

// Section 1.5.5: at most four bytes.
std::optional<std::uint32_t> variable_integer(Reader& reader) {
  std::uint32_t value = 0;
  for (int shift = 0; shift < 28; shift += 7) {
    const std::uint8_t byte = reader.u8();
    if (!reader.ok()) return std::nullopt;
    value |= static_cast<std::uint32_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  return std::nullopt;
}

void put_variable_integer(std::string& to, std::uint32_t value) {
  RV_CHECK(value < (1U << 28), "a packet is smaller than 256 MiB");
  do {
    put_u8(to, static_cast<std::uint8_t>((value & 0x7f) | (value > 0x7f ? 0x80 : 0)));
    value >>= 7;
  } while (value > 0);
}

void put_text(std::string& to, std::string_view text) {
  put_u16_be(to, static_cast<std::uint16_t>(text.size()));
  to += text;
}

std::string packet(Type type, std::uint8_t flags, const std::string& body) {
  std::string bytes;
  put_u8(bytes, static_cast<std::uint8_t>(static_cast<unsigned>(type) << 4 | flags));
  put_variable_integer(bytes, static_cast<std::uint32_t>(body.size()));
  return bytes + body;
}

struct Properties {
  std::string_view reason_text;
  std::optional<std::uint16_t> keep_alive_s;
  bool topic_alias = false;
};

// Section 2.2.2.2, table 2-4: every property's type, so that those we do not use are passed over safely.
result<Properties> read_properties(Reader& reader) {
  Properties found;
  const auto length = variable_integer(reader);
  if (!length) return malformed("its property length is cut");
  Reader properties(reader.bytes(*length));
  if (!reader.ok()) return malformed("its properties are cut");
  while (!properties.at_end()) {
    const auto id = variable_integer(properties);
    if (!id) return malformed("a property is cut");
    switch (*id) {
      case 0x01: case 0x17: case 0x19: case 0x24: case 0x25: case 0x28: case 0x29: case 0x2a: properties.u8(); break;
      case 0x13: found.keep_alive_s = properties.u16_be(); break;
      case 0x23: properties.u16_be(); found.topic_alias = true; break;
      case 0x21: case 0x22: properties.u16_be(); break;
      case 0x02: case 0x11: case 0x18: case 0x27: properties.u32_be(); break;
      case 0x0b: if (!variable_integer(properties)) return malformed("a property is cut"); break;
      case 0x1f: found.reason_text = properties.bytes(properties.u16_be()); break;
      case 0x03: case 0x08: case 0x09: case 0x12: case 0x15: case 0x16: case 0x1a: case 0x1c: properties.bytes(properties.u16_be()); break;
      case 0x26: properties.bytes(properties.u16_be()); properties.bytes(properties.u16_be()); break;
      default: return malformed(fmt::format("property 0x{:02x} is unknown", *id));
    }
    if (!properties.ok()) return malformed(fmt::format("property 0x{:02x} is cut", *id));
  }
  return found;
}

result<Packet> parse_publish(const Head& head, std::string_view body, int version) {
  auto start = parse_publish_start(head, body);
  if (!start) return start.error();
  if (!*start) return malformed("a PUBLISH is cut");
  Publish publish = (*start)->publish;
  Reader reader(body.substr((*start)->used));
  if (version == 5) {
    auto properties = read_properties(reader);
    if (!properties) return properties.error();
    if (properties->topic_alias) return malformed("a topic alias, which we did not allow");
  }
  publish.payload = reader.rest();
  return Packet(publish);
}

}  // namespace

result<std::optional<Head>> parse_head(std::string_view bytes) {
  if (bytes.size() < 2) return std::optional<Head>();
  const auto first = static_cast<std::uint8_t>(bytes[0]);
  Head head{static_cast<Type>(first >> 4), static_cast<std::uint8_t>(first & 15), 0, 1};
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
  if (head.type == Type::publish) return parse_publish(head, body, version);
  if (head.flags != (head.type == Type::pubrel ? 2 : 0)) return malformed("reserved bits are set");
  Reader reader(body);
  switch (head.type) {
    case Type::connack: {
      Connack connack;
      const std::uint8_t flags = reader.u8();
      connack.reason = reader.u8();
      if (!reader.ok() || flags > 1) return malformed("a CONNACK with bad flags");
      connack.session_present = flags == 1;
      if (version == 5 && !reader.at_end()) {
        auto properties = read_properties(reader);
        if (!properties) return properties.error();
        connack.reason_text = properties->reason_text;
        connack.keep_alive_s = properties->keep_alive_s;
      }
      if (!reader.at_end()) return malformed("a CONNACK with more bytes");
      return Packet(connack);
    }
    case Type::pubrel: {
      const std::uint16_t id = reader.u16_be();
      if (!reader.ok() || id == 0) return malformed("a PUBREL without packet id");
      if (version == 3 && !reader.at_end()) return malformed("a PUBREL with more bytes");
      if (version == 5 && !reader.at_end()) {
        reader.u8();
        if (!reader.at_end())
          if (auto properties = read_properties(reader); !properties) return properties.error();
      }
      return Packet(Pubrel{id});
    }
    case Type::suback: {
      Suback suback;
      suback.id = reader.u16_be();
      if (!reader.ok()) return malformed("a SUBACK without packet id");
      if (version == 5) {
        auto properties = read_properties(reader);
        if (!properties) return properties.error();
        suback.reason_text = properties->reason_text;
      }
      suback.reasons = reader.rest();
      return Packet(suback);
    }
    case Type::pingresp:
      if (!body.empty()) return malformed("a PINGRESP with more bytes");
      return Packet(Pingresp{});
    case Type::disconnect: {
      Disconnect disconnect;
      if (version == 3) return malformed("a DISCONNECT from the server in version 3.1.1");
      if (!reader.at_end()) disconnect.reason = reader.u8();
      if (!reader.at_end()) {
        auto properties = read_properties(reader);
        if (!properties) return properties.error();
        disconnect.reason_text = properties->reason_text;
      }
      return Packet(disconnect);
    }
    default: return malformed(fmt::format("packet type {} is not for a subscriber", static_cast<int>(head.type)));
  }
}

std::string encode_connect(const ConnectOptions& options) {
  std::string body;
  put_text(body, "MQTT");
  put_u8(body, options.version == 5 ? 5 : 4);
  put_u8(body, options.login ? 0xc0 : 0x00);  // user name and password; clean start 0, no will
  put_u16_be(body, options.keep_alive_s);
  if (options.version == 5) {
    std::string properties;
    put_u8(properties, 0x11);  // session expiry interval: its default 0 would end the session with the connection
    put_u32_be(properties, options.session_expiry_s);
    put_u8(properties, 0x21);  // receive maximum
    put_u16_be(properties, options.receive_maximum);
    put_variable_integer(body, static_cast<std::uint32_t>(properties.size()));
    body += properties;
  }
  put_text(body, options.client_id);
  if (options.login) {
    put_text(body, options.username);
    put_text(body, options.password);
  }
  return packet(Type::connect, 0, body);
}

std::string encode_subscribe(std::uint16_t id, const std::vector<std::string>& filters, int qos, int version) {
  std::string body;
  put_u16_be(body, id);
  if (version == 5) put_variable_integer(body, 0);
  for (const std::string& filter : filters) {
    put_text(body, filter);
    put_u8(body, static_cast<std::uint8_t>(qos));
  }
  return packet(Type::subscribe, 2, body);
}

void encode_ack(std::string& to, Type type, std::uint16_t id) {
  put_u8(to, static_cast<std::uint8_t>(static_cast<unsigned>(type) << 4));
  put_u8(to, 2);
  put_u16_be(to, id);
}

std::string encode_pingreq() { return packet(Type::pingreq, 0, ""); }
std::string encode_disconnect(int version) { return packet(Type::disconnect, 0, version == 5 ? std::string(1, '\0') : std::string()); }

std::string reason_name(std::uint8_t reason, int version, std::string_view text) {
  std::string name = fmt::format("reason {}", reason);
  if (version == 3) {
    static constexpr const char* names[] = {"accepted", "unacceptable protocol version (set version: 5 or 3.1.1)", "client id rejected", "server unavailable", "bad user name or password", "not authorised"};
    if (reason < 6) name = names[reason];
  } else {
    static constexpr std::pair<std::uint8_t, const char*> names[] = {
        {0x00, "success"}, {0x80, "unspecified error"}, {0x81, "malformed packet"}, {0x82, "protocol error"}, {0x83, "implementation specific error"},
        {0x84, "unsupported protocol version (set version: 3.1.1)"}, {0x85, "client id not valid"}, {0x86, "bad user name or password"}, {0x87, "not authorised"},
        {0x88, "server unavailable"}, {0x89, "server busy"}, {0x8a, "banned"}, {0x8b, "server shutting down"}, {0x8d, "keep-alive timeout"},
        {0x8e, "session taken over: another client uses the same client id"}, {0x8f, "topic filter invalid"}, {0x93, "receive maximum exceeded"},
        {0x95, "packet too large"}, {0x97, "quota exceeded"}, {0x98, "administrative action"}, {0x9b, "QoS not supported"}, {0x9c, "use another server"},
        {0x9d, "server moved"}, {0x9f, "connection rate exceeded"}, {0xa2, "wildcard subscriptions not supported"}};
    for (const auto& [code, what] : names)
      if (code == reason) name = what;
  }
  return text.empty() ? name : fmt::format("{}: {}", name, text.substr(0, 200));
}

}  // namespace rivulet::source::mqtt
