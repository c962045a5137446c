// The MQTT output on links of the test's own; what it publishes is in publisher_test.cpp, a real server in tests/integration/mqtt.
#include "agent/sink/mqtt/mqtt_writer.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>

#include <thread>

#include "tests/unit/sink/sink_fixture.h"

using namespace rivulet;
using namespace rivulet::sink;

namespace {

// A server of version 3.1.1 that reads one message at its own pace, and then answers it or does not.
class SlowServer {
 public:
  SlowServer(std::size_t bytes_a_second, bool answers) : listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const int small = 4096;  // what is not read stays with the sender
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    REQUIRE(::setsockopt(listener_, SOL_SOCKET, SO_RCVBUF, &small, sizeof small) == 0);
    REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&at), size) == 0);
    REQUIRE(::listen(listener_, 1) == 0);
    REQUIRE(::getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size) == 0);
    port_ = ntohs(at.sin_port);
    thread_ = std::thread([this, bytes_a_second, answers] { serve(bytes_a_second, answers); });
  }
  ~SlowServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  std::uint16_t port() const { return port_; }

 private:
  void serve(std::size_t bytes_a_second, bool answers) const {
    const int client = ::accept(listener_, nullptr, nullptr);
    std::vector<char> chunk(bytes_a_second / 20);
    ::recv(client, chunk.data(), chunk.size(), 0);  // CONNECT
    ::send(client, "\x20\x02\0\0", 4, MSG_NOSIGNAL);
    std::size_t header = 0, message = 0, got = 0;  // 3 bytes of length: more than 16 KiB; the id is behind the topic, "key"
    char id[2] = {};
    while (header == 0 || got < message) {
      const auto count = ::recv(client, chunk.data(), chunk.size(), 0);
      if (count <= 0) break;
      if (header == 0) {
        for (std::size_t i = 0; i < 3; ++i) message |= static_cast<std::size_t>(chunk[1 + i] & 0x7f) << (7 * i);
        message += header = 4;
        id[0] = chunk[header + 5], id[1] = chunk[header + 6];
      }
      got += static_cast<std::size_t>(count);
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    const char puback[] = {'\x40', '\x02', id[0], id[1]};
    if (answers) ::send(client, puback, sizeof puback, MSG_NOSIGNAL);
    while (::recv(client, chunk.data(), chunk.size(), 0) > 0) {
    }
    ::close(client);
  }

  const int listener_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

Delivery deliver_one(const SlowServer& server, std::size_t bytes, std::int64_t keep_alive_ms) {
  Fixture at;
  auto& stream = at.stream("p/mqtt", "mqtt://127.0.0.1:1");
  at.put(stream, std::vector<std::string>{std::string(bytes, 'x')});
  boost::asio::io_context io;
  config::MqttOutput settings;
  settings.host = "127.0.0.1";
  settings.port = server.port();
  settings.version = 3;
  settings.keep_alive_ms = keep_alive_ms;
  const auto writer = make_mqtt_writer(io, settings, "client", at.go_on);
  REQUIRE(writer->open());
  const auto packs = at.store->read(stream.id, 0, 4 << 20).value();
  Delivery delivery = writer->deliver({stream, packs}, at.go_on);
  writer->close();
  return delivery;
}

}  // namespace

TEST_CASE("a record that a slow link carries for longer than an answer takes is published once", "[slow]") {
  const SlowServer server(40'000, true);
  const Delivery delivery = deliver_one(server, 900'000, 10'000);  // 22 s
  INFO((delivery.trouble ? delivery.trouble->message : std::string()));
  CHECK_FALSE(delivery.trouble);
  CHECK(delivery.up_to == 1);
}

TEST_CASE("a server that takes a record and does not answer is trouble, however long it took", "[slow]") {
  const SlowServer server(100'000, false);
  const Delivery delivery = deliver_one(server, 300'000, 60'000);
  REQUIRE(delivery.trouble);
  CHECK(delivery.trouble->message.find("acknowledges nothing") != std::string::npos);
  CHECK(delivery.up_to == 0);
}
