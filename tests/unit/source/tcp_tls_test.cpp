#include <openssl/ssl.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>

#include "tests/support/temp_folder.h"
#include "tests/unit/source/tcp_fixture.h"

using namespace rivulet;
using namespace rivulet::test;

namespace {

struct Certificates {
  TempFolder folder;
  std::string certificate = folder / "server.pem", key = folder / "server.key";
  Certificates() {
    const std::string command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout '" + key + "' -out '" +
                                certificate + "' >/dev/null 2>&1";
    REQUIRE(std::system(command.c_str()) == 0);
  }
};

config::TcpSource tls_config(const Certificates& made, bool ask_for_client = false) {
  auto config = tcp_config(true);
  config.tls.emplace();
  config.tls->certificate = made.certificate;
  config.tls->key = made.key;
  if (ask_for_client) config.tls->ca = made.certificate;
  return config;
}

// A blocking TLS client on a thread of its own; true if the whole dialogue went as expected.
struct TlsClient {
  TlsClient(std::uint16_t port, config::Tls tls, std::string send, std::string until)
      : thread([this, port, tls = std::move(tls), send = std::move(send), until = std::move(until)] {
          talk(port, tls, send, until);
          done = true;
        }) {}
  ~TlsClient() { thread.join(); }

  void talk(std::uint16_t port, const config::Tls& tls, const std::string& send, const std::string& until) {
    auto context = net::client_tls(tls);
    if (!context) return;
    TcpClient socket(port);
    const timeval patience{20, 0};
    ::setsockopt(socket.fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    SSL* ssl = SSL_new(context->get());
    SSL_set_fd(ssl, socket.fd());
    if (SSL_connect(ssl) == 1) {
      for (std::size_t sent = 0; sent < send.size();) {  // the context allows partial writes
        const int count = SSL_write(ssl, send.data() + sent, static_cast<int>(send.size() - sent));
        if (count <= 0) break;
        sent += static_cast<std::size_t>(count);
      }
      char buffer[256];
      for (int count = 0; got.find(until) == std::string::npos && (count = SSL_read(ssl, buffer, sizeof buffer)) > 0;) {
        got.append(buffer, static_cast<std::size_t>(count));
      }
    }
    SSL_free(ssl);
  }

  std::string got;
  std::atomic<bool> done = false;
  std::thread thread;
};

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
