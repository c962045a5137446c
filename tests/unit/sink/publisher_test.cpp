#include "agent/sink/mqtt/publisher.h"

#include "agent/base/bytes.h"
#include "agent/mqtt/packet_stream.h"
#include "tests/support/catch.h"

using namespace rivulet;
using namespace rivulet::sink;

namespace {

config::MqttOutput settings_with(std::uint16_t in_flight) {
  config::MqttOutput settings;
  settings.in_flight = in_flight;
  return settings;
}

// A stretch of numbered messages, all onto "t".
struct Messages {
  store::StreamInfo stream;
  std::vector<store::Pack> packs;
  explicit Messages(const std::vector<std::string_view>& values, Sequence first = 1) {
    stream.id = 1;
    store::Pack& pack = packs.emplace_back();
    pack.first = first;
    pack.last = first + values.size() - 1;
    for (const std::string_view value : values) pack.records.push_back({std::string_view("t"), value, 0});
  }
  Stretch stretch() const { return {stream, packs}; }
};

struct Server {
  Publisher& publisher;
  std::string connack(const mqtt::Connack& connack = {}) {
    publisher.connect();
    const auto done = publisher.on_packet(mqtt::Packet(connack));
    return done ? "" : done.error().message;
  }
  // The packets that were sent: payloads by id.
  std::vector<std::pair<std::uint16_t, std::string>> sent() {
    std::string out;
    publisher.fill(out);
    mqtt::PacketStream stream(5, 1 << 20);
    stream.feed(out);
    std::vector<std::pair<std::uint16_t, std::string>> all;
    while (auto item = stream.next().value()) {
      const auto publish = std::get<mqtt::Publish>(std::get<mqtt::Packet>(*item));
      all.emplace_back(publish.id, publish.payload);
    }
    return all;
  }
  result<void> puback(std::uint16_t id, std::uint8_t reason = 0) { return publisher.on_packet(mqtt::Packet(mqtt::Puback{id, reason, ""})); }
};

}  // namespace

TEST_CASE("a message is done with its PUBACK, in order, and no more are under way than both sides want") {
  Publisher publisher(settings_with(3), "c");
  Server server{publisher};
  mqtt::Connack connack;
  connack.receive_maximum = 2;
  REQUIRE(server.connack(connack).empty());
  const Messages messages({"a", "b", "c"});
  const Stretch stretch = messages.stretch();
  publisher.begin(stretch);
  const auto first = server.sent();
  REQUIRE(first.size() == 2);
  CHECK(first[0].second == "a");
  REQUIRE(server.puback(first[1].first));  // out of order: it waits for the one before
  CHECK(server.sent().empty());
  REQUIRE(server.puback(first[0].first));
  const auto second = server.sent();
  REQUIRE(second.size() == 1);
  CHECK(second[0].second == "c");
  CHECK_FALSE(publisher.done());
  REQUIRE(server.puback(second[0].first));
  CHECK(publisher.done());
  const Delivery delivery = publisher.take();
  CHECK(delivery.up_to == 3);
  CHECK(delivery.records == 3);
}

TEST_CASE("what a connection left undone is published again, and what is done is not") {
  Publisher publisher(settings_with(10), "c");
  Server server{publisher};
  REQUIRE(server.connack().empty());
  const Messages messages({"a", "b", "c"});
  const Stretch stretch = messages.stretch();
  publisher.begin(stretch);
  const auto sent = server.sent();
  REQUIRE(server.puback(sent[0].first));
  publisher.closed_by_server();
  CHECK(publisher.take().up_to == 1);
  REQUIRE(server.connack().empty());
  const Messages rest({"b", "c"}, 2);
  const Stretch again = rest.stretch();
  publisher.begin(again);
  const auto repeated = server.sent();
  REQUIRE(repeated.size() == 2);
  CHECK(repeated[0].second == "b");
}

TEST_CASE("a message that can never be published is refused, and those around it are not") {
  Publisher publisher(settings_with(10), "c");
  Server server{publisher};
  mqtt::Connack connack;
  connack.maximum_packet = 20;
  REQUIRE(server.connack(connack).empty());
  Messages messages({"a", "b", "c", "d", "0123456789012345", "f", "g"});
  auto& records = messages.packs[0].records;
  records[1].key = std::nullopt;
  records[2].key = "plant/#";
  records[3].key = std::string_view("a\xff", 2);
  const std::string long_topic(70'000, 'x');
  records[5].key = long_topic;
  const Stretch stretch = messages.stretch();
  publisher.begin(stretch);
  const auto sent = server.sent();
  REQUIRE(sent.size() == 2);
  for (const auto& [id, payload] : sent) REQUIRE(server.puback(id));
  REQUIRE(publisher.done());
  const Delivery delivery = publisher.take();
  CHECK(delivery.up_to == 7);
  CHECK(delivery.records == 2);
  REQUIRE(delivery.refused.size() == 5);
  CHECK(delivery.refused[0].sequence == 2);
  CHECK_THAT(delivery.refused[0].reason, ContainsSubstring("NULL"));
  CHECK(delivery.refused[3].sequence == 5);
  CHECK_THAT(delivery.refused[3].reason, ContainsSubstring("the server takes 20"));
}

TEST_CASE("a PUBACK that names the message as unfit refuses it, any other reason stops") {
  Publisher publisher(settings_with(10), "c");
  Server server{publisher};
  REQUIRE(server.connack().empty());
  const Messages messages({"a", "b"});
  const Stretch stretch = messages.stretch();
  publisher.begin(stretch);
  const auto sent = server.sent();
  REQUIRE(server.puback(sent[0].first, 0x90));
  const auto stopped = server.puback(sent[1].first, 0x87);
  REQUIRE(stopped.has_error());
  CHECK_THAT(stopped.error().message, ContainsSubstring("not authorised"));
  const Delivery delivery = publisher.take();
  CHECK(delivery.up_to == 1);
  CHECK(delivery.records == 0);
  REQUIRE(delivery.refused.size() == 1);
}

TEST_CASE("a message at which the server always closes goes alone, and at last into quarantine") {
  Publisher publisher(settings_with(10), "c");
  Server server{publisher};
  const Messages messages({"poison", "b"});
  const Stretch stretch = messages.stretch();
  for (int i = 0; i < Publisher::kPatience; ++i) {
    REQUIRE(server.connack().empty());
    publisher.begin(stretch);
    CHECK(server.sent().size() == (i < Publisher::kSuspicion ? 2U : 1U));
    publisher.closed_by_server();
    CHECK(publisher.take().up_to == 0);
  }
  REQUIRE(server.connack().empty());
  publisher.begin(stretch);
  const auto sent = server.sent();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].second == "b");
  REQUIRE(server.puback(sent[0].first));
  const Delivery delivery = publisher.take();
  CHECK(delivery.up_to == 2);
  REQUIRE(delivery.refused.size() == 1);
  CHECK(delivery.refused[0].sequence == 1);
}

TEST_CASE("a gap counts as done with what is before it") {
  Publisher publisher(settings_with(10), "c");
  Server server{publisher};
  REQUIRE(server.connack().empty());
  Messages messages({"a"});
  store::Pack gap;
  gap.first = 2;
  gap.last = 50;
  gap.gap = true;
  messages.packs.push_back(std::move(gap));
  const Stretch stretch = messages.stretch();
  publisher.begin(stretch);
  const auto sent = server.sent();
  CHECK_FALSE(publisher.done());
  REQUIRE(server.puback(sent[0].first));
  CHECK(publisher.done());
  CHECK(publisher.take().up_to == 50);
}

TEST_CASE("a server that cannot keep the promise is refused, and one that breaks the protocol is left") {
  config::MqttOutput settings = settings_with(10);
  settings.retain = true;
  Publisher publisher(settings, "c");
  Server server{publisher};
  mqtt::Connack connack;
  connack.maximum_qos = 0;
  CHECK_THAT(server.connack(connack), ContainsSubstring("QoS 0 only"));
  connack.maximum_qos = 1;
  connack.retain_available = false;
  CHECK_THAT(server.connack(connack), ContainsSubstring("retain: false"));
  connack.reason = 0x86;
  CHECK_THAT(server.connack(connack), ContainsSubstring("bad user name"));
  publisher.connect();
  CHECK(server.puback(1).has_error());  // before the CONNACK
  REQUIRE(server.connack().empty());
  CHECK(server.puback(1).has_error());  // of nothing
  CHECK(publisher.on_packet(mqtt::Packet(mqtt::Connack{})).has_error());
  CHECK(publisher.on_packet(mqtt::Packet(mqtt::Suback{})).has_error());
}

TEST_CASE("packet ids go round and are never 0", "[slow]") {
  Publisher publisher(settings_with(1000), "c");
  Server server{publisher};
  REQUIRE(server.connack().empty());
  const std::vector<std::string_view> values(1000, "x");
  for (int i = 0; i < 140; ++i) {
    const Messages messages(values, static_cast<Sequence>(i) * 1000 + 1);
    const Stretch stretch = messages.stretch();
    publisher.begin(stretch);
    bool taken = true;
    while (taken && !publisher.done())
      for (const auto& [id, payload] : server.sent()) taken = taken && id != 0 && server.puback(id);
    REQUIRE(taken);
    REQUIRE(publisher.take().records == 1000);
  }
}
