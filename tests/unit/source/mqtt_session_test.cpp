#include "agent/source/mqtt/session.h"

#include <random>

#include "agent/base/bytes.h"
#include "tests/support/catch.h"
#include "tests/support/fake_intake.h"

using namespace rivulet;
using namespace rivulet::source::mqtt;

namespace {

// A session that is subscribed, with its intake; epochs become durable by hand.
struct Subscriber {
  config::MqttSource settings;
  std::unique_ptr<test::FakeIntake> intake = std::make_unique<test::FakeIntake>();
  std::unique_ptr<Session> session;

  explicit Subscriber(std::unique_ptr<test::FakeIntake> given = nullptr, bool session_present = false) {
    settings.topics = {"plant/#"};
    settings.qos = 2;
    if (given) intake = std::move(given);
    session = std::make_unique<Session>(settings, "machines", "rivulet-g-machines", *intake);
    connect(session_present);
  }
  void connect(bool session_present) {
    session->connect();
    std::string out;
    REQUIRE(session->on_packet(Connack{session_present, 0, {}, {}}, out));
    REQUIRE(session->on_packet(Suback{1, std::string_view("\x02", 1), {}}, out));
  }
  std::string publish(std::uint16_t id, std::string_view payload, bool duplicate = false, std::uint8_t qos = 2) {
    std::string out;
    REQUIRE(session->on_packet(Publish{"plant/a", payload, id, qos, duplicate}, out));
    return out;
  }
  std::string release(std::uint16_t id) {
    std::string out;
    REQUIRE(session->on_packet(Pubrel{id}, out));
    return out;
  }
  std::string commit() {
    const EpochNumber ended = intake->epoch();
    intake->end_epoch();
    intake->make_durable(ended);
    std::string out;
    session->on_durable(ended, out);
    return out;
  }
};

std::string ack(Type type, std::uint16_t id) {
  std::string bytes;
  encode_ack(bytes, type, id);
  return bytes;
}

}  // namespace

TEST_CASE("no acknowledgement leaves before its epoch is durable") {
  Subscriber s;
  CHECK(s.publish(7, "x", false, 1).empty());
  CHECK(s.publish(8, "y").empty());
  CHECK(s.commit() == ack(Type::puback, 7) + ack(Type::pubrec, 8));
  CHECK(s.release(8).empty());
  CHECK(s.intake->positions.count("id:8") == 1);
  CHECK(s.commit() == ack(Type::pubcomp, 8));
  CHECK(s.intake->positions.count("id:8") == 0);
}

TEST_CASE("a QoS 2 message that comes again after a crash is not taken twice") {
  Subscriber before;
  before.publish(5, "x");
  before.commit();
  Subscriber after(before.intake->after_crash(), true);
  const std::size_t known = after.intake->accepted.size();
  after.publish(5, "x", true);
  CHECK(after.intake->accepted.size() == known);
  after.release(5);
  CHECK(after.commit().find(ack(Type::pubcomp, 5)) != std::string::npos);
}

TEST_CASE("a message that was not durable at the crash is taken when it comes again") {
  Subscriber before;
  before.publish(5, "x");
  Subscriber after(before.intake->after_crash(), true);
  CHECK(after.intake->accepted.empty());
  after.publish(5, "x", true);
  CHECK(after.intake->accepted.size() == 1);
}

TEST_CASE("redelivery on a new connection is known while the epoch is still on its way") {
  Subscriber s;
  s.publish(5, "x");
  s.connect(true);
  CHECK(s.publish(5, "x", true).empty());
  CHECK(s.intake->accepted.size() == 1);
  CHECK(s.commit() == ack(Type::pubrec, 5));
}

TEST_CASE("an acknowledgement does not go to a connection that did not deliver") {
  Subscriber s;
  s.publish(5, "x", false, 1);
  s.connect(true);
  CHECK(s.commit().empty());
}

TEST_CASE("a held id with DUP=0, or with another payload, is a new message") {
  Subscriber s;
  s.publish(5, "x");
  s.commit();
  s.publish(5, "x", false);
  CHECK(s.intake->accepted.size() == 2);
  s.publish(5, "other", true);
  CHECK(s.intake->accepted.size() == 3);
}

TEST_CASE("a server that lost the session clears the held ids") {
  Subscriber before;
  before.publish(5, "x");
  before.commit();
  Subscriber after(before.intake->after_crash(), false);
  after.commit();
  CHECK(after.intake->positions.empty());
  after.publish(5, "x", true);
  CHECK(after.intake->accepted.back().payload == "x");
  CHECK(after.intake->accepted.size() == 2);
}

TEST_CASE("an oversized message is counted and acknowledged, not taken") {
  Subscriber s;
  s.session->on_oversized(Publish{"plant/a", {}, 9, 1, false}, 5'000'000);
  CHECK(s.intake->accepted.empty());
  CHECK(s.intake->counts["packet_too_large"] == 1);
  CHECK(s.commit() == ack(Type::puback, 9));
}

TEST_CASE("an early commit is asked for when the server is as good as waiting") {
  Subscriber s;
  for (std::uint16_t id = 1; id < 10; ++id) s.publish(id, "x");
  s.session->after_read(true);
  CHECK(s.intake->commit_soon_calls == 0);
  s.publish(10, "x");
  s.session->after_read(true);
  CHECK(s.intake->commit_soon_calls == 1);
}

TEST_CASE("a refused connection and a packet out of turn close with a reason") {
  Subscriber s;
  s.session->connect();
  std::string out;
  CHECK_THAT(s.session->on_packet(Connack{false, 0x86, {}, {}}, out).error().message, ContainsSubstring("bad user name or password"));
  CHECK(s.session->on_packet(Publish{"a", "b", 0, 0, false}, out).has_error());
}

TEST_CASE("a PUBLISH is read as it was sent, in both versions") {
  for (const int version : {3, 5}) {
    std::string body;
    put_u16_be(body, 3);
    body += "a/b";
    put_u16_be(body, 77);
    if (version == 5) body.push_back('\0');
    body += "payload";
    std::string bytes;
    put_u8(bytes, 0x3c);  // PUBLISH, DUP, QoS 2
    put_u8(bytes, static_cast<std::uint8_t>(body.size()));
    bytes += body;
    const auto head = parse_head(bytes).value();
    REQUIRE(head.has_value());
    const Packet packet = parse_body(*head, std::string_view(bytes).substr(head->size), version).value();
    const auto& publish = std::get<Publish>(packet);
    CHECK(publish.topic == "a/b");
    CHECK(publish.payload == "payload");
    CHECK(publish.id == 77);
    CHECK(publish.qos == 2);
    CHECK(publish.duplicate);
    CHECK_FALSE(parse_head(bytes.substr(0, 1)).value().has_value());
  }
}

TEST_CASE("no bytes at all make the parser do more than answer") {
  const char* given = std::getenv("RIVULET_SEED");
  const unsigned seed = given != nullptr ? static_cast<unsigned>(std::atoi(given)) : std::random_device{}();
  INFO("RIVULET_SEED=" << seed);
  std::mt19937 random(seed);
  std::size_t packets = 0, refused = 0;
  for (int round = 0; round < 50'000; ++round) {
    std::string bytes;
    for (std::size_t i = random() % 40 + 2; i > 0; --i) bytes += static_cast<char>(random() % (random() % 2 == 0 ? 256 : 8));
    const int version = random() % 2 == 0 ? 3 : 5;
    // Mostly packets that a server sends, of a length that is there.
    bytes[0] = static_cast<char>((random() % 2 == 0 ? 0x30 : 0x20 + 0x10 * (random() % 14)) | (random() % 8));
    bytes[1] = static_cast<char>(bytes.size() - 2);
    const auto head = parse_head(bytes);
    REQUIRE(head.has_value());
    REQUIRE(head->has_value());
    const auto packet = parse_body(**head, std::string_view(bytes).substr((*head)->size), version);
    ++(packet ? packets : refused);
    if (!packet) REQUIRE_FALSE(packet.error().message.empty());
  }
  CHECK(packets > 100);
  CHECK(refused > 100);
  CHECK(parse_head(std::string_view("\x30\xff\xff\xff\xff", 5)).has_error());
}
