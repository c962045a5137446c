#include "agent/source/mqtt/window.h"

#include "tests/support/catch.h"

using rivulet::source::mqtt::Window;

namespace {

// A server that sends a burst of `size`, waits for us, and goes on `pause` ms after it was answered.
struct Server {
  Window window;
  std::int64_t now = 1'000'000;
  explicit Server(std::size_t receive_maximum = 1000) : window(receive_maximum) { window.connected(); }
  void burst(std::size_t size, std::int64_t spacing = 0) {
    for (std::size_t i = 0; i < size; ++i) {
      window.delivered(now);
      now += spacing;
    }
  }
  void answered_after(std::int64_t wait, std::int64_t pause) {
    now += wait;
    window.freed(window.in_flight(), now);
    now += pause;
  }
};

}  // namespace

TEST_CASE("unless more is seen, half of mosquitto's 20 is early enough") {
  CHECK(Server().window.half(0) == 10);
  CHECK(Server(12).window.half(0) == 6);
  CHECK(Server(1).window.half(0) == 1);
}

TEST_CASE("a window that was seen to be larger is used, up to the receive maximum") {
  Server s;
  s.burst(300);
  CHECK(s.window.half(s.now) == 150);
  s.burst(2000);
  CHECK(s.window.half(s.now) == 500);
}

TEST_CASE("a server that waits for each message is noticed, so that it need not wait for a whole interval") {
  Server s;
  for (int i = 0; i < 3; ++i) {
    s.burst(1);
    s.answered_after(1000, 2);
  }
  s.burst(1);
  CHECK(s.window.half(s.now) == 1);
}

TEST_CASE("once is not enough to take a server for one that waits") {
  Server s;
  s.burst(4);
  s.answered_after(1000, 2);
  s.burst(6);
  s.answered_after(1000, 2);
  s.burst(4);
  CHECK(s.window.half(s.now) == 10);
}

TEST_CASE("a slow publisher is not a server that waits") {
  Server s;
  for (int i = 0; i < 20; ++i) {
    s.burst(4, 250);  // evenly over the interval
    s.answered_after(0, 5);
  }
  CHECK(s.window.half(s.now) == 10);
}

TEST_CASE("a server that had room and sent nothing was not waiting") {
  Server s;
  for (int i = 0; i < 4; ++i) {
    s.burst(2);
    s.answered_after(1000, 2);
  }
  REQUIRE(s.window.half(s.now) == 1);
  s.answered_after(0, 5000);
  s.burst(1);
  CHECK(s.window.half(s.now) == 10);
}

TEST_CASE("a small window is forgotten after a minute, when more is in flight, and with the connection") {
  Server s;
  for (int i = 0; i < 4; ++i) {
    s.burst(2);
    s.answered_after(1000, 2);
  }
  REQUIRE(s.window.half(s.now) == 1);
  SECTION("after a minute") { s.now += 61'000; }
  SECTION("more is in flight") { s.burst(5); }
  SECTION("a new connection") { s.window.connected(); }
  CHECK(s.window.half(s.now) == 10);
}
