#include <boost/asio/ip/udp.hpp>
#include <memory>
#include <string>
#include <vector>

#include "agent/net/address.h"
#include "agent/source/udp/udp_source.h"
#include "tests/support/catch.h"
#include "tests/support/fake_intake.h"
#include "tests/support/run_until.h"

using namespace rivulet;
using namespace rivulet::test;
using boost::asio::ip::udp;

namespace {

config::UdpSource udp_config(bool lines = false) {
  config::UdpSource config;
  config.listen_host = "127.0.0.1";
  config.lines = lines;
  config.receive_buffer_bytes = 64 << 10;
  return config;
}

struct Receiver {
  explicit Receiver(const config::UdpSource& config) : source(io, config, "syslog", intake) { source.start(); }
  void send(std::string_view bytes) { sender.send_to(boost::asio::buffer(bytes), {boost::asio::ip::make_address("127.0.0.1"), source.port()}); }
  bool received(std::size_t count) {
    return run_until(io, [&] { return intake.accepted.size() >= count; }) && intake.accepted.size() == count;
  }

  boost::asio::io_context io;
  FakeIntake intake;
  source::UdpSource source;
  udp::socket sender{io, udp::endpoint(boost::asio::ip::make_address("127.0.0.1"), 0)};
};

}  // namespace

TEST_CASE("udp: a datagram is a record with its sender's address as topic, an empty one too") {
  Receiver receiver(udp_config());
  receiver.send("{\"a\":1}\n{\"a\":2}\n");
  receiver.send("");
  receiver.send(std::string("b\0c", 3));
  REQUIRE(receiver.received(3));
  CHECK(receiver.intake.payloads() == std::vector<std::string>{"{\"a\":1}\n{\"a\":2}\n", "", std::string("b\0c", 3)});
  CHECK(receiver.intake.accepted[0].topic == "127.0.0.1");
  CHECK_THAT(receiver.source.state(), ContainsSubstring("3 datagrams"));
}

TEST_CASE("udp: more datagrams than one turn takes are all read, in order") {
  auto config = udp_config();
  config.receive_buffer_bytes = 1 << 20;
  Receiver receiver(config);
  std::vector<std::string> sent;
  for (int i = 0; i < 200; ++i) receiver.send(sent.emplace_back(std::to_string(i)));
  REQUIRE(receiver.received(200));
  CHECK(receiver.intake.payloads() == sent);
}

TEST_CASE("udp: with framing newline each line of a datagram is a record, the last one also without its newline") {
  Receiver receiver(udp_config(true));
  receiver.send("one\r\ntwo\n\nthree");
  receiver.send("\n");
  receiver.send("four\n");
  REQUIRE(receiver.received(4));
  CHECK(receiver.intake.payloads() == std::vector<std::string>{"one", "two", "three", "four"});
}

TEST_CASE("udp: a datagram longer than the limit is left out whole and counted, those around it are read") {
  auto config = udp_config();
  config.max_datagram_bytes = 100;
  Receiver receiver(config);
  receiver.send(std::string(100, 'a'));
  receiver.send(std::string(101, 'b'));
  receiver.send("c");
  REQUIRE(receiver.received(2));
  CHECK(receiver.intake.payloads() == std::vector<std::string>{std::string(100, 'a'), "c"});
  CHECK(receiver.intake.counts["datagram_too_long"] == 1);
}

TEST_CASE("udp: without room nothing is read, also in the middle of a datagram, and with room it goes on there") {
  Receiver receiver(udp_config(true));
  receiver.intake.room_up_to = 2;
  receiver.send("1\n2\n3\n4\n");
  receiver.send("5\n");
  REQUIRE(run_until(receiver.io, [&] { return receiver.intake.accepted.size() == 2; }));
  run_ready(receiver.io);
  CHECK(receiver.intake.accepted.size() == 2);
  receiver.intake.room_up_to = 3;
  receiver.source.on_room();
  CHECK(receiver.intake.accepted.size() == 3);
  receiver.intake.room_up_to = SIZE_MAX;
  receiver.source.on_room();
  REQUIRE(receiver.received(5));
  CHECK(receiver.intake.payloads() == std::vector<std::string>{"1", "2", "3", "4", "5"});
}

TEST_CASE("udp: what the kernel drops while there is no room is counted, to the datagram") {
  Receiver receiver(udp_config());
  receiver.intake.room_up_to = 0;
  constexpr std::size_t kSent = 2000;
  for (std::size_t i = 0; i < kSent; ++i) receiver.send(std::string(1000, 'x'));
  run_ready(receiver.io);
  receiver.intake.room_up_to = SIZE_MAX;
  receiver.source.on_room();
  run_ready(receiver.io);
  const std::size_t kept = receiver.intake.accepted.size();
  CHECK(kept > 0);
  CHECK(kept < kSent);
  receiver.send("last");  // the count of drops comes with the next datagram
  REQUIRE(receiver.received(kept + 1));
  CHECK(receiver.intake.counts["dropped_by_kernel"] == kSent - kept);
}

TEST_CASE("udp: an address that is in use is tried again until it is free") {
  boost::asio::io_context io;
  auto holder = std::make_unique<udp::socket>(io, udp::endpoint(boost::asio::ip::make_address("127.0.0.1"), 0));
  auto config = udp_config();
  config.listen_port = holder->local_endpoint().port();
  FakeIntake intake;
  source::UdpSource source(io, config, "syslog", intake);
  source.start();
  CHECK_THAT(source.state(), ContainsSubstring("cannot listen on 127.0.0.1:"));
  CHECK(source.in_trouble());
  holder.reset();
  CHECK(run_until(io, [&] { return source.port() == config.listen_port; }));
  CHECK_THAT(source.state(), ContainsSubstring("listening on"));
  CHECK_FALSE(source.in_trouble());
}

TEST_CASE("an IPv6 address stands in brackets before its port") {
  CHECK(net::address_text("::1", 514) == "[::1]:514");
  CHECK(net::address_text("127.0.0.1", 514) == "127.0.0.1:514");
}

TEST_CASE("udp: after stop nothing more is taken, and a source that is destroyed leaves no handler behind") {
  boost::asio::io_context io;
  FakeIntake intake;
  auto source = std::make_unique<source::UdpSource>(io, udp_config(), "syslog", intake);
  source->start();
  udp::socket sender(io, udp::endpoint(boost::asio::ip::make_address("127.0.0.1"), 0));
  sender.send_to(boost::asio::buffer("a", 1), {boost::asio::ip::make_address("127.0.0.1"), source->port()});
  source->stop();
  run_ready(io);
  CHECK(intake.accepted.empty());
  CHECK(source->state() == "stopped");
  source.reset();
  run_ready(io);
}
