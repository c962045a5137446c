#include "agent/source/serial/serial_source.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/fake_intake.h"
#include "tests/support/pty_pair.h"
#include "tests/support/run_until.h"

using namespace rivulet;
using namespace rivulet::test;
using source::SerialSource;

namespace {

using Lines = std::vector<std::string>;

struct Port {
  Port() {
    config.device = cable.port();
    config.idle_gap_ms = 20;
  }
  void start() {
    source = std::make_unique<SerialSource>(io, config, "scale", intake);
    source->start();
    REQUIRE(source->is_open());
  }
  // As a device that was silent for a while.
  void say(const std::string& bytes) {
    const auto quiet = std::chrono::steady_clock::now() + std::chrono::milliseconds(config.idle_gap_ms + 5);
    REQUIRE(run_until(io, [&] { return std::chrono::steady_clock::now() > quiet; }));
    std::string_view left = bytes;
    REQUIRE(run_until(io, [&] {
      left.remove_prefix(cable.offer(left));
      return left.empty();
    }));
  }
  bool until_lines(std::size_t count) {
    return run_until(io, [&] { return intake.accepted.size() >= count; });
  }
  bool until_counted(const std::string& what, std::uint64_t count = 1) {
    return run_until(io, [&] { return intake.counts[what] >= count; });
  }

  boost::asio::io_context io;
  FakeIntake intake;
  PtyPair cable;
  config::SerialSource config;
  std::unique_ptr<SerialSource> source;
};

}  // namespace

TEST_CASE("serial: the lines of a device arrive, with the port as their topic") {
  Port p;
  p.start();
  p.say("ST,GS,+0012.50 kg\r\nST,GS,+0012.55 kg\r\n");
  REQUIRE(p.until_lines(2));
  CHECK(p.intake.payloads() == Lines{"ST,GS,+0012.50 kg", "ST,GS,+0012.55 kg"});
  CHECK(p.intake.accepted[0].topic == p.cable.port());
  CHECK_THAT(p.source->state(), ContainsSubstring("(9600 8N1), 2 frames"));
}

TEST_CASE("serial: every setting reaches the port") {
  Port p;
  p.config.baud = 115'200;
  p.config.stop_bits = 2;
  p.config.flow = config::SerialSource::Flow::software;
  p.start();
  const int port = ::open(p.cable.port().c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);  // as root; others are kept out by TIOCEXCL
  if (port < 0) {
    CHECK(errno == EBUSY);
    return;
  }
  termios set{};
  REQUIRE(::tcgetattr(port, &set) == 0);
  CHECK(::cfgetispeed(&set) == B115200);
  CHECK((set.c_cflag & CSTOPB) != 0);
  CHECK((set.c_iflag & IXON) != 0);
  CHECK((set.c_lflag & (ICANON | ECHO | ISIG)) == 0);
  ::close(port);
}

TEST_CASE("serial: a setting that the port does not have is said, and not gone without") {
  Port p;
  p.config.data_bits = 7;  // a pseudo terminal has 8
  p.source = std::make_unique<SerialSource>(p.io, p.config, "scale", p.intake);
  p.source->start();
  CHECK_FALSE(p.source->is_open());
  CHECK_THAT(p.source->state(), ContainsSubstring("does not take its data bits (9600 7N1)"));
}

TEST_CASE("serial: a port that somebody else has locked is waited for, and a second source of it is refused") {
  Port p;
  const int other = ::open(p.cable.port().c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  REQUIRE(::flock(other, LOCK_EX | LOCK_NB) == 0);
  p.source = std::make_unique<SerialSource>(p.io, p.config, "scale", p.intake);
  p.source->start();
  CHECK_FALSE(p.source->is_open());
  CHECK_THAT(p.source->state(), ContainsSubstring("locked by another"));
  ::close(other);
  REQUIRE(run_until(p.io, [&] { return p.source->is_open(); }));
  SerialSource second(p.io, p.config, "second", p.intake);
  second.start();
  CHECK_FALSE(second.is_open());
  p.say("x\n");
  REQUIRE(p.until_lines(1));
}

TEST_CASE("serial: a port that somebody else has locked keeps its settings, and what waits in it") {
  Port p;
  const int holder = ::open(p.cable.port().c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  REQUIRE(::flock(holder, LOCK_EX | LOCK_NB) == 0);
  termios before{}, after{};
  REQUIRE(::tcgetattr(holder, &before) == 0);
  before.c_iflag |= IXON;
  REQUIRE(::tcsetattr(holder, TCSANOW, &before) == 0);
  const auto unread = [holder] {
    int bytes = 0;
    return ::ioctl(holder, FIONREAD, &bytes) == 0 ? bytes : -1;
  };
  p.cable.say("first\n");
  REQUIRE(run_until(p.io, [&] { return unread() == 6; }));
  p.source = std::make_unique<SerialSource>(p.io, p.config, "scale", p.intake);
  p.source->start();
  p.cable.say("second\n");
  const auto tried_again = std::chrono::steady_clock::now() + std::chrono::milliseconds(600);
  REQUIRE(run_until(p.io, [&] { return std::chrono::steady_clock::now() > tried_again && unread() >= 13; }, std::chrono::seconds(10)));
  p.source->stop();
  std::array<char, 64> bytes{};
  const auto got = ::read(holder, bytes.data(), bytes.size());
  CHECK(std::string(bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))) == "first\nsecond\n");
  REQUIRE(::tcgetattr(holder, &after) == 0);
  CHECK(after.c_iflag == before.c_iflag);
  CHECK(after.c_oflag == before.c_oflag);
  CHECK(after.c_cflag == before.c_cflag);
  CHECK(after.c_lflag == before.c_lflag);
  ::close(holder);
}

TEST_CASE("serial: a device that is pulled out is opened again by its path when it is back") {
  Port p;
  p.start();
  p.say("a\nhalf");
  REQUIRE(p.until_lines(1));
  p.cable.pull_out();
  REQUIRE(p.until_counted("device_lost"));
  CHECK_THAT(p.source->state(), ContainsSubstring("is gone"));
  CHECK(p.intake.counts["incomplete_frame"] == 1);
  REQUIRE(run_until(p.io, [&] { return p.source->state().find("cannot open") != std::string::npos; }));
  p.cable.plug_in();
  REQUIRE(run_until(p.io, [&] { return p.source->is_open(); }));
  p.say("b\n");
  REQUIRE(p.until_lines(2));
  CHECK(p.intake.payloads() == Lines{"a", "b"});
  CHECK(p.intake.counts["device_lost"] == 1);
}

TEST_CASE("serial: a device that is not there at the start is waited for") {
  Port p;
  p.cable.pull_out();
  p.source = std::make_unique<SerialSource>(p.io, p.config, "scale", p.intake);
  p.source->start();
  CHECK_THAT(p.source->state(), ContainsSubstring("is it plugged in?"));
  CHECK(p.source->in_trouble());
  p.cable.plug_in();
  REQUIRE(run_until(p.io, [&] { return p.source->is_open(); }));
  CHECK_FALSE(p.source->in_trouble());
  p.say("a\n");
  REQUIRE(p.until_lines(1));
}

TEST_CASE("serial: what is no serial port is said to be none") {
  Port p;
  for (const std::string& path : {std::string("/dev/null"), std::string("/tmp"), std::string("/dev/zero")}) {
    p.config.device = path;
    SerialSource source(p.io, p.config, "scale", p.intake);
    source.start();
    CHECK_FALSE(source.is_open());
    CHECK_THAT(source.state(), ContainsSubstring("cannot open " + path));
  }
}

TEST_CASE("serial: garbage, overlong lines and NUL bytes do no harm") {
  Port p;
  p.config.max_line_bytes = 100;
  p.start();
  std::string garbage;
  for (int i = 0; i < 30'000; ++i) garbage += static_cast<char>((i * 7919 + i / 256) % 256 == '\n' ? 'x' : (i * 7919 + i / 256) % 256);
  p.say(garbage + "\n" + std::string("a\0b\n", 4));
  REQUIRE(p.until_lines(1));
  CHECK(p.intake.accepted.back().payload == std::string("a\0b", 3));
  CHECK(p.intake.counts["line_too_long"] == 1);
}

TEST_CASE("serial: fixed frames of a device with a start sequence") {
  Port p;
  p.config.fixed = true;
  p.config.length = 6;
  p.config.start = "\x42\x4d";
  p.start();
  p.say("??\x42\x4d" "abcd\x42\x4d" "efgh");
  REQUIRE(p.until_lines(2));
  CHECK(p.intake.payloads() == Lines{"\x42\x4d" "abcd", "\x42\x4d" "efgh"});
  CHECK(p.intake.counts["bytes_left_out"] == 2);
}

TEST_CASE("serial: a device that answers when it is asked") {
  Port p;
  p.config.poll = config::SerialSource::Poll{"P\r", 10};
  p.config.delimiter = "\r";
  p.start();
  std::string heard;
  REQUIRE(run_until(p.io, [&] { return (heard += p.cable.heard()).find("P\r") != std::string::npos; }));
  p.cable.say("12.5\r");  // at once: it is an answer, and whole
  REQUIRE(p.until_lines(1));
  CHECK(p.intake.payloads() == Lines{"12.5"});
  REQUIRE(p.until_counted("poll_unanswered", 2));
  REQUIRE(run_until(p.io, [&] { return (heard += p.cable.heard()).find("P\rP\rP\r") != std::string::npos; }));
}

TEST_CASE("serial: a device that takes no requests holds up neither the agent nor its own lines") {
  Port p;
  p.config.poll = config::SerialSource::Poll{std::string(256, 'x'), 10};
  p.start();  // nobody reads them: socat's and the kernel's buffers fill
  REQUIRE(p.until_counted("poll_unanswered", 5));
  p.cable.say("still here\n");
  REQUIRE(p.until_lines(1));
  p.source->stop();
  CHECK(p.source->state() == "stopped");
}

TEST_CASE("serial: without room nothing is read, and what was read waits whole") {
  Port p;
  p.start();
  p.intake.room_up_to = 2;
  p.say("a\nb\nc\nd\n");
  REQUIRE(p.until_lines(2));
  run_ready(p.io);
  p.cable.say("e\n");
  run_ready(p.io);
  CHECK(p.intake.payloads() == Lines{"a", "b"});
  p.intake.room_up_to = 3;
  p.source->on_room();
  run_ready(p.io);
  CHECK(p.intake.payloads() == Lines{"a", "b", "c"});
  p.intake.room_up_to = SIZE_MAX;
  p.source->on_room();
  REQUIRE(p.until_lines(5));
  CHECK(p.intake.payloads() == Lines{"a", "b", "c", "d", "e"});
}

TEST_CASE("serial: csv has its names in the first line") {
  Port p;
  p.config.first_line_names = true;
  p.start();
  p.say("n,v\n1,2\n");
  REQUIRE(p.until_lines(1));
  CHECK(p.intake.accepted[0].first_line == "n,v");
}

TEST_CASE("serial: a stopped source lets go of the port, and takes nothing more in") {
  Port p;
  p.start();
  p.say("a\n");
  REQUIRE(p.until_lines(1));
  p.source->stop();
  p.cable.say("b\n");
  run_ready(p.io);
  CHECK(p.intake.accepted.size() == 1);
  const int other = ::open(p.cable.port().c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  REQUIRE(other >= 0);
  CHECK(::flock(other, LOCK_EX | LOCK_NB) == 0);
  ::close(other);
}

TEST_CASE("serial: a crash loses what was read and not committed, and nothing that was") {
  Port p;
  p.start();
  p.say("1\n2\n");
  REQUIRE(p.until_lines(2));
  p.intake.commit(*p.source);
  p.cable.say("3\n");
  REQUIRE(p.until_lines(3));
  auto next = p.intake.after_crash();
  p.source.reset();
  SerialSource again(p.io, p.config, "scale", *next);
  again.start();
  p.say("4\n");
  REQUIRE(run_until(p.io, [&] { return next->accepted.size() == 3; }));
  CHECK(next->payloads() == Lines{"1", "2", "4"});  // 3 is gone: as the guarantee says
  CHECK(source::describe_guarantee(p.config).find("at most once") == 0);
}
