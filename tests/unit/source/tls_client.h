// A certificate of the test's own, and a client that speaks TLS.
#pragma once
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>

#include "agent/net/tls.h"
#include "tests/support/catch.h"
#include "tests/support/tcp_client.h"
#include "tests/support/temp_folder.h"

namespace rivulet::test {

struct Certificates {
  TempFolder folder;
  std::string certificate = folder / "server.pem", key = folder / "server.key";
  Certificates() {
    const std::string command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout '" + key + "' -out '" +
                                certificate + "' >/dev/null 2>&1";
    REQUIRE(std::system(command.c_str()) == 0);
  }
};

// A blocking TLS client on a thread of its own; true if the whole dialogue went as expected.
struct TlsClient {
  TlsClient(std::uint16_t port, config::Tls tls, std::string send, std::string until)
      : thread([this, port, tls = std::move(tls), send = std::move(send), until = std::move(until)] {
          talk(port, tls, send, until);
          done = true;
        }) {}
  ~TlsClient() { thread.join(); }

  void talk(std::uint16_t port, const config::Tls& tls, const std::string& send, const std::string& until) {
    sigset_t pipe;  // a server that closes at once is for the test to see, not its end
    ::sigemptyset(&pipe);
    ::sigaddset(&pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
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

}  // namespace rivulet::test
