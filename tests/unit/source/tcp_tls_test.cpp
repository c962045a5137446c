#include <algorithm>
#include <list>
#include <string>

#include "tests/support/log_lines.h"
#include "tests/unit/source/tcp_fixture.h"
#include "tests/unit/source/tls_client.h"

using namespace rivulet;
using namespace rivulet::test;

namespace {

config::TcpSource tls_config(const Certificates& made, bool ask_for_client = false) {
  auto config = tcp_config(true);
  config.tls.emplace();
  config.tls->certificate = made.certificate;
  config.tls->key = made.key;
  if (ask_for_client) config.tls->ca = made.certificate;
  return config;
}

}  // namespace

TEST_CASE("tcp over TLS: session, records of many chunks and acknowledgement") {
  const Certificates made;
  TcpServer server(tls_config(made));
  config::Tls trust;
  trust.ca = made.certificate;
  std::string lines = "HELLO press\n";
  for (int i = 0; i < 20'000; ++i) lines += "record " + std::to_string(i) + "\n";
  {
    TlsClient client(server.source->port(), trust, lines, "\n20000\n");
    REQUIRE(server.until([&] {
      if (server.intake->accepted.size() == 20'000) server.commit();
      return client.done.load();
    }));
    CHECK_THAT(client.got, ContainsSubstring("RESUME 0\n") && ContainsSubstring("\n20000\n"));
  }
  CHECK(server.intake->accepted.back().payload == "record 19999");
}

TEST_CASE("tcp over TLS: a client that speaks no TLS is closed, one that does is served meanwhile") {
  const Certificates made;
  TcpServer server(tls_config(made));
  auto plain = server.client(), silent = server.client();
  plain.send("HELLO s\nrecord\n");
  REQUIRE(server.until([&] { return plain.closed(); }));
  CHECK(server.intake->accepted.empty());
  CHECK(server.intake->counts["tls_handshake_failed"] == 1);
  config::Tls trust;
  trust.ca = made.certificate;
  TlsClient client(server.source->port(), trust, "x\n", "1\n");
  REQUIRE(server.until([&] {
    if (server.intake->accepted.size() == 1) server.commit();
    return client.done.load();
  }));
  CHECK(client.got == "1\n");
}

TEST_CASE("tcp over TLS: with a ca only clients with a certificate of it are let in") {
  const Certificates made;
  TcpServer server(tls_config(made, true));
  config::Tls nobody, somebody;
  nobody.ca = somebody.ca = somebody.certificate = made.certificate;
  somebody.key = made.key;
  {
    TlsClient client(server.source->port(), nobody, "x\n", "1\n");
    REQUIRE(server.until([&] { return client.done.load() || !server.intake->accepted.empty(); }));
    CHECK(server.intake->accepted.empty());
  }
  TlsClient client(server.source->port(), somebody, "y\n", "1\n");
  REQUIRE(server.until([&] {
    if (server.intake->accepted.size() == 1) server.commit();
    return client.done.load();
  }));
  CHECK(server.intake->payloads() == std::vector<std::string>{"y"});
}

TEST_CASE("tcp over TLS: one client too many is told so, and those beyond the ones that are told are closed and reported") {
  const Certificates made;
  auto config = tls_config(made);
  config.max_clients = 1;
  TcpServer server(config);
  config::Tls trust;
  trust.ca = made.certificate;
  TlsClient first(server.source->port(), trust, "x\n", "1\n");
  REQUIRE(server.received(1));
  LogLines log;
  {
    TlsClient late(server.source->port(), trust, "y\n", "never");
    REQUIRE(server.until([&] { return late.done.load(); }));
    CHECK(late.got == "ERROR too many clients (max_clients is 1)\n");
  }
  CHECK(server.source->clients() == 1);
  CHECK(log.with("too many clients (max_clients is 1)").size() == 1);
  std::list<TcpClient> silent;
  for (int i = 0; i < 20; ++i) silent.push_back(server.client());
  REQUIRE(server.until([&] { return server.intake->counts["clients_refused"] == 21; }));
  const auto closed = [&] { return std::count_if(silent.begin(), silent.end(), [](TcpClient& each) { return each.closed(); }); };
  REQUIRE(server.until([&] { return closed() >= 4; }));
  CHECK(closed() < 12);  // not all of them, as after the time that a handshake has
  CHECK(server.intake->counts["client_errors"] >= 21);
  CHECK(server.source->clients() == 1);
  server.commit();
  REQUIRE(server.until([&] { return first.done.load(); }));
  CHECK(first.got == "1\n");
  CHECK(server.intake->payloads() == std::vector<std::string>{"x"});
}

TEST_CASE("tcp over TLS: a key that does not fit or a file that is missing is said in the state") {
  const Certificates made, others;
  auto config = tls_config(made);
  config.tls->key = others.key;
  CHECK_THAT(TcpServer(config).source->state(), ContainsSubstring(others.key));
  config.tls->key = made.key;
  config.tls->certificate = made.folder / "missing.pem";
  const TcpServer without(config);
  CHECK_THAT(without.source->state(), ContainsSubstring("missing.pem"));
  CHECK(without.source->in_trouble());
}
