#include "agent/mqtt/packet.h"

#include "agent/base/bytes.h"
#include "agent/mqtt/packet_stream.h"
#include "tests/support/catch.h"

using namespace rivulet;
using namespace rivulet::mqtt;

namespace {

std::string framed(unsigned first, const std::string& body) {
  std::string bytes;
  put_u8(bytes, static_cast<std::uint8_t>(first));
  put_varint(bytes, body.size());  // the same code as MQTT's, for what is short enough
  return bytes + body;
}

std::string text(std::string_view of) {
  std::string bytes;
  put_u16_be(bytes, static_cast<std::uint16_t>(of.size()));
  return bytes += of;
}

std::string error_of(const std::string& bytes, int version) {
  PacketStream stream(version, 1 << 20);
  stream.feed(bytes);
  const auto item = stream.next();
  return item.has_error() ? item.error().message : "";
}

// The one packet that the bytes are; its views live as long as the stream.
Packet packet_of(PacketStream& stream, const std::string& bytes) {
  stream.feed(bytes);
  return std::get<Packet>(stream.next().value().value());
}

}  // namespace

TEST_CASE("a PUBLISH is read as it was sent, in both versions") {
  for (const int version : {3, 5}) {
    PacketStream stream(version, 1000);
    const std::string properties = version == 5 ? std::string("\x09\x26\0\1k\0\1v\x0b\x07", 10) : "";  // a user property, a subscription id
    const auto publish = std::get<Publish>(packet_of(stream, framed(0x3d, text("a/b") + std::string("\0\x4d", 2) + properties + "payload")));
    CHECK(publish.topic == "a/b");
    CHECK(publish.payload == "payload");
    CHECK(publish.id == 77);
    CHECK(publish.qos == 2);
    CHECK(publish.duplicate);
  }
}

TEST_CASE("a CONNACK of version 5 tells its keep-alive, session expiry and reason, and the rest is passed over") {
  PacketStream stream(5, 1000);
  const std::string properties = std::string("\x11\0\0\0\x3c", 5) + std::string("\x13\0\x0a", 3) + "\x24\x01" + "\x12" + text("assigned") + "\x1f" + text("because");
  const auto connack = std::get<Connack>(packet_of(stream, framed(0x20, std::string("\1\0", 2) + static_cast<char>(properties.size()) + properties)));
  CHECK(connack.session_present);
  CHECK(connack.session_expiry_s == 60U);
  CHECK(connack.keep_alive_s == 10);
  CHECK(connack.reason_text == "because");
}

TEST_CASE("a server of 3.1.1 that refuses version 5 in its short form is understood") {
  PacketStream stream(5, 1000);
  const auto connack = std::get<Connack>(packet_of(stream, std::string("\x20\2\0\1", 4)));
  CHECK_THAT(reason_name(connack.reason, 5, ""), ContainsSubstring("set version: 3.1.1"));
}

TEST_CASE("what is not MQTT is refused at its first byte") {
  CHECK_THAT(error_of("H", 5), ContainsSubstring("0x48 begins no packet"));
  for (const int first : {0x00, 0x10, 0x42, 0x50, 0x70, 0x82, 0xa2, 0xc0, 0xf0, 0x21, 0x60, 0x91, 0xd1, 0xe8}) CHECK_FALSE(error_of(std::string(1, static_cast<char>(first)), 5).empty());
}

TEST_CASE("each thing that the specification forbids has a reason of its own") {
  struct Case { const char* why; std::string bytes; int version; };
  const std::string id("\0\1", 2);
  const Case cases[] = {
      {"more than four bytes", "\x30\xff\xff\xff\xff", 3},
      {"QoS 3", framed(0x36, text("a") + id), 3},
      {"QoS 0 and DUP", framed(0x38, text("a")), 3},
      {"packet id 0", framed(0x32, text("a") + std::string(2, '\0')), 3},
      {"a bad topic", framed(0x30, text("")), 3},
      {"a bad topic", framed(0x30, text("a/+")), 3},
      {"a bad topic", framed(0x30, text("a\xc0\x80")), 3},                         // overlong
      {"a bad topic", framed(0x30, text("\xed\xa0\x80")), 3},                      // a surrogate
      {"a bad topic", framed(0x30, text(std::string("a\0b", 3))), 3},
      {"a PUBLISH is cut", framed(0x30, std::string("\0\5ab", 4)), 3},
      {"topic alias", framed(0x30, text("a") + std::string("\3\x23\0\1", 4)), 5},
      {"properties are cut", framed(0x30, text("a") + "\x09\x26"), 5},
      {"property length is cut", framed(0x30, text("a") + "\xff\xff"), 5},
      {"property 0x26 is cut", framed(0x30, text("a") + std::string("\4\x26\0\1k", 5)), 5},
      {"0x03 comes twice", framed(0x30, text("a") + std::string("\x08\x03\0\1x\x03\0\1y", 9)), 5},
      {"0x13 does not belong", framed(0x30, text("a") + std::string("\3\x13\0\1", 4)), 5},
      {"0x7b does not belong", framed(0x30, text("a") + "\2\x7b\1"), 5},
      {"not UTF-8", framed(0x30, text("a") + "\4\x03" + text("\xff")), 5},
      {"CONNACK with bad flags", framed(0x20, std::string("\2\0", 2)), 3},
      {"CONNACK with more bytes", framed(0x20, std::string("\0\0x", 3)), 3},
      {"PUBREL without packet id", framed(0x62, std::string(2, '\0')), 3},
      {"PUBREL with more bytes", framed(0x62, id + "x"), 3},
      {"SUBACK without packet id", framed(0x90, "x"), 3},
      {"SUBACK with an unknown reason", framed(0x90, id + "\x03"), 3},
      {"UNSUBACK with more bytes", framed(0xb0, id + "x"), 3},
      {"PINGRESP with more bytes", framed(0xd0, "x"), 3},
      {"DISCONNECT from the server", framed(0xe0, ""), 3},
      {"DISCONNECT with more bytes", framed(0xe0, std::string("\x8b\0x", 3)), 5},
  };
  for (const Case& each : cases) {
    INFO(each.why);
    CHECK_THAT(error_of(each.bytes, each.version), ContainsSubstring(each.why));
  }
}

TEST_CASE("a message beyond max_packet is passed over without being held, and what follows is read") {
  PacketStream stream(3, 1000);
  const std::string large = framed(0x32, text("big") + std::string("\0\7", 2) + std::string(100'000, 'x'));
  const std::string small = framed(0x30, text("t") + "after");
  stream.feed(large.substr(0, 5));
  CHECK_FALSE(stream.next().value().has_value());  // its topic is not there yet
  stream.feed(large.substr(5, 10'000));
  {
    const auto item = stream.next().value();
    REQUIRE(item.has_value());
    const auto& oversized = std::get<Oversized>(*item);
    CHECK(oversized.publish.topic == "big");
    CHECK(oversized.publish.id == 7);
    CHECK(oversized.size_bytes == 100'007);
  }
  CHECK(stream.held_bytes() == 0);
  CHECK_FALSE(stream.next().value().has_value());
  CHECK(std::get<Publish>(packet_of(stream, large.substr(10'005) + small)).payload == "after");
  stream.feed("\xd0\xff\xff\x7f");
  CHECK_THAT(stream.next().error().message, ContainsSubstring("no message"));
}

TEST_CASE("CONNECT asks to keep the session, and for version 5 says how long and how much at once") {
  ConnectOptions options;
  options.client_id = "c";
  options.session_expiry_s = 3600;
  options.receive_maximum = 1000;
  options.keep_alive_s = 30;
  CHECK(encode_connect(options) == std::string("\x10\x16\0\4MQTT\5\0\0\x1e\x08\x11\0\0\x0e\x10\x21\x03\xe8\0\1c", 24));
  options.version = 3;
  options.login = true;
  options.username = "u";
  options.password = "p";
  CHECK(encode_connect(options) == std::string("\x10\x13\0\4MQTT\4\xc0\0\x1e\0\1c\0\1u\0\1p", 21));
}

TEST_CASE("a PUBLISH that is encoded is read back, and is as long as was said before") {
  for (const int version : {3, 5})
    for (const std::size_t size : {0U, 100U, 120U, 200U, 20'000U}) {
      std::string bytes;
      encode_publish(bytes, 513, "plant/ä", std::string(size, 'x'), true, true, version);
      CHECK(bytes.size() == publish_size("plant/ä", size, version));
      PacketStream stream(version, 1 << 20);
      const auto publish = std::get<Publish>(packet_of(stream, bytes));
      CHECK(publish.topic == "plant/ä");
      CHECK(publish.payload.size() == size);
      CHECK(publish.id == 513);
      CHECK(publish.qos == 1);
      CHECK(publish.duplicate);
      CHECK((static_cast<unsigned char>(bytes[0]) & 1U) == 1U);
    }
}

TEST_CASE("a PUBACK tells its reason in version 5 and has none in 3.1.1") {
  PacketStream five(5, 1000);
  const auto refused = std::get<Puback>(packet_of(five, framed(0x40, std::string("\0\7\x87\x05\x1f\0\2no", 9))));
  CHECK(refused.id == 7);
  CHECK(refused.reason == 0x87);
  CHECK(refused.reason_text == "no");
  CHECK(std::get<Puback>(packet_of(five, framed(0x40, std::string("\0\7", 2)))).reason == 0);
  PacketStream three(3, 1000);
  CHECK(std::get<Puback>(packet_of(three, framed(0x40, std::string("\1\0", 2)))).id == 256);
  CHECK_THAT(error_of(framed(0x40, std::string("\0\7\x87", 3)), 3), ContainsSubstring("more bytes"));
  CHECK_THAT(error_of(framed(0x40, std::string("\0\0", 2)), 5), ContainsSubstring("packet id"));
  CHECK_THAT(error_of(framed(0x41, std::string("\0\7", 2)), 5), ContainsSubstring("begins no packet"));
}

TEST_CASE("a CONNACK tells what the server takes of a publisher") {
  PacketStream stream(5, 1000);
  const std::string properties = std::string("\x21\0\x0a", 3) + std::string("\x24\0", 2) + std::string("\x25\0", 2) + std::string("\x27\0\0\4\0", 5);
  const auto connack = std::get<Connack>(packet_of(stream, framed(0x20, std::string("\0\0", 2) + static_cast<char>(properties.size()) + properties)));
  CHECK(connack.receive_maximum == 10);
  CHECK(connack.maximum_qos == 0);
  CHECK_FALSE(connack.retain_available);
  CHECK(connack.maximum_packet == 1024);
  CHECK_THAT(error_of(framed(0x20, std::string("\0\0\3\x21\0\0", 6)), 5), ContainsSubstring("limit"));
}
