// The packets that a client sends, and the names of the reasons that a server gives.
#include <fmt/core.h>

#include "agent/base/bytes.h"
#include "agent/base/check.h"
#include "agent/mqtt/packet.h"

namespace rivulet::mqtt {
namespace {

// Section 1.5.5.
void put_variable_integer(std::string& to, std::uint32_t value) {
  RV_CHECK(value < (1U << 28), "a packet is smaller than 256 MiB");
  do {
    put_u8(to, static_cast<std::uint8_t>((value & 0x7f) | (value > 0x7f ? 0x80 : 0)));
    value >>= 7;
  } while (value > 0);
}

// Section 1.5.4. What is longer cannot be said in MQTT and is cut; the server then refuses it with a reason.
void put_text(std::string& to, std::string_view text) {
  text = text.substr(0, 65'535);
  put_u16_be(to, static_cast<std::uint16_t>(text.size()));
  to += text;
}

std::string packet(Type type, std::uint8_t flags, const std::string& body) {
  std::string bytes;
  put_u8(bytes, static_cast<std::uint8_t>(static_cast<unsigned>(type) << 4 | flags));
  put_variable_integer(bytes, static_cast<std::uint32_t>(body.size()));
  return bytes + body;
}

}  // namespace

std::string encode_connect(const ConnectOptions& options) {
  std::string body;
  put_text(body, "MQTT");
  put_u8(body, options.version == 5 ? 5 : 4);
  put_u8(body, static_cast<std::uint8_t>((options.login ? 0xc0 : 0x00) | (options.clean_start ? 0x02 : 0x00)));  // user name and password; no will
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

std::uint64_t publish_size(std::string_view topic, std::uint64_t payload_bytes, int version) {
  const std::uint64_t body = 2 + topic.size() + 2 + (version == 5 ? 1 : 0) + payload_bytes;
  return 1 + (body < 128 ? 1 : body < 16'384 ? 2 : body < 2'097'152 ? 3 : 4) + body;
}

void encode_publish(std::string& to, std::uint16_t id, std::string_view topic, std::string_view payload, bool retain, bool duplicate, int version) {
  RV_CHECK(topic.size() <= 65'535 && id != 0, "a message has a topic that fits and a packet id");
  put_u8(to, static_cast<std::uint8_t>(0x32 | (retain ? 0x01 : 0x00) | (duplicate ? 0x08 : 0x00)));
  const std::uint64_t body = 2 + topic.size() + 2 + (version == 5 ? 1U : 0U) + payload.size();
  RV_CHECK(body < (1U << 28), "a packet is smaller than 256 MiB");
  put_variable_integer(to, static_cast<std::uint32_t>(body));
  put_text(to, topic);
  put_u16_be(to, id);
  if (version == 5) put_variable_integer(to, 0);
  to += payload;
}

std::string encode_subscribe(std::uint16_t id, const std::vector<std::string>& filters, int qos, int version) {
  std::string body;
  put_u16_be(body, id);
  if (version == 5) put_variable_integer(body, 0);
  // Retain handling 1: a retained message comes with a new subscription only, not again with each connection.
  const int options = version == 5 ? qos | 1 << 4 : qos;
  for (const std::string& filter : filters) {
    put_text(body, filter);
    put_u8(body, static_cast<std::uint8_t>(options));
  }
  return packet(Type::subscribe, 2, body);
}

std::string encode_unsubscribe(std::uint16_t id, const std::vector<std::string>& filters, int version) {
  std::string body;
  put_u16_be(body, id);
  if (version == 5) put_variable_integer(body, 0);
  for (const std::string& filter : filters) put_text(body, filter);
  return packet(Type::unsubscribe, 2, body);
}

void encode_ack(std::string& to, Type type, std::uint16_t id) {
  put_u8(to, static_cast<std::uint8_t>(static_cast<unsigned>(type) << 4));
  put_u8(to, 2);
  put_u16_be(to, id);
}

std::string encode_pingreq() { return packet(Type::pingreq, 0, ""); }
std::string encode_disconnect(int version, std::uint8_t reason) {
  return packet(Type::disconnect, 0, version == 5 ? std::string(1, static_cast<char>(reason)) : std::string());
}

std::string reason_name(std::uint8_t reason, int version, std::string_view text) {
  std::string name = fmt::format("reason {}", reason);
  if (version == 3) {
    static constexpr const char* names[] = {"accepted", "unacceptable protocol version (set version: 5)", "client id rejected", "server unavailable", "bad user name or password", "not authorised"};
    if (reason < 6) name = names[reason];
  } else {
    static constexpr std::pair<std::uint8_t, const char*> names[] = {
        {0x00, "success"}, {0x01, "unacceptable protocol version (set version: 3.1.1)"}, {0x80, "unspecified error"}, {0x81, "malformed packet"}, {0x82, "protocol error"},
        {0x83, "implementation specific error"}, {0x84, "unsupported protocol version (set version: 3.1.1)"}, {0x85, "client id not valid"},
        {0x86, "bad user name or password"}, {0x87, "not authorised"}, {0x88, "server unavailable"}, {0x89, "server busy"}, {0x8a, "banned"},
        {0x8b, "server shutting down"}, {0x8c, "bad authentication method"}, {0x8d, "keep-alive timeout"},
        {0x8e, "session taken over: another client uses the same client id"}, {0x8f, "topic filter invalid"}, {0x90, "topic name invalid"}, {0x91, "packet identifier in use"},
        {0x93, "receive maximum exceeded"}, {0x95, "packet too large"}, {0x96, "message rate too high"}, {0x97, "quota exceeded"},
        {0x98, "administrative action"}, {0x99, "payload format invalid"}, {0x9a, "retained messages not supported"}, {0x9b, "QoS not supported"}, {0x9c, "use another server"}, {0x9d, "server moved"},
        {0x9e, "shared subscriptions not supported"}, {0x9f, "connection rate exceeded"}, {0xa0, "maximum connect time"},
        {0xa1, "subscription identifiers not supported"}, {0xa2, "wildcard subscriptions not supported"}};
    for (const auto& [code, what] : names)
      if (code == reason) name = what;
  }
  return text.empty() ? name : fmt::format("{}: {}", name, text.substr(0, 200));
}

}  // namespace rivulet::mqtt
