// A request that comes again is taken once, whatever happens in between.
#include <vector>

#include "tests/unit/source/http_fixture.h"

using namespace rivulet;
using namespace rivulet::test;

namespace {

constexpr std::int64_t kHourMs = 3'600'000;

}  // namespace

TEST_CASE("http: a request that was answered is answered again and not taken again, also after a restart") {
  HttpServer server;
  CHECK_THAT(server.ask(post("1\n2", with_key("a"))), ContainsSubstring("{\"records\":2}") && !ContainsSubstring("Replayed"));
  CHECK_THAT(server.ask(post("1\n2", with_key("a"))), ContainsSubstring("200 OK") && ContainsSubstring("{\"records\":2}") && ContainsSubstring("Idempotency-Replayed: true"));
  server.crash();
  CHECK_THAT(server.ask(post("1\n2", with_key("a"))), ContainsSubstring("200 OK") && ContainsSubstring("Idempotency-Replayed: true"));
  CHECK(server.intake->accepted.size() == 2);
  CHECK_THAT(server.ask(post("1\n2", with_key("b"))), ContainsSubstring("{\"records\":2}"));
  CHECK(server.intake->accepted.size() == 4);
}

TEST_CASE("http: a crash before the commit takes records and key together: sent again they are there once") {
  HttpServer server;
  auto client = server.client();
  client.send(post("1\n2", with_key("a")));
  REQUIRE(server.received(2));
  server.crash();
  CHECK(server.intake->accepted.empty());
  CHECK_THAT(server.ask(post("1\n2", with_key("a"))), ContainsSubstring("{\"records\":2}") && !ContainsSubstring("Replayed"));
  CHECK(server.intake->payloads() == std::vector<std::string>{"1", "2"});
}

TEST_CASE("http: a crash between commit and answer is no duplicate either") {
  HttpServer server;
  auto client = server.client();
  client.send(post("1", with_key("a")));
  REQUIRE(server.received(1));
  const EpochNumber ended = server.intake->epoch();
  server.intake->end_epoch();
  server.intake->make_durable(ended);  // on_durable() never comes
  server.crash();
  CHECK_THAT(server.ask(post("1", with_key("a"))), ContainsSubstring("Idempotency-Replayed: true"));
  CHECK(server.intake->accepted.size() == 1);
}

TEST_CASE("http: one that comes while the first is under way joins it, both are answered after the commit") {
  HttpServer server;
  auto first = server.client(), second = server.client();
  first.send(post("1", with_key("a")));
  REQUIRE(server.received(1));
  server.intake->end_epoch();  // it is committing
  second.send(post("1", with_key("a")));
  auto other = server.client();
  other.send(post("2"));  // is accepted after the second was read
  REQUIRE(server.received(2));
  CHECK(first.read().empty());
  CHECK(second.read().empty());
  server.intake->make_durable(1);
  server.source->on_durable(1);
  REQUIRE(server.answered(first, "200"));
  REQUIRE(server.answered(second, "200"));
  CHECK(other.read().empty());
  CHECK(server.intake->payloads() == std::vector<std::string>{"1", "2"});
}

TEST_CASE("http: a key with another body is 422, while it is under way and later, also after a restart") {
  HttpServer server;
  auto client = server.client();
  client.send(post("1", with_key("a")));
  REQUIRE(server.received(1));
  auto other = server.client();
  other.send(post("2", with_key("a")));
  REQUIRE(server.answered(other, "422"));
  server.commit();
  REQUIRE(server.answered(client, "200"));
  CHECK_THAT(server.ask(post("2", with_key("a"))), ContainsSubstring("422 Unprocessable Content"));
  server.crash();
  CHECK_THAT(server.ask(post("2", with_key("a"))), ContainsSubstring("422 Unprocessable Content"));
  CHECK_THAT(server.ask(post("1", with_key("a") + "Content-Type: application/json\r\n")), ContainsSubstring("422"));  // cut otherwise
  CHECK(server.intake->accepted.size() == 1);
}

TEST_CASE("http: a refused request leaves no key behind") {
  HttpServer server;
  CHECK_THAT(server.ask(post("bad", with_key("a"))), ContainsSubstring("400"));
  server.commit();
  CHECK(server.intake->positions.empty());
  CHECK_THAT(server.ask(post("good", with_key("a"))), ContainsSubstring("200 OK"));
  for (const std::string& key : {std::string(), std::string(256, 'k'), std::string("\xc3\xa4")})
    CHECK_THAT(server.ask(post("x", with_key(key))), ContainsSubstring("400 Bad Request") && ContainsSubstring("Idempotency-Key"));
  CHECK_THAT(server.ask(post("x", with_key("a") + with_key("b"))), ContainsSubstring("400 Bad Request"));
  CHECK(server.intake->accepted.size() == 1);
}

TEST_CASE("http: a key is remembered for its window of running time, over restarts, whatever the wall clock says") {
  HttpServer server;
  CHECK_THAT(server.ask(post("1", with_key("a"))), ContainsSubstring("200 OK"));
  server.clock.advance(20 * kHourMs);
  CHECK_THAT(server.ask(post("2", with_key("b"))), ContainsSubstring("200 OK"));  // writes the running time
  server.crash();
  server.clock.set_wall(0);
  server.clock.advance(3 * kHourMs);
  CHECK_THAT(server.ask(post("1", with_key("a"))), ContainsSubstring("Replayed"));  // 23 hours old
  server.clock.set_wall(4'000'000'000'000);
  CHECK_THAT(server.ask(post("1", with_key("a"))), ContainsSubstring("Replayed"));
  server.clock.advance(2 * kHourMs);
  CHECK_THAT(server.ask(post("1", with_key("a"))), ContainsSubstring("200 OK") && !ContainsSubstring("Replayed"));  // 25 hours old
  CHECK_THAT(server.ask(post("2", with_key("b"))), ContainsSubstring("Replayed"));
  CHECK(server.intake->payloads() == std::vector<std::string>{"1", "2", "1"});
}

TEST_CASE("http: keys beyond max go, the oldest first and never one that is under way") {
  auto config = http_config();
  config.idempotency.max = 2;
  HttpServer server(config);
  for (const char* key : {"a", "b", "c"}) {
    server.clock.advance(1);
    CHECK_THAT(server.ask(post(key, with_key(key))), ContainsSubstring("200 OK"));
  }
  CHECK(server.intake->counts["idempotency_keys_forgotten"] == 1);
  CHECK(server.intake->positions.size() == 3);  // two and the clock
  CHECK_THAT(server.ask(post("b", with_key("b"))), ContainsSubstring("Replayed"));
  CHECK_THAT(server.ask(post("c", with_key("c"))), ContainsSubstring("Replayed"));
  server.crash();
  CHECK_THAT(server.ask(post("c", with_key("c"))), ContainsSubstring("Replayed"));
  auto d = server.client(), e = server.client(), f = server.client();
  d.send(post("d", with_key("d")));
  REQUIRE(server.received(4));
  e.send(post("e", with_key("e")));
  REQUIRE(server.received(5));
  f.send(post("f", with_key("f")));
  REQUIRE(server.answered(f, "503"));
  server.commit();
  REQUIRE(server.answered(e, "200"));
}

TEST_CASE("http: keys that are too old are erased, and the running time is written now and then") {
  FakeIntake intake;
  ManualClock clock;
  intake.use_clock(clock);
  source::IdempotencyKeys keys(intake, {24 * kHourMs, 10});
  keys.load();
  const auto commit = [&] {
    const EpochNumber ended = intake.epoch();
    intake.end_epoch();
    intake.make_durable(ended);
    keys.on_durable(ended);
  };
  keys.remember("a", source::hash_of("1", true), 1);
  commit();
  CHECK(intake.positions.at("clock") == "0");
  clock.advance(kHourMs / 2);
  keys.tick();
  CHECK(intake.pending_changes() == 0);
  clock.advance(kHourMs);
  keys.tick();
  commit();
  CHECK(intake.positions.at("clock") == std::to_string(kHourMs / 2 * 3));
  clock.advance(23 * kHourMs);
  keys.tick();
  commit();
  CHECK(keys.size() == 0);
  CHECK_FALSE(intake.positions.contains("key:a"));
  clock.advance(100 * kHourMs);
  keys.tick();
  CHECK(intake.pending_changes() == 0);  // without keys nothing is written
}

TEST_CASE("http: a key that is under way is known however long its commit takes") {
  FakeIntake intake;
  ManualClock clock;
  intake.use_clock(clock);
  source::IdempotencyKeys keys(intake, {24 * kHourMs, 10});
  keys.load();
  const auto body = source::hash_of("1", true);
  keys.remember("a", body, 1);
  const EpochNumber epoch = intake.epoch();
  clock.advance(25 * kHourMs);
  keys.tick();
  const auto known = keys.look("a", body);
  CHECK(known.found == source::IdempotencyKeys::Found::under_way);
  CHECK(known.epoch == epoch);
  CHECK(keys.look("a", source::hash_of("2", true)).found == source::IdempotencyKeys::Found::other_body);
  keys.on_durable(epoch);
  CHECK(keys.look("a", body).found == source::IdempotencyKeys::Found::unknown);
}

TEST_CASE("http: unreadable positions are taken for nothing") {
  auto intake = std::make_unique<FakeIntake>();
  intake->start_with({{"key:a", "xyz"}, {"key:b", ""}, {"key:c", std::string(32, '0') + " 5"}, {"clock", "-"}, {"other", "1"}});
  HttpServer server(http_config(), config::Decode::Kind::json, std::move(intake));
  for (const char* key : {"a", "b", "c"}) CHECK_THAT(server.ask(post("x", with_key(key))), ContainsSubstring("200 OK") && !ContainsSubstring("Replayed"));
}
