#include "agent/source/mqtt/subscriptions.h"

#include "agent/source/mqtt/mqtt_source.h"
#include "tests/support/catch.h"
#include "tests/support/fake_intake.h"

using namespace rivulet;
using namespace rivulet::source::mqtt;

namespace {

config::MqttSource with_topics(std::vector<std::string> topics, int version = 5) {
  config::MqttSource settings;
  settings.topics = std::move(topics);
  settings.version = version;
  return settings;
}

void commit(test::FakeIntake& intake) {
  const EpochNumber ended = intake.epoch();
  intake.end_epoch();
  intake.make_durable(ended);
}

}  // namespace

TEST_CASE("every topic is subscribed with each connection: a server that crashed may have lost them") {
  const auto settings = with_topics({"b", "a"});
  test::FakeIntake intake;
  Subscriptions subscriptions(settings, "m", intake);
  for (const std::uint16_t id : {1, 2}) {
    std::string out;
    subscriptions.connected(id == 2, out);
    CHECK(out == encode_subscribe(id, {"a", "b"}, 1, 5));
    CHECK_FALSE(subscriptions.answered());
    REQUIRE(subscriptions.on_suback({id, std::string_view("\1\1", 2), {}}));
    CHECK(subscriptions.answered());
  }
  CHECK(intake.pending_changes() == 1);  // they did not change: one position is enough
}

TEST_CASE("version 5 asks for retained messages with a new subscription only, 3.1.1 cannot") {
  CHECK(encode_subscribe(1, {"a"}, 2, 5).back() == 0x12);
  CHECK(encode_subscribe(1, {"a"}, 2, 3).back() == 0x02);
}

TEST_CASE("a topic that is no longer configured is unsubscribed, once") {
  const auto before = with_topics({"old", "kept"});
  test::FakeIntake first;
  std::string out;
  Subscriptions(before, "m", first).connected(false, out);
  commit(first);

  const auto after = with_topics({"kept", "new"});
  const auto second = first.after_crash();
  Subscriptions subscriptions(after, "m", *second);
  out.clear();
  subscriptions.connected(true, out);
  CHECK(out == encode_unsubscribe(1, {"old"}, 5) + encode_subscribe(2, {"kept", "new"}, 1, 5));
  REQUIRE(subscriptions.on_unsuback({1}));
  commit(*second);

  const auto third = second->after_crash();
  Subscriptions again(after, "m", *third);
  out.clear();
  again.connected(true, out);
  CHECK(out == encode_subscribe(1, {"kept", "new"}, 1, 5));
}

TEST_CASE("a server without our session has nothing to unsubscribe") {
  test::FakeIntake intake;
  intake.start_with({{"topics", "\3old"}});
  const auto settings = with_topics({"new"});
  std::string out;
  Subscriptions(settings, "m", intake).connected(false, out);
  CHECK(out == encode_subscribe(1, {"new"}, 1, 5));
}

TEST_CASE("a refused topic is counted, shown and asked for again while the others go on") {
  const auto settings = with_topics({"a", "secret"});
  test::FakeIntake intake;
  Subscriptions subscriptions(settings, "m", intake);
  std::string out;
  subscriptions.connected(false, out);
  out.clear();
  subscriptions.retry(out);
  CHECK(out.empty());  // the first answer is still owed
  REQUIRE(subscriptions.on_suback({1, std::string_view("\1\x87", 2), {}}));
  CHECK(subscriptions.answered());
  CHECK(intake.counts["subscribe_refused"] == 1);
  CHECK(subscriptions.refused() == "secret (not authorised)");
  subscriptions.retry(out);
  CHECK(out == encode_subscribe(2, {"secret"}, 1, 5));
  REQUIRE(subscriptions.on_suback({2, std::string_view("\1", 1), {}}));
  CHECK(subscriptions.refused().empty());
  out.clear();
  subscriptions.retry(out);
  CHECK(out.empty());
}

TEST_CASE("answers that nobody asked for are refused") {
  const auto settings = with_topics({"a"});
  test::FakeIntake intake;
  Subscriptions subscriptions(settings, "m", intake);
  CHECK(subscriptions.on_suback({0, std::string_view("\1", 1), {}}).has_error());
  std::string out;
  subscriptions.connected(false, out);
  CHECK(subscriptions.on_suback({9, std::string_view("\1", 1), {}}).has_error());
  CHECK(subscriptions.on_suback({1, std::string_view("\1\1", 2), {}}).has_error());
  CHECK(subscriptions.on_unsuback({0}).has_error());
}

TEST_CASE("explain says what each QoS guarantees, what to check at the server, and which topics overlap") {
  auto settings = with_topics({"plant/#", "plant/+/t"});
  CHECK_THAT(describe_guarantee(settings), ContainsSubstring("at least once") && ContainsSubstring("max_queued_messages") && ContainsSubstring("7 days") &&
                                               ContainsSubstring("autosave_interval") && ContainsSubstring("plant/# and plant/+/t overlap"));
  for (const std::uint8_t qos : {0, 1, 2}) {
    settings.qos = qos;
    CHECK_THAT(describe_guarantee(settings), ContainsSubstring("larger than max_packet (1048576 bytes)") && ContainsSubstring("packet_too_large"));
    CHECK((describe_guarantee(settings).find("lowest free packet id") != std::string::npos) == (qos == 2));
  }
  settings.version = 3;
  settings.topics = {"a", "b"};
  CHECK_THAT(describe_guarantee(settings), ContainsSubstring("exactly once") && ContainsSubstring("persistent_client_expiration") && ContainsSubstring("max_inflight_messages") &&
                                               !ContainsSubstring("overlap"));
  settings.qos = 0;
  CHECK_THAT(describe_guarantee(settings), ContainsSubstring("at most once"));

  CHECK(filters_overlap("a/b", "a/b"));
  CHECK(filters_overlap("a/#", "a"));
  CHECK(filters_overlap("+/b", "a/+"));
  CHECK(filters_overlap("#", "x/y/z"));
  CHECK(filters_overlap("/+", "/x"));
  CHECK_FALSE(filters_overlap("a/b", "a/c"));
  CHECK_FALSE(filters_overlap("a/b", "a/b/c"));
  CHECK_FALSE(filters_overlap("a/+", "a"));
  CHECK_FALSE(filters_overlap("a/+/c", "b/#"));
}
