// The MQTT source against sockets of the test's own, for what no real server does; the session without them is in mqtt_session_test.cpp, a real server in
// tests/integration/mqtt.
#include "agent/source/mqtt/mqtt_source.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <chrono>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/fake_intake.h"
#include "tests/support/run_until.h"

using namespace rivulet;
using namespace rivulet::test;

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// Accepts clients of version 3.1.1, one after the other, each with its one subscription.
class Server {
 public:
  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  int connections = 0;

 protected:
  explicit Server(asio::io_context& io) : acceptor_(io), socket_(io) {}
  virtual ~Server() = default;
  virtual void subscribed(const std::string& suback) = 0;  // which is still to be sent
  void listen() {
    acceptor_.bind({asio::ip::address_v4::loopback(), 0});
    acceptor_.listen();
    accept();
  }
  template <class Then>
  void write(std::string bytes, Then then) {
    out_ = std::move(bytes);
    asio::async_write(socket_, asio::buffer(out_), [then](const error_code& error, std::size_t) {
      if (!error) then();
    });
  }

  tcp::acceptor acceptor_;
  tcp::socket socket_;
  std::array<char, 64 * 1024> chunk_{};

 private:
  void accept() {
    acceptor_.async_accept([this](const error_code& error, tcp::socket socket) {
      if (error) return;
      ++connections;
      socket_ = std::move(socket);
      socket_.async_read_some(asio::buffer(chunk_), [this](const error_code& failed, std::size_t) {
        if (!failed) write(std::string("\x20\x02\0\0", 4), [this] { read_subscribe(); });
      });
      accept();
    });
  }
  void read_subscribe() {
    socket_.async_read_some(asio::buffer(chunk_), [this](const error_code& error, std::size_t count) {
      if (!error && count > 3) subscribed(std::string("\x90\x03") + chunk_[2] + chunk_[3] + '\x01');
    });
  }
  std::string out_;
};

// Sends messages of QoS 1; reads acknowledgements only when told to.
class Flood final : public Server {
 public:
  static constexpr std::size_t kMessages = 1000, kAcknowledgementBytes = 4;  // kMessages at once

  explicit Flood(asio::io_context& io) : Server(io) {
    const int small = 536;
    acceptor_.open(tcp::v4());
    acceptor_.set_option(asio::socket_base::receive_buffer_size(4096));  // so that little is on its way
    REQUIRE(::setsockopt(acceptor_.native_handle(), IPPROTO_TCP, TCP_MAXSEG, &small, sizeof small) == 0);
    for (std::size_t i = 1; i <= kMessages; ++i) messages_ += {'\x32', '\x06', '\0', '\x01', 't', static_cast<char>(i >> 8), static_cast<char>(i), 'x'};
    listen();
  }
  void read_all() {
    floods_ = false;
    socket_.async_read_some(asio::buffer(chunk_), [this](const error_code& error, std::size_t count) {
      acknowledged_bytes += count;
      if (!error) read_all();
    });
  }

  std::size_t sent = 0, acknowledged_bytes = 0;

 private:
  void subscribed(const std::string& suback) override {
    write(suback, [this] { flood(); });
  }
  void flood() {
    if (!floods_) return;
    sent += kMessages;
    write(messages_, [this] { flood(); });
  }

  std::string messages_;
  bool floods_ = true;
};

// One message of QoS 1 comes in pieces, and behind it the SUBACK: as mosquitto sends what it kept for a session.
class SlowLink final : public Server {
 public:
  SlowLink(asio::io_context& io, std::size_t bytes, std::chrono::milliseconds takes) : Server(io), timer_(io), message_("\x32") {
    for (std::size_t left = bytes + 5, i = 0; i < 3; ++i, left >>= 7) message_ += static_cast<char>((left & 0x7f) | (i < 2 ? 0x80 : 0));
    message_ += std::string("\0\x01t\0\x01", 5) + std::string(bytes, 'x');
    pause_ = takes / static_cast<std::int64_t>(message_.size() / kPiece + 1);
    acceptor_.open(tcp::v4());
    listen();
  }

 private:
  static constexpr std::size_t kPiece = 4096;
  void subscribed(const std::string& suback) override {
    suback_ = suback;
    send(0);
  }
  void send(std::size_t from) {
    if (from >= message_.size()) return write(suback_, [] {});
    write(message_.substr(from, kPiece), [this, from] {
      timer_.expires_after(pause_);
      timer_.async_wait([this, from](const error_code& error) {
        if (!error) send(from + kPiece);
      });
    });
  }

  asio::steady_timer timer_;
  std::string message_, suback_;
  std::chrono::milliseconds pause_{};
};

}  // namespace

TEST_CASE("mqtt: a message that a slow link carries for longer than an answer takes is received, and the subscription behind it", "[slow]") {
  asio::io_context io;
  SlowLink server(io, 900'000, std::chrono::seconds(22));
  FakeIntake intake;
  config::MqttSource settings;
  settings.host = "127.0.0.1";
  settings.port = server.port();
  settings.topics = {"t"};
  settings.qos = 1;
  settings.version = 3;
  settings.keep_alive_ms = 10'000;
  const auto source = source::make_mqtt_source(io, settings, "m", "agent", intake);
  source->start();
  CHECK(run_until(io, [&] { return !intake.accepted.empty() || server.connections > 1; }));
  CHECK(server.connections == 1);
  REQUIRE(intake.accepted.size() == 1);
  CHECK(intake.accepted[0].payload.size() == 900'000);
  CHECK(run_until(io, [&] { return intake.counts["connections"] == 1; }));
}

TEST_CASE("mqtt: from a server that does not read acknowledgements nothing is read either, until it does", "[slow]") {
  constexpr std::size_t kTooMany = 4'000'000;
  asio::io_context io;
  Flood server(io);
  FakeIntake intake;
  config::MqttSource settings;
  settings.host = "127.0.0.1";
  settings.port = server.port();
  settings.topics = {"t"};
  settings.qos = 1;
  settings.version = 3;
  const auto source = source::make_mqtt_source(io, settings, "m", "agent", intake);
  source->start();
  std::size_t taken = 0;
  const auto commit = [&] {
    if (intake.accepted.empty()) return;
    taken += intake.accepted.size();
    intake.accepted.clear();
    intake.commit(*source);
  };
  const auto waits = [&] { return source->state().find("waiting for the server to read") != std::string::npos; };
  run_until(io, [&] {
    commit();
    return waits() || taken > kTooMany;
  });
  REQUIRE(waits());
  server.read_all();
  CHECK(run_until(io, [&] {
    commit();
    return taken == server.sent && server.acknowledged_bytes >= server.sent * Flood::kAcknowledgementBytes;
  }));
  CHECK(server.acknowledged_bytes == server.sent * Flood::kAcknowledgementBytes);
  CHECK_FALSE(waits());
}

TEST_CASE("mqtt: a server that is away for longer than a start takes is trouble") {
  boost::asio::io_context io;
  config::MqttSource settings;
  settings.host = "127.0.0.1";
  {
    boost::asio::ip::tcp::acceptor nobody(io, {boost::asio::ip::make_address("127.0.0.1"), 0});
    settings.port = nobody.local_endpoint().port();
  }
  ManualClock clock;
  test::FakeIntake intake;
  intake.use_clock(clock);
  const auto source = source::make_mqtt_source(io, settings, "m", "agent", intake);
  source->start();
  REQUIRE(test::run_until(io, [&] { return source->state().find("refused") != std::string::npos; }));
  clock.advance(source::kTroubleAfterMs - 1);
  CHECK_FALSE(source->in_trouble());
  clock.advance(1);
  CHECK(source->in_trouble());
}
