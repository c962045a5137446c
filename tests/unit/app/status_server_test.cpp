// The status listener on real sockets: whoever connects, what it says and how slowly, the listener stays there for the others.
#include "agent/app/status_client.h"
#include "agent/app/status_server.h"

#include <filesystem>

#include "tests/support/catch.h"
#include "tests/support/run_until.h"
#include "tests/support/tcp_client.h"
#include "tests/support/temp_folder.h"

namespace rivulet {
namespace {

using test::run_until;
using test::TcpClient;

struct Listener {
  explicit Listener(const std::string& listen = "127.0.0.1:0")
      : server(app::StatusServer::listen(io, listen, [] { return app::Snapshot{}; }, [] { return std::vector<app::History::Sample>{}; }).value()) {}
  std::uint16_t port() const { return static_cast<std::uint16_t>(std::stoi(server->address().substr(server->address().rfind(':') + 1))); }
  // All that comes until the listener closes.
  std::string answer(TcpClient& client) {
    REQUIRE(run_until(io, [&] { return client.closed(); }));
    return client.got;
  }
  std::string ask(const std::string& request) {
    TcpClient client(port());
    client.send(request);
    return answer(client);
  }
  boost::asio::io_context io;
  std::unique_ptr<app::StatusServer> server;
};

std::size_t body_bytes(const std::string& answer) { return answer.size() - (answer.find("\r\n\r\n") + 4); }
std::size_t length_of(const std::string& answer) { return std::stoul(answer.substr(answer.find("Content-Length: ") + 16)); }

TEST_CASE("the status listener answers one request a connection, HEAD without the body") {
  Listener listener;
  const auto got = listener.ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK_THAT(got, ContainsSubstring("HTTP/1.1 200 OK\r\n") && ContainsSubstring("Connection: close\r\n") && ContainsSubstring("X-Content-Type-Options: nosniff\r\n"));
  CHECK(body_bytes(got) == length_of(got));
  CHECK(body_bytes(got) > 500);
  const auto head = listener.ask("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(length_of(head) > 500);
  CHECK(body_bytes(head) == 0);
  CHECK_THAT(listener.ask("DELETE /metrics HTTP/1.1\r\n\r\n"), ContainsSubstring("HTTP/1.1 405 "));
}

TEST_CASE("a request to the status listener may come byte by byte, and by a unix socket") {
  test::TempFolder folder;
  const auto file = (folder.path() / "status.sock").string();
  {
    Listener listener("unix:" + file);
    CHECK(listener.server->address() == "unix:" + file);
    TcpClient client(file);
    for (const char byte : std::string("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")) {
      client.send({&byte, 1});
      test::run_ready(listener.io);
    }
    CHECK_THAT(listener.answer(client), ContainsSubstring("HTTP/1.1 200 OK\r\n"));
  }
  CHECK_FALSE(std::filesystem::exists(file));
}

TEST_CASE("what is no request, or too long a one, is answered 400 and closed") {
  Listener listener;
  for (const std::string& request : {std::string(9000, 'a'), std::string("\0\xff\xfe\r\n\r\n", 7), "GET / HTTP/1.1\r\nX: " + std::string(9000, 'b') + "\r\n\r\n",
                                    std::string("GET / HTTP/9.9\r\n\r\n"), std::string("POST /status HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n")}) {
    INFO(request.substr(0, 30));
    CHECK_THAT(listener.ask(request), ContainsSubstring("HTTP/1.1 400 Bad Request\r\n"));
  }
  CHECK_THAT(listener.ask("GET /healthz HTTP/1.1\r\n\r\n"), ContainsSubstring("HTTP/1.1 200 OK\r\n"));
}

TEST_CASE("clients of the status listener that say nothing are closed after 5 seconds, and more than 8 at once") {
  Listener listener;
  std::vector<std::unique_ptr<TcpClient>> silent;
  for (std::size_t i = 0; i < app::StatusServer::kMaxConnections; ++i) silent.push_back(std::make_unique<TcpClient>(listener.port()));
  silent.front()->send("GET /heal");
  test::run_ready(listener.io);
  const auto begin = std::chrono::steady_clock::now();
  CHECK(listener.ask("GET /healthz HTTP/1.1\r\n\r\n").empty());  // the ninth
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(4));
  for (auto& client : silent) CHECK(listener.answer(*client).empty());
  CHECK(std::chrono::steady_clock::now() - begin > std::chrono::seconds(4));
  CHECK_THAT(listener.ask("GET /healthz HTTP/1.1\r\n\r\n"), ContainsSubstring("HTTP/1.1 200 OK\r\n"));
}

TEST_CASE("whoever asks where nobody listens is asked one question") {
  std::uint16_t port = 0;
  {
    Listener gone;
    port = gone.port();
  }
  const auto answer = app::http_get("127.0.0.1:" + std::to_string(port), "/status", "*/*");
  REQUIRE(answer.has_error());
  CHECK_THAT(answer.error().message, ContainsSubstring("Connection refused; is the agent running?"));
}

}  // namespace
}  // namespace rivulet
