#include "agent/source/mqtt/session.h"

#include <memory>

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
  std::uint16_t subscribes = 0;

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
    REQUIRE(session->on_packet(Connack{session_present, 0, {}, {}, {}}, out));
    REQUIRE(session->on_packet(Suback{++subscribes, std::string_view("\x02", 1), {}}, out));
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
  CHECK(s.intake->positions.at("id:8").size() == 9);  // released
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
  SECTION("the next one is subscribed") { s.connect(true); }
  SECTION("there is none yet") { s.session->disconnected(); }
  CHECK(s.commit().empty());
}

TEST_CASE("redelivery waits for its epoch and keeps its place among the acknowledgements") {
  Subscriber s;
  s.publish(5, "x");
  s.commit();
  s.connect(true);
  s.publish(6, "y");
  CHECK(s.publish(5, "x", true).empty());  // durable, but after 6, which is not
  CHECK(s.commit() == ack(Type::pubrec, 6) + ack(Type::pubrec, 5));
  CHECK(s.publish(6, "y", true) == ack(Type::pubrec, 6));  // durable, and nothing before it
  CHECK(s.intake->counts["redelivered"] == 2);
}

TEST_CASE("a crash between PUBREL and its durable epoch takes nothing twice") {
  Subscriber before;
  before.publish(5, "x");
  before.commit();
  before.release(5);  // not durable: the crash comes first
  Subscriber after(before.intake->after_crash(), true);
  CHECK(after.release(5).empty());
  CHECK(after.commit() == ack(Type::pubcomp, 5));
  after.publish(5, "x");  // the id is free: this is another message
  CHECK(after.intake->accepted.size() == 2);
}

TEST_CASE("a PUBLISH that comes again after its PUBREL, as from mosquitto after two broken connections, is answered and not taken") {
  Subscriber before;
  before.publish(5, "x");
  before.commit();
  before.release(5);
  before.commit();
  Subscriber after(before.intake->after_crash(), true);
  CHECK(after.publish(5, "x", true) == ack(Type::pubrec, 5));
  CHECK(after.intake->accepted.size() == 1);
  CHECK(after.intake->counts["redelivered"] == 1);
  after.release(5);
  CHECK(after.commit() == ack(Type::pubcomp, 5));
  after.publish(5, "other", true);  // not the one that was released
  CHECK(after.intake->accepted.size() == 2);
}

TEST_CASE("where the server's ids come back soon, a released one is free at once") {
  Subscriber s;
  s.publish(1, "on");
  s.commit();
  s.release(1);
  s.commit();
  CHECK(s.intake->positions.count("id:1") == 1);
  s.publish(1, "on");  // the same again, and the server gives the same id: from now on it is known how it counts
  s.commit();
  s.release(1);
  s.commit();
  CHECK(s.intake->positions.count("id:1") == 0);
  s.connect(true);
  s.publish(1, "on", true);  // the third; its first delivery was lost with the connection
  CHECK(s.intake->accepted.size() == 3);
}

TEST_CASE("so many released ids are remembered as the server may have in flight, also over the end of the ids") {
  Subscriber s;
  s.settings.receive_maximum = 3;
  for (const std::uint16_t id : {65'533, 65'534, 65'535, 1, 2}) {
    s.publish(id, "x");
    s.commit();
    s.release(id);
  }
  s.commit();
  CHECK(s.intake->positions.count("id:65533") == 0);
  CHECK(s.intake->positions.count("id:65534") == 0);
  for (const std::string id : {"65535", "1", "2"}) CHECK(s.intake->positions.count("id:" + id) == 1);
  Subscriber after(s.intake->after_crash(), true);
  after.settings.receive_maximum = 1;
  after.publish(3, "y");
  after.commit();
  after.release(3);
  after.commit();
  CHECK(after.intake->positions.count("id:3") == 1);
  CHECK(after.intake->positions.count("id:1") + after.intake->positions.count("id:2") + after.intake->positions.count("id:65535") == 0);
}

TEST_CASE("a PUBREL for an id that is not held is answered, or the server would wait for ever") {
  Subscriber s;
  CHECK(s.release(77).empty());
  CHECK(s.commit() == ack(Type::pubcomp, 77));
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
  CHECK(after.intake->positions.count("id:5") == 0);
  after.publish(5, "x", true);
  CHECK(after.intake->accepted.back().payload == "x");
  CHECK(after.intake->accepted.size() == 2);
}

TEST_CASE("an oversized message is counted and acknowledged, not taken") {
  Subscriber s;
  std::string out;
  s.session->on_oversized(Publish{"plant/a", {}, 9, 1, false}, 5'000'000, out);
  CHECK(out.empty());
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

TEST_CASE("a server that ignores the receive maximum is read no further than a bound, and not left", "[slow]") {
  Subscriber s;
  for (std::size_t i = 0; i < Session::kMaxOwed; ++i) {
    REQUIRE(s.session->may_take());
    s.publish(static_cast<std::uint16_t>(i % 65'535 + 1), "x", false, 1);
  }
  CHECK_FALSE(s.session->may_take());
  s.commit();
  CHECK(s.session->may_take());
}

TEST_CASE("an oversized QoS 2 message that comes again is known") {
  Subscriber s;
  std::string out;
  s.session->on_oversized(Publish{"plant/a", {}, 9, 2, false}, 5'000'000, out);
  CHECK(s.commit() == ack(Type::pubrec, 9));
  s.session->on_oversized(Publish{"plant/a", {}, 9, 2, true}, 5'000'000, out);
  CHECK(out == ack(Type::pubrec, 9));
  CHECK(s.intake->counts["redelivered"] == 1);
}

TEST_CASE("a refused connection and a packet out of turn close with a reason") {
  Subscriber s;
  s.session->connect();
  std::string out;
  CHECK_THAT(s.session->on_packet(Connack{false, 0x86, {}, {}, {}}, out).error().message, ContainsSubstring("bad user name or password"));
  CHECK(s.session->on_packet(Publish{"a", "b", 0, 0, false}, out).has_error());
}

TEST_CASE("the server's own keep-alive holds for one connection") {
  Subscriber s;
  CHECK(s.session->keep_alive_s() == 30);
  s.session->connect();
  std::string out;
  REQUIRE(s.session->on_packet(Connack{true, 0, {}, 7, {}}, out));
  ++s.subscribes;  // this one stays unanswered
  CHECK(s.session->keep_alive_s() == 7);
  s.connect(true);
  CHECK(s.session->keep_alive_s() == 30);
}
