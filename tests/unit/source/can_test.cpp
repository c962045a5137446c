// The can source over a socket of messages in the place of the kernel's (this kernel may have no CAN); over vcan where it has one.
#include "agent/source/can/can_source.h"

#include <linux/can/error.h>
#include <linux/can/raw.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/ip/udp.hpp>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "agent/config/config.h"
#include "agent/source/can/signals.h"
#include "tests/support/catch.h"
#include "tests/support/fake_intake.h"
#include "tests/support/run_until.h"

using namespace rivulet;
using namespace rivulet::test;
using boost::asio::ip::udp;
using Signal = config::CanSource::Signal;

namespace {

Signal signal(const std::string& field, unsigned start, unsigned length, const char* scale = "1", const char* offset = "0") {
  Signal one;
  one.field = field;
  one.start = start;
  one.length = length;
  one.linear = *config::linear_of(scale, offset);
  return one;
}

// Engine: rpm and coolant as J1939's EEC1 and ET1 have them; mode: multiplexed.
config::CanSource vehicle() {
  config::CanSource config;
  config.interface = "can0";
  config.receive_buffer_bytes = 64 << 10;
  config.messages.push_back({"engine", 0x0CF00400, true, {signal("rpm", 24, 16, "0.125"), signal("coolant", 40, 8, "1", "-40")}, std::nullopt});
  config.messages.push_back({"mode", 0x123, false, {signal("page", 0, 8), signal("speed", 8, 16, "0.01"), signal("range", 8, 16)}, 0});
  config.messages[1].signals[1].when = 1;
  config.messages[1].signals[2].when = 2;
  return config;
}

can_frame frame(canid_t id, const std::vector<std::uint8_t>& data) {
  can_frame one{};
  one.can_id = id;
  one.can_dlc = static_cast<std::uint8_t>(data.size());
  std::copy(data.begin(), data.end(), one.data);
  return one;
}

// A bus of datagrams: what is sent is what the source's socket receives, with the kernel's time and count of drops.
struct Bus {
  explicit Bus(config::CanSource configured = vehicle(), bool is_present = true)
      : config(std::move(configured)), present(is_present), source(io, config, "vehicle", intake, [this](const config::CanSource& of, const std::string& name) { return open(of, name); }) {
    source.start();
  }
  result<int> open(const config::CanSource& of, const std::string& name) {
    ++opened;
    if (!present) return Error{ErrorCode::unavailable, "can: can0: there is no such interface"};
    socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    source::can::set_receiving(socket, of, name);
    const udp::endpoint any(boost::asio::ip::make_address("127.0.0.1"), 0);
    ::bind(socket, any.data(), static_cast<socklen_t>(any.size()));
    socklen_t size = static_cast<socklen_t>(to.capacity());
    ::getsockname(socket, to.data(), &size);
    return socket;
  }
  // An error of the socket, as there is one when an adapter is pulled out: it sends to a port that nobody has.
  void fail_reading() {
    udp::socket nobody(io, udp::endpoint(boost::asio::ip::make_address("127.0.0.1"), 0));
    const auto port = nobody.local_endpoint();
    nobody.close();
    REQUIRE(::connect(socket, port.data(), static_cast<socklen_t>(port.size())) == 0);
    REQUIRE(::send(socket, "x", 1, 0) == 1);
  }
  template <class Frame>
  void send(const Frame& one) {
    send_bytes({reinterpret_cast<const char*>(&one), sizeof one});
  }
  void send_bytes(std::string_view bytes) { sender.send_to(boost::asio::buffer(bytes), to); }
  bool received(std::size_t count) {
    return run_until(io, [&] { return intake.accepted.size() >= count; }) && intake.accepted.size() == count;
  }
  bool counted(const std::string& what, std::uint64_t count) {
    return run_until(io, [&] { return intake.counts[what] >= count; }) && intake.counts[what] == count;
  }

  boost::asio::io_context io;
  FakeIntake intake;
  config::CanSource config;
  udp::socket sender{io, udp::endpoint(boost::asio::ip::make_address("127.0.0.1"), 0)};
  udp::endpoint to;
  bool present;
  int opened = 0, socket = -1;
  source::CanSource source;
};

const can_frame kEngine = frame(0x0CF00400 | CAN_EFF_FLAG, {0, 0, 0, 0x68, 0x13, 130, 0, 0});

}  // namespace

TEST_CASE("can: a frame whose id is known is a record of its signals, with the kernel's time of arrival") {
  Bus bus;
  const auto before = SystemClock().wall_ms();
  bus.send(kEngine);
  REQUIRE(bus.received(1));
  CHECK(bus.intake.accepted[0].payload == R"({"message":"engine","rpm":621.0,"coolant":90})");
  CHECK(bus.intake.accepted[0].topic == "engine");
  CHECK(*bus.intake.accepted[0].timestamp_ms >= before);
  CHECK(*bus.intake.accepted[0].timestamp_ms <= SystemClock().wall_ms());
  CHECK_THAT(bus.source.state(), ContainsSubstring("listening on can0, 1 frames"));
}

// The records are the ones that e2e's commands.py sends through the pipelines of the same file.
TEST_CASE("can: config/can-vehicle.yaml reads a truck's frames, with what J1939 sends in the place of a value") {
  const auto loaded = config::load(std::string(RIVULET_SOURCE_DIR) + "/config/can-vehicle.yaml");
  REQUIRE(loaded.ok());
  Bus bus(std::get<config::CanSource>(loaded.config.sources.at(0).type));
  constexpr canid_t kCcvs = 0x18FEF100 | CAN_EFF_FLAG, kEec1 = 0x0CF00400 | CAN_EFF_FLAG, kEt1 = 0x18FEEE00 | CAN_EFF_FLAG;
  const std::vector<can_frame> frames = {
      frame(kEec1, {0xF0, 0x7D, 0x87, 0x54, 0x2D, 0x00, 0xFF, 0xFF}), frame(kCcvs, {0xFF, 0x40, 0x52, 0xCF, 0xFF, 0xFF, 0xFF, 0xFF}),
      frame(kEt1, {0x80, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}),  frame(kEec1, {0xF0, 0x7D, 0x87, 0xE0, 0x2E, 0x00, 0xFF, 0xFF}),
      frame(kCcvs, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}), frame(kEt1, {0x92, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}),
      frame(kEt1, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}),  frame(kEt1, {0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}),
      frame(kEec1, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}), frame(kEec1, {0xFF, 0xFF, 0xFF, 0x00, 0xFE, 0xFF, 0xFF, 0xFF}),
      frame(kCcvs, {0xFF, 0xC0, 0x50, 0xDF, 0xFF, 0xFF, 0xFF, 0xFF})};
  bus.send(frame(0x18FEF200 | CAN_EFF_FLAG, {1, 2, 3, 4, 5, 6, 7, 8}));  // fuel economy: not asked for
  for (const can_frame& each : frames) bus.send(each);
  REQUIRE(bus.received(frames.size()));
  std::vector<std::string> wanted;
  std::ifstream given(std::string(RIVULET_SOURCE_DIR) + "/tests/e2e/examples/can-vehicle.in.jsonl");
  for (std::string line; std::getline(given, line);)
    if (const auto from = line.find(R"("value":)"), to = line.find(R"(,"ts":)"); from != std::string::npos) wanted.push_back(line.substr(from + 8, to - from - 8));
  CHECK(bus.intake.payloads() == wanted);
  CHECK(bus.intake.counts["unmapped"] == 1);
}

TEST_CASE("can: the time is that of arrival, not that at which there was room") {
  Bus bus;
  // The kernel begins to note times a moment after the first socket asks for them.
  const bool noted = run_until(bus.io, [&] {
    const std::size_t before = bus.intake.accepted.size();
    bus.intake.room_up_to = before;
    bus.send(kEngine);
    const auto sent = SystemClock().wall_ms();
    run_until(bus.io, [&] { return SystemClock().wall_ms() > sent + 20; });
    bus.intake.room_up_to = SIZE_MAX;
    bus.source.on_room();
    REQUIRE(bus.received(before + 1));
    return *bus.intake.accepted.back().timestamp_ms <= sent;
  });
  CHECK(noted);
}

TEST_CASE("can: a multiplexor selects the signals that are there") {
  Bus bus;
  bus.send(frame(0x123, {1, 0x10, 0x27}));
  bus.send(frame(0x123, {2, 0x10, 0x27}));
  bus.send(frame(0x123, {3, 0x10, 0x27}));
  REQUIRE(bus.received(3));
  CHECK(bus.intake.payloads() == std::vector<std::string>{R"({"message":"mode","page":1,"speed":100.0})", R"({"message":"mode","page":2,"range":10000})", R"({"message":"mode","page":3})"});
}

TEST_CASE("can: a frame that is too short for a signal gives null for it, counted") {
  Bus bus;
  bus.send(frame(0x0CF00400 | CAN_EFF_FLAG, {0, 0, 0, 0x68, 0x13}));
  bus.send(frame(0x0CF00400 | CAN_EFF_FLAG, {}));
  bus.send(frame(0x123, {}));
  REQUIRE(bus.received(3));
  CHECK(bus.intake.payloads() == std::vector<std::string>{R"({"message":"engine","rpm":621.0,"coolant":null})", R"({"message":"engine","rpm":null,"coolant":null})", R"({"message":"mode","page":null})"});
  CHECK(bus.intake.counts["frame_too_short"] == 3);
}

TEST_CASE("can: frames that are not mapped are counted, or records of their bytes") {
  Bus bus;
  bus.send(frame(0x0CF00400 & CAN_SFF_MASK, {1}));  // the same number without its flag is another id
  bus.send(frame(0x123 | CAN_EFF_FLAG, {1}));
  REQUIRE(bus.counted("unmapped", 2));
  auto raw = vehicle();
  raw.unmapped = config::CanSource::Unmapped::raw;
  Bus other(raw);
  other.send(frame(0x7FF, {0xDE, 0xAD, 0x00, 0xFF}));
  other.send(frame(0x1FFFFFFF | CAN_EFF_FLAG, {}));
  REQUIRE(other.received(2));
  CHECK(other.intake.payloads() == std::vector<std::string>{R"({"id":2047,"extended":false,"data":"dead00ff"})", R"({"id":536870911,"extended":true,"data":""})"});
}

TEST_CASE("can: a CAN FD frame has up to 64 bytes") {
  auto config = vehicle();
  config.fd = true;
  config.messages.push_back({"long", 0x200, false, {signal("last", 504, 8)}, std::nullopt});
  Bus bus(config);
  canfd_frame one{};
  one.can_id = 0x200;
  one.len = 64;
  one.data[63] = 77;
  bus.send(one);
  REQUIRE(bus.received(1));
  CHECK(bus.intake.accepted[0].payload == R"({"message":"long","last":77})");
}

TEST_CASE("can: remote frames are counted, error frames by what they say") {
  Bus bus;
  bus.send(frame(0x123 | CAN_RTR_FLAG, {}));
  bus.send(frame(CAN_ERR_FLAG | CAN_ERR_BUSOFF, {0, 0, 0, 0, 0, 0, 0, 0}));
  bus.send(frame(CAN_ERR_FLAG | CAN_ERR_CRTL, {0, CAN_ERR_CRTL_RX_OVERFLOW, 0, 0, 0, 0, 0, 0}));
  bus.send(frame(CAN_ERR_FLAG | CAN_ERR_CRTL, {0, CAN_ERR_CRTL_TX_PASSIVE, 0, 0, 0, 0, 0, 0}));
  bus.send(frame(CAN_ERR_FLAG | CAN_ERR_RESTARTED, {0, 0, 0, 0, 0, 0, 0, 0}));
  bus.send(frame(CAN_ERR_FLAG | CAN_ERR_ACK, {0, 0, 0, 0, 0, 0, 0, 0}));
  REQUIRE(bus.counted("error_frames", 5));
  CHECK(bus.intake.accepted.empty());
  for (const char* what : {"remote_frames", "bus_off", "controller_overflow", "error_passive", "restarted"}) CHECK(bus.intake.counts[what] == 1);
}

TEST_CASE("can: what is no frame is counted, and those around it are read") {
  Bus bus;
  auto longer = frame(0x123, {1, 0, 0});
  longer.can_dlc = 200;
  bus.send_bytes("");
  bus.send_bytes("abc");
  bus.send_bytes(std::string(300, 'x'));
  bus.send(longer);
  canfd_frame too_long{};
  too_long.can_id = 0x123;
  too_long.len = 255;
  bus.send(too_long);
  bus.send(kEngine);
  REQUIRE(bus.received(1));
  CHECK(bus.intake.counts["frame_malformed"] == 5);
}

TEST_CASE("can: without room nothing is read, and what the kernel drops meanwhile is counted") {
  Bus bus;
  bus.intake.room_up_to = 0;
  constexpr std::size_t kSent = 2000;
  for (std::size_t i = 0; i < kSent; ++i) bus.send(kEngine);
  run_ready(bus.io);
  CHECK(bus.intake.accepted.empty());
  bus.intake.room_up_to = SIZE_MAX;
  bus.source.on_room();
  run_ready(bus.io);
  const std::size_t kept = bus.intake.accepted.size();
  CHECK(kept > 0);
  CHECK(kept < kSent);
  bus.send(kEngine);  // the count of drops comes with the next frame
  REQUIRE(bus.received(kept + 1));
  CHECK(bus.intake.counts["dropped_by_kernel"] == kSent - kept);
}

TEST_CASE("can: what was accepted and not committed is gone after a crash: at most once, as explain says") {
  Bus bus;
  bus.send(kEngine);
  REQUIRE(bus.received(1));
  bus.intake.commit(bus.source);
  bus.send(kEngine);
  REQUIRE(bus.received(2));
  CHECK(bus.intake.after_crash()->accepted.size() == 1);
  CHECK_THAT(source::describe_guarantee(bus.config), ContainsSubstring("at most once"));
}

TEST_CASE("can: an interface that is not there is looked for again, and one that is taken away as well") {
  Bus bus(vehicle(), false);
  CHECK_THAT(bus.source.state(), ContainsSubstring("no such interface"));
  CHECK(bus.source.in_trouble());
  bus.present = true;
  REQUIRE(run_until(bus.io, [&] { return bus.source.state().find("listening") == 0; }));
  CHECK_FALSE(bus.source.in_trouble());
  bus.fail_reading();
  REQUIRE(run_until(bus.io, [&] { return bus.source.state().find("can: can0: ") == 0; }));
  REQUIRE(run_until(bus.io, [&] { return bus.source.state().find("listening") == 0; }));
  CHECK(bus.opened == 3);
  bus.send(kEngine);
  REQUIRE(bus.received(1));
}

TEST_CASE("can: after stop nothing more is taken, and a source that is destroyed leaves no handler behind") {
  auto bus = std::make_unique<Bus>();
  bus->send(kEngine);
  bus->source.stop();
  run_ready(bus->io);
  CHECK(bus->intake.accepted.empty());
  CHECK(bus->source.state() == "stopped");
}

TEST_CASE("can: over the kernel's vcan, its filters, and down and up again") {
  const int made = std::system("(ip link add dev rvcan0 type vcan && ip link set rvcan0 mtu 72 && ip link set rvcan0 up) >/dev/null 2>&1");
  const int sending = ::socket(PF_CAN, SOCK_RAW | SOCK_CLOEXEC, CAN_RAW);
  if (made != 0 || sending < 0) {
    if (sending >= 0) ::close(sending);
    WARN("skipped: this kernel has no vcan, or this user may not make one");
    return;
  }
  sockaddr_can address{};
  address.can_family = AF_CAN;
  address.can_ifindex = static_cast<int>(::if_nametoindex("rvcan0"));
  REQUIRE(::bind(sending, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  const auto send = [&](const can_frame& one) {
    int down = 0;  // this socket was told so, too
    socklen_t size = sizeof down;
    ::getsockopt(sending, SOL_SOCKET, SO_ERROR, &down, &size);
    REQUIRE(::write(sending, &one, sizeof one) == static_cast<ssize_t>(sizeof one));
  };
  auto config = vehicle();
  config.interface = "rvcan0";
  config.unmapped = config::CanSource::Unmapped::ignore;
  boost::asio::io_context io;
  FakeIntake intake;
  source::CanSource source(io, config, "vehicle", intake);
  source.start();
  send(frame(0x124, {1}));
  send(frame(0x123 | CAN_EFF_FLAG, {1}));
  send(kEngine);
  REQUIRE(run_until(io, [&] { return intake.accepted.size() == 1; }));
  CHECK(intake.counts["unmapped"] == 0);  // the kernel left them out
  CHECK(intake.accepted[0].payload == R"({"message":"engine","rpm":621.0,"coolant":90})");
  REQUIRE(std::system("ip link set rvcan0 down") == 0);
  REQUIRE(run_until(io, [&] { return intake.counts["interface_down"] == 1; }));
  CHECK_THAT(source.state(), ContainsSubstring("rvcan0 is down"));
  REQUIRE(std::system("ip link set rvcan0 up") == 0);
  send(kEngine);
  REQUIRE(run_until(io, [&] { return intake.accepted.size() == 2; }));
  CHECK_THAT(source.state(), ContainsSubstring("listening"));
  REQUIRE(std::system("ip link del rvcan0") == 0);
  REQUIRE(run_until(io, [&] { return source.state().find("No such device") != std::string::npos || source.state().find("no such interface") != std::string::npos; }));
  REQUIRE(std::system("ip link add dev rvcan0 type vcan && ip link set rvcan0 up") == 0);
  REQUIRE(run_until(io, [&] { return source.state().find("listening") == 0; }));
  ::close(sending);
  CHECK(std::system("ip link del rvcan0") == 0);
}
