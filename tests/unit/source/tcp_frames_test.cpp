#include <vector>

#include "agent/base/bytes.h"
#include "tests/unit/source/tcp_fixture.h"

using namespace rivulet;
using namespace rivulet::test;

namespace {

std::string sized(std::string_view payload) {
  std::string frame;
  put_u32_be(frame, static_cast<std::uint32_t>(payload.size()));
  frame += payload;
  return frame;
}

}  // namespace

TEST_CASE("tcp: lines of several clients arrive whole, each client's in its order") {
  TcpServer server(tcp_config());
  auto a = server.client(), b = server.client();
  a.send("a1\na2\r\n\na");
  b.send("b1\n");
  REQUIRE(server.received(4));
  a.send("3\n");
  REQUIRE(server.received(5));
  std::vector<std::string> of_a;
  for (const auto& line : server.intake->payloads()) {
    if (line != "b1") of_a.push_back(line);
  }
  CHECK(of_a == std::vector<std::string>{"a1", "a2", "", "a3"});
}

TEST_CASE("tcp: length-prefixed frames may hold anything, also newlines and nothing") {
  auto config = tcp_config();
  config.framing = config::TcpSource::Framing::length;
  TcpServer server(config);
  auto client = server.client();
  const std::string bytes("\0\n\xff", 3);
  client.send(sized("one") + sized("") + sized(bytes) + sized("last").substr(0, 5));
  REQUIRE(server.received(3));
  client.send("ast");
  REQUIRE(server.received(4));
  CHECK(server.intake->payloads() == std::vector<std::string>{"one", "", bytes, "last"});
}

TEST_CASE("tcp: the client's address is the frame's topic, its session's name if it has one") {
  TcpServer server(tcp_config(true));
  auto client = server.client(), named = server.client();
  client.send("x\n");
  REQUIRE(server.received(1));
  named.send("HELLO press-7\n");
  REQUIRE(server.until([&] { return named.has("RESUME 0\n"); }));
  named.send("y\n");
  REQUIRE(server.received(2));
  CHECK_THAT(server.intake->accepted[0].topic, ContainsSubstring("127.0.0.1:"));
  CHECK(server.intake->accepted[1].topic == "press-7");
}

TEST_CASE("tcp: a client whose frame is too long is told so and closed, others notice nothing") {
  auto config = tcp_config();
  config.max_frame_bytes = 1000;
  TcpServer server(config);
  auto good = server.client(), bad = server.client();
  good.send("before\n");
  bad.send("fine\n" + std::string(200'000, 'x'));  // much is unread when it is closed: the line arrives all the same
  REQUIRE(server.until([&] { return bad.closed(); }));
  CHECK_THAT(bad.got, ContainsSubstring("ERROR frame is longer than 1000 bytes\n"));
  good.send("after\n");
  REQUIRE(server.received(3));
  CHECK(server.intake->counts["frame_too_long"] == 1);
  CHECK_FALSE(good.closed());
}

TEST_CASE("tcp: a hostile length is refused at once, not waited for") {
  auto config = tcp_config();
  config.framing = config::TcpSource::Framing::length;
  TcpServer server(config);
  auto client = server.client();
  client.send("\xff\xff\xff\xff");
  REQUIRE(server.until([&] { return client.closed(); }));
  CHECK_THAT(client.got, ContainsSubstring("ERROR frame is longer"));
}

TEST_CASE("tcp: one client too many is told so, and has its place when another goes") {
  auto config = tcp_config();
  config.max_clients = 2;
  TcpServer server(config);
  auto a = server.client();
  auto b = std::make_unique<TcpClient>(server.source->port());
  REQUIRE(server.until([&] { return server.source->clients() == 2; }));
  auto late = server.client();
  REQUIRE(server.until([&] { return late.closed(); }));
  CHECK_THAT(late.got, ContainsSubstring("ERROR too many clients (max_clients is 2)"));
  b.reset();
  REQUIRE(server.until([&] { return server.source->clients() == 1; }));
  auto next = server.client();
  next.send("hello\n");
  REQUIRE(server.received(1));
}

TEST_CASE("tcp: a client that is idle too long is told so and closed, an active one is not") {
  ManualClock clock;
  auto config = tcp_config();
  config.idle_ms = 5000;
  auto intake = std::make_unique<FakeIntake>();
  intake->use_clock(clock);
  TcpServer server(config, std::move(intake));
  auto idle = server.client(), active = server.client();
  REQUIRE(server.until([&] { return server.source->clients() == 2; }));
  clock.advance(3000);
  active.send("x\n");
  REQUIRE(server.received(1));
  clock.advance(3000);
  REQUIRE(server.until([&] { return idle.closed(); }));
  CHECK_THAT(idle.got, ContainsSubstring("ERROR idle for 5000 ms"));
  CHECK_FALSE(active.closed());
}

TEST_CASE("tcp: a frame's time is when it was read, also where it waits for room") {
  ManualClock clock(1000);
  auto intake = std::make_unique<FakeIntake>();
  intake->use_clock(clock);
  intake->room_up_to = 1;
  TcpServer server(tcp_config(), std::move(intake));
  auto client = server.client();
  client.send("a\nb\n");
  REQUIRE(server.received(1));
  clock.advance(500);
  server.intake->room_up_to = 10;
  server.source->on_room();
  REQUIRE(server.received(2));
  client.send("c\n");
  REQUIRE(server.received(3));
  CHECK(server.intake->accepted[0].timestamp_ms == 1000);
  CHECK(server.intake->accepted[1].timestamp_ms == 1000);
  CHECK(server.intake->accepted[2].timestamp_ms == 1500);
}

TEST_CASE("tcp: without room nothing more is read, and with room everything arrives once and in order", "[slow]") {
  TcpServer server(tcp_config());
  server.intake->room_up_to = 10;
  auto client = server.client();
  std::string sent;
  for (int i = 0; i < 100'000; ++i) sent += std::to_string(i) + "\n";
  std::size_t done = 0;
  const auto push = [&] {
    done += client.send(std::string_view(sent).substr(done));
    return done;
  };
  REQUIRE(server.until([&] { push(); return server.intake->accepted.size() >= 10; }));
  run_ready(server.io);
  REQUIRE(server.intake->accepted.size() == 10);
  while (server.intake->accepted.size() < 100'000) {
    const auto before = server.intake->accepted.size();
    server.intake->room_up_to = before + 7777;
    server.source->on_room();
    REQUIRE(server.until([&] { push(); return server.intake->accepted.size() >= std::min<std::size_t>(before + 7777, 100'000); }));
  }
  for (int i = 0; i < 100'000; ++i) {
    if (server.intake->accepted[static_cast<std::size_t>(i)].payload != std::to_string(i)) FAIL("record " << i << " is wrong");
  }
}

TEST_CASE("tcp: many clients in the middle of a long frame take turns, and all frames arrive") {
  TcpServer server(tcp_config());
  std::vector<TcpClient> clients;
  const std::string half(300'000, 'x');
  std::vector<std::size_t> sent(8, 0);
  const std::string whole = half + half + "\n";
  for (int i = 0; i < 8; ++i) clients.push_back(server.client());
  const auto push = [&] {
    for (std::size_t i = 0; i < clients.size(); ++i) sent[i] += clients[i].send(std::string_view(whole).substr(sent[i]));
  };
  REQUIRE(server.until([&] { push(); return server.intake->accepted.size() == 8; }));
  for (const auto& each : server.intake->accepted) CHECK(each.payload.size() == 600'000);
}

TEST_CASE("tcp: who holds a long frame's turn and stands still is closed when others wait for it") {
  ManualClock clock;
  auto intake = std::make_unique<FakeIntake>();
  intake->use_clock(clock);
  TcpServer server(tcp_config(), std::move(intake));
  std::vector<TcpClient> stalled;
  for (int i = 0; i < 2; ++i) stalled.push_back(server.client());
  for (auto& each : stalled) each.send(std::string(60'000, 's'));
  REQUIRE(server.until([&] { return server.source->clients() == 2; }));
  run_ready(server.io);
  auto third = server.client();
  const std::string frame = std::string(100'000, 't') + "\n";
  std::size_t sent = 0;
  const auto push = [&] { sent += third.send(std::string_view(frame).substr(sent)); };
  REQUIRE(server.until([&] { push(); return sent >= 60'000; }));
  clock.advance(20'000);
  REQUIRE(server.until([&] { push(); return server.intake->accepted.size() == 1; }));
  CHECK_THAT(stalled[0].read() + stalled[1].read(), ContainsSubstring("ERROR a long frame stood still"));
}

TEST_CASE("tcp: a frame that the client did not finish is counted and not a record") {
  TcpServer server(tcp_config());
  auto client = server.client();
  client.send("whole\nhal");
  client.end();
  REQUIRE(server.until([&] { return client.closed(); }));
  CHECK(server.intake->payloads() == std::vector<std::string>{"whole"});
  CHECK(server.intake->counts["incomplete_frame"] == 1);
}

TEST_CASE("tcp: an address that is in use is tried again until it is free") {
  auto first = std::make_unique<TcpServer>(tcp_config());
  auto config = tcp_config();
  config.listen_port = first->source->port();
  TcpServer second(config);
  CHECK_THAT(second.source->state(), ContainsSubstring("cannot listen on 127.0.0.1:"));
  CHECK(second.source->in_trouble());
  first.reset();
  REQUIRE(second.until([&] { return second.source->port() != 0 && second.source->state().starts_with("listening"); }));
  CHECK_FALSE(second.source->in_trouble());
}

TEST_CASE("tcp: after stop nothing more is taken") {
  TcpServer server(tcp_config());
  auto client = server.client();
  client.send("1\n");
  REQUIRE(server.received(1));
  server.source->stop();
  client.send("2\n");
  run_ready(server.io);
  CHECK(server.intake->accepted.size() == 1);
  CHECK(server.source->port() == 0);
}
