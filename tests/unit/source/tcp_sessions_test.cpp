#include <algorithm>
#include <vector>

#include "tests/unit/source/tcp_fixture.h"

using namespace rivulet;
using namespace rivulet::test;

TEST_CASE("tcp: a frame is acknowledged after its epoch is durable and not before") {
  TcpServer server(tcp_config(true));
  auto client = server.client();
  client.send("HELLO press\n");
  REQUIRE(server.until([&] { return client.has("RESUME 0\n"); }));
  client.send("a\nb\n");
  REQUIRE(server.received(2));
  REQUIRE(server.until([&] { return server.intake->commit_soon_calls > 0; }));
  CHECK(client.read() == "RESUME 0\n");
  server.commit();
  REQUIRE(server.until([&] { return client.has("2\n"); }));
  CHECK(client.got == "RESUME 0\n2\n");
  CHECK(server.intake->positions.at("session:press").starts_with("2 "));
}

TEST_CASE("tcp: two epochs in flight are acknowledged one by one") {
  TcpServer server(tcp_config(true));
  auto client = server.client();
  client.send("a\n");
  REQUIRE(server.received(1));
  server.intake->end_epoch();
  client.send("b\nc\n");
  REQUIRE(server.received(3));
  server.intake->make_durable(1);
  server.source->on_durable(1);
  REQUIRE(server.until([&] { return client.has("1\n"); }));
  CHECK(client.got == "1\n");
  server.commit();
  REQUIRE(server.until([&] { return client.has("3\n"); }));
  CHECK(client.got == "1\n3\n");
}

TEST_CASE("tcp: after a crash RESUME says what is durable, and nothing is missing or doubled") {
  TcpServer server(tcp_config(true));
  auto client = server.client();
  client.send("HELLO s\n");
  REQUIRE(server.until([&] { return client.has("RESUME 0\n"); }));
  client.send("1\n2\n3\n");
  REQUIRE(server.received(3));
  server.commit();
  client.send("4\n5\n");
  REQUIRE(server.received(5));
  server.crash();
  auto again = server.client();
  again.send("HELLO s\n");
  REQUIRE(server.until([&] { return again.has("RESUME 3\n"); }));
  again.send("4\n5\n6\n");
  REQUIRE(server.received(6));
  server.commit();
  REQUIRE(server.until([&] { return again.has("\n6\n"); }));
  CHECK(server.intake->payloads() == std::vector<std::string>{"1", "2", "3", "4", "5", "6"});
}

TEST_CASE("tcp: RESUME waits for frames that are accepted and not yet durable") {
  TcpServer server(tcp_config(true));
  {
    auto client = server.client();
    client.send("HELLO s\n");
    REQUIRE(server.until([&] { return client.has("RESUME 0\n"); }));
    client.send("1\n2\n");
    REQUIRE(server.received(2));
  }
  auto again = server.client();
  again.send("HELLO s\n");
  const int asked = server.intake->commit_soon_calls;
  REQUIRE(server.until([&] { return server.intake->commit_soon_calls > asked; }));
  run_ready(server.io);
  CHECK(again.read().empty());
  server.commit();
  REQUIRE(server.until([&] { return again.has("RESUME 2\n"); }));
}

TEST_CASE("tcp: a newer connection takes a session over, and the older one is told and closed") {
  TcpServer server(tcp_config(true));
  auto older = server.client();
  older.send("HELLO s\n");
  REQUIRE(server.until([&] { return older.has("RESUME 0\n"); }));
  older.send("1\n2\n");
  REQUIRE(server.received(2));
  auto newer = server.client();
  newer.send("HELLO s\n3\n");  // 3 comes before RESUME: it has to wait, and is not lost
  REQUIRE(server.until([&] { return older.closed(); }));
  CHECK_THAT(older.got, ContainsSubstring("ERROR a newer connection took over session s\n"));
  CHECK(newer.read().empty());
  CHECK(server.intake->accepted.size() == 2);
  server.commit();
  REQUIRE(server.until([&] { return newer.has("RESUME 2\n"); }));
  REQUIRE(server.received(3));
  server.commit();
  REQUIRE(server.until([&] { return newer.has("\n3\n"); }));
}

TEST_CASE("tcp: a session is taken over many times without losing its count, also before any frame") {
  TcpServer server(tcp_config(true));
  std::vector<TcpClient> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(server.client());
    clients.back().send("HELLO s\n");
    REQUIRE(server.until([&] { return clients.back().has("RESUME 0\n"); }));
  }
  clients.back().send("x\n");
  REQUIRE(server.received(1));
  server.commit();
  REQUIRE(server.until([&] { return clients.back().has("\n1\n"); }));
  CHECK(server.source->clients() == 1);
}

TEST_CASE("tcp: without HELLO a client is told its own connection's count") {
  TcpServer server(tcp_config(true));
  auto client = server.client();
  client.send("x\ny\n");
  REQUIRE(server.received(2));
  server.commit();
  REQUIRE(server.until([&] { return client.has("2\n"); }));
  CHECK(server.intake->positions.empty());
}

TEST_CASE("tcp: without acknowledge HELLO is a record like any other") {
  TcpServer server(tcp_config(false));
  auto client = server.client();
  client.send("HELLO s\n");
  REQUIRE(server.received(1));
  server.commit();
  run_ready(server.io);
  CHECK(client.read().empty());
}

TEST_CASE("tcp: a client that ended its side gets its last acknowledgement before it is closed") {
  TcpServer server(tcp_config(true));
  auto client = server.client();
  client.send("x\n");
  client.end();
  REQUIRE(server.received(1));
  REQUIRE(server.until([&] { return server.intake->commit_soon_calls > 0; }));
  CHECK_FALSE(client.closed());
  server.commit();
  REQUIRE(server.until([&] { return client.closed(); }));
  CHECK(client.got == "1\n");
}

TEST_CASE("tcp: session names that are empty, long or not printable are refused") {
  for (const std::string& name : {std::string(), std::string(" "), std::string("a b"), std::string("a\tb"), std::string("\xc3\xa4"),
                                  std::string("a\0b", 3), std::string(129, 'n')}) {
    TcpServer server(tcp_config(true));
    auto client = server.client();
    client.send("HELLO " + name + "\nrecord\n");
    REQUIRE(server.until([&] { return client.closed(); }));
    CHECK(client.got == "ERROR a session name is 1 to 128 printable characters without blanks\n");
    CHECK(server.intake->accepted.empty());
    CHECK(server.intake->positions.empty());
  }
}

TEST_CASE("tcp: beyond max_sessions the longest unused one is forgotten, never one in use") {
  auto config = tcp_config(true);
  config.max_sessions = 2;
  TcpServer server(config);
  const auto use = [&](const std::string& name) {
    auto client = server.client();
    client.send("HELLO " + name + "\n");
    REQUIRE(server.until([&] {
      server.commit();
      return client.has("RESUME ");
    }));
    const auto before = server.intake->accepted.size();
    client.send(name + "\n");
    REQUIRE(server.received(before + 1));
    return client;
  };
  auto a = use("a");
  { auto b = use("b"); }
  server.commit();
  REQUIRE(server.until([&] { return server.source->clients() == 1; }));
  auto c = use("c");  // b goes, a is older but in use
  server.commit();
  CHECK(server.intake->positions.contains("session:a"));
  CHECK_FALSE(server.intake->positions.contains("session:b"));
  auto d = server.client();
  d.send("HELLO d\n");
  REQUIRE(server.until([&] { return d.closed(); }));
  CHECK_THAT(d.got, ContainsSubstring("ERROR all remembered sessions are in use"));
}

TEST_CASE("tcp: a session that was just forgotten is answered only when that is durable") {
  auto config = tcp_config(true);
  config.max_sessions = 1;
  auto intake = std::make_unique<FakeIntake>();
  intake->start_with({{"session:a", "100 5"}});
  TcpServer server(config, std::move(intake));
  auto b = std::make_unique<TcpClient>(server.source->port());
  b->send("HELLO b\n");
  REQUIRE(server.until([&] { return server.intake->commit_soon_calls > 0; }));
  run_ready(server.io);
  CHECK(b->read().empty());
  b.reset();
  server.commit();
  REQUIRE(server.until([&] { return server.source->clients() == 0; }));
  auto a = server.client();
  a.send("HELLO a\n");
  REQUIRE(server.until([&] { return a.has("RESUME 0\n"); }));
}

TEST_CASE("tcp: an unreadable session position is not taken for a number") {
  auto intake = std::make_unique<FakeIntake>();
  intake->start_with({{"session:a", "12x 5"}, {"session:b", ""}, {"session:c", "7 9"}, {"other", "1"}});
  TcpServer server(tcp_config(true), std::move(intake));
  for (const auto& [name, n] : {std::pair{"a", "0"}, {"b", "0"}, {"c", "7"}}) {
    auto client = server.client();
    client.send(std::string("HELLO ") + name + "\n");
    REQUIRE(server.until([&] { return client.has(std::string("RESUME ") + n + "\n"); }));
  }
}

TEST_CASE("tcp: a client that never reads its acknowledgements costs one line of memory and holds up nobody") {
  TcpServer server(tcp_config(true));
  auto deaf = server.client(), other = server.client();
  for (int i = 0; i < 300; ++i) {
    deaf.send("x\n");
    const auto before = server.intake->accepted.size();
    REQUIRE(server.until([&] { return server.intake->accepted.size() > before; }));
    server.commit();
  }
  other.send("y\n");
  REQUIRE(server.until([&] { return server.intake->accepted.back().payload == "y"; }));
  server.commit();
  REQUIRE(server.until([&] { return other.has("1\n"); }));
  REQUIRE(server.until([&] { return deaf.has("\n300\n"); }));
}
