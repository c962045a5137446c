// The modbus source against slaves whose answers are in the test's hand; against a real server: tests/integration/modbus.
#include "agent/source/modbus/modbus_source.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <latch>
#include <list>
#include <set>

#include "tests/support/catch.h"
#include "tests/support/fake_intake.h"
#include "tests/support/modbus_slave.h"
#include "tests/support/run_until.h"

using namespace rivulet;
using namespace rivulet::test;
using namespace std::chrono_literals;
using Kind = config::ModbusSource::Kind;
using Steady = std::chrono::steady_clock;

namespace {

config::ModbusSource::Bus tcp_bus(std::uint16_t port) { return {std::nullopt, "127.0.0.1", port}; }
config::ModbusSource::Bus serial_bus(const std::string& device) { return {config::ModbusSource::Rtu{device, 115'200, 'N', 1, false}, "", 0}; }

config::ModbusSource::Register number(const std::string& field, std::uint16_t address, Kind kind = Kind::holding) {
  config::ModbusSource::Register one;
  one.field = field;
  one.kind = kind;
  one.address = address;
  if (kind == Kind::coil || kind == Kind::discrete) one.type = config::ModbusSource::Type::boolean;
  return one;
}

// A slave on each bus, polled each `interval_ms`; its registers a (0) and b (1).
config::ModbusSource polling(std::vector<config::ModbusSource::Bus> buses, std::int64_t interval_ms = 20, std::int64_t timeout_ms = 10'000) {
  config::ModbusSource config;
  config.buses = std::move(buses);
  config.timeout_ms = timeout_ms;
  auto& group = config.groups.emplace_back();
  group.name = "g";
  group.interval_ms = interval_ms;
  group.registers = {number("a", 0), number("b", 1)};
  for (std::size_t i = 0; i < config.buses.size(); ++i) {
    config.slaves.push_back({"s" + std::to_string(i), i, 1});
    group.slaves.push_back(i);
  }
  return config;
}

struct Polls {
  explicit Polls(const config::ModbusSource& config) : source(std::make_unique<source::ModbusSource>(io, config, "meters", intake)) { source->start(); }
  bool until(const std::function<bool()>& condition) { return run_until(io, condition); }
  bool records(std::size_t count) {
    return until([&] { return intake.accepted.size() >= count; });
  }
  std::size_t of(const std::string& slave) const {
    std::size_t count = 0;
    for (const auto& one : intake.accepted) count += one.topic.rfind(slave + "/", 0) == 0 ? 1U : 0U;
    return count;
  }
  std::uint64_t counted(const std::string& what) const {
    const auto found = intake.counts.find(what);
    return found == intake.counts.end() ? 0 : found->second;
  }

  boost::asio::io_context io;
  FakeIntake intake;
  std::unique_ptr<source::ModbusSource> source;
};

ModbusReply values(const ModbusAsked& asked) {
  return modbus_values(asked, [](std::uint16_t address) { return static_cast<std::uint16_t>(address + 10); });
}

}  // namespace

TEST_CASE("modbus: each poll of a group is a record, with the slave's and the group's name, and the time of the answer") {
  TcpSlave slave(values);
  const auto before = SystemClock().wall_ms();
  Polls polls(polling({tcp_bus(slave.port())}));
  REQUIRE(polls.records(3));
  CHECK(polls.intake.accepted[0].payload == R"({"slave":"s0","group":"g","a":10,"b":11})");
  CHECK(polls.intake.accepted[0].topic == "s0/g");
  CHECK(*polls.intake.accepted[0].timestamp_ms >= before);
  CHECK(*polls.intake.accepted[2].timestamp_ms <= SystemClock().wall_ms());
  CHECK(slave.asked()[0] == ModbusAsked{1, 3, 0, 2, ""});
  CHECK(slave.connections() == 1);
  CHECK_THAT(polls.source->state(), ContainsSubstring("1 of 1 slaves answer"));
}

TEST_CASE("modbus: the four tables are read by their functions, several groups each at its interval") {
  TcpSlave slave(values);
  auto config = polling({tcp_bus(slave.port())});
  config.slave_field = config.group_field = "";
  config.groups[0].registers = {number("c", 0, Kind::coil), number("d", 3, Kind::discrete), number("i", 5, Kind::input), number("h", 6)};
  config.groups.push_back({"slow", 3'600'000, {number("x", 40)}, {0}});
  Polls polls(config);
  REQUIRE(polls.records(5));
  CHECK(polls.intake.accepted[0].payload == R"({"c":false,"d":true,"i":15,"h":16})");
  std::set<int> functions;
  for (const auto& one : slave.asked()) functions.insert(one.function);
  CHECK(functions == std::set<int>{1, 2, 3, 4});
  CHECK(std::count_if(polls.intake.accepted.begin(), polls.intake.accepted.end(), [](const auto& one) { return one.payload == R"({"x":50})"; }) == 1);
}

TEST_CASE("modbus: a dead slave delays no other, and is asked seldom") {
  TcpSlave well(values);
  {
    TcpSlave dead([](const ModbusAsked&) { return std::nullopt; });
    Polls polls(polling({tcp_bus(dead.port()), tcp_bus(well.port())}, 20, 60'000));
    REQUIRE(polls.until([&] { return !dead.asked().empty(); }));
    REQUIRE(polls.until([&] { return polls.of("s1") >= 30; }));
    CHECK(polls.counted("timeouts") == 0);  // its answer is waited for still
  }
  TcpSlave dead([](const ModbusAsked&) { return std::nullopt; });
  Polls polls(polling({tcp_bus(dead.port()), tcp_bus(well.port())}, 20, 1000));
  REQUIRE(polls.until([&] { return polls.counted("polls_paused") > 0 && polls.of("s1") > 0 && dead.asked().size() == 2; }));  // 1 s of waiting, 1 s of pause
  CHECK(polls.of("s0") == 0);
  CHECK_THAT(polls.source->state(), ContainsSubstring("1 of 2 slaves answer") && ContainsSubstring("s0: no answer within 1000 ms (unit 1, group g)"));
  CHECK_FALSE(polls.source->in_trouble());
}

TEST_CASE("modbus: an answer that comes after its time is never taken for the next one's") {
  std::latch timed_out(1);
  std::atomic<int> asked = 0;
  TcpSlave slave([&](const ModbusAsked& one) {
    if (++asked > 1) return std::optional(values(one));
    timed_out.wait();
    return std::optional(modbus_values(one, [](std::uint16_t) { return std::uint16_t{666}; }));
  });
  Polls polls(polling({tcp_bus(slave.port())}, 20, 2'000));
  REQUIRE(polls.until([&] { return polls.counted("timeouts") == 1; }));
  timed_out.count_down();
  REQUIRE(polls.records(5));
  for (const auto& one : polls.intake.accepted) CHECK(one.payload == R"({"slave":"s0","group":"g","a":10,"b":11})");
  CHECK(slave.connections() == 2);
}

TEST_CASE("modbus: a slave that sends a byte now and then holds its poll no longer than the timeout") {
  TcpSlave slave([](const ModbusAsked& one) { return std::optional(ModbusReply{std::string{static_cast<char>(one.function), 120} + std::string(120, '\0'), false, true}); });  // 6 s long
  auto config = polling({tcp_bus(slave.port())}, 20, 300);
  config.groups[0].registers = {number("a", 0), number("b", 59)};
  config.gap = 60;
  Polls polls(config);
  const auto begin = Steady::now();
  REQUIRE(polls.until([&] { return polls.counted("timeouts") == 1; }));
  CHECK(Steady::now() - begin < 5s);
  CHECK(polls.intake.accepted.empty());
}

TEST_CASE("modbus: half an answer is no answer") {
  TcpSlave slave([](const ModbusAsked& one) { return std::optional(ModbusReply{one.transaction + std::string("\0\x07\x01\x03", 4), true}); });
  Polls polls(polling({tcp_bus(slave.port())}, 20, 300));
  REQUIRE(polls.until([&] { return polls.counted("timeouts") == 1; }));
  CHECK(polls.intake.accepted.empty());
}

TEST_CASE("modbus: an exception is counted with its code, its fields are null and the others are read") {
  TcpSlave slave([](const ModbusAsked& one) { return std::optional(one.address == 40 ? modbus_exception(one, 4) : values(one)); });
  auto config = polling({tcp_bus(slave.port())});
  config.groups[0].registers.push_back(number("c", 40));
  Polls polls(config);
  REQUIRE(polls.records(2));
  CHECK(polls.intake.accepted[0].payload == R"({"slave":"s0","group":"g","a":10,"b":11,"c":null})");
  CHECK(polls.counted("exceptions") >= 2);
  CHECK(polls.counted("exception_4") == polls.counted("exceptions"));
  CHECK(polls.counted("polls_failed") == 0);
  CHECK(slave.connections() == 1);
}

TEST_CASE("modbus: a register that is not there costs the others of its request a few polls, then only itself") {
  TcpSlave slave([](const ModbusAsked& one) { return std::optional(one.address <= 5 && 5 < one.address + one.count ? modbus_exception(one, 2) : values(one)); });
  auto config = polling({tcp_bus(slave.port())});
  for (std::uint16_t address = 2; address < 16; ++address) config.groups[0].registers.push_back(number("r" + std::to_string(address), address));
  Polls polls(config);
  REQUIRE(polls.until([&] { return polls.intake.accepted.size() > 8; }));
  const std::string last = polls.intake.accepted.back().payload;
  CHECK(last == R"({"slave":"s0","group":"g","a":10,"b":11,"r2":12,"r3":13,"r4":14,"r5":null,"r6":16,"r7":17,"r8":18,"r9":19,"r10":20,"r11":21,"r12":22,"r13":23,"r14":24,"r15":25})");
  CHECK(polls.counted("polls_failed") == 1);  // the first: all were in one request
}

TEST_CASE("modbus: a poll whose every request is refused is no record") {
  TcpSlave slave([](const ModbusAsked& one) { return std::optional(modbus_exception(one, 1)); });
  Polls polls(polling({tcp_bus(slave.port())}));
  REQUIRE(polls.until([&] { return polls.counted("polls_failed") >= 3; }));
  CHECK(polls.intake.accepted.empty());
  CHECK(polls.counted("exception_1") >= 3);
  CHECK_THAT(polls.source->state(), ContainsSubstring("exception 1 (illegal function)"));
}

TEST_CASE("modbus: a gateway that says a unit is silent leaves its other units as they are") {
  TcpSlave slave([](const ModbusAsked& one) { return std::optional(one.unit == 9 ? modbus_exception(one, 11) : values(one)); });
  auto config = polling({tcp_bus(slave.port())});
  config.slaves.push_back({"silent", 0, 9});
  config.groups[0].slaves.push_back(1);
  Polls polls(config);
  REQUIRE(polls.records(20));
  CHECK(polls.of("silent") == 0);
  CHECK(polls.counted("polls_paused") > 0);
  CHECK(slave.connections() == 1);
}

TEST_CASE("modbus: answers of wrong lengths, functions, units and transactions are refused, and the next poll is read") {
  const std::vector<std::function<ModbusReply(const ModbusAsked&)>> wrong = {
      [](const ModbusAsked& one) { return ModbusReply{std::string{static_cast<char>(one.function), 2, 0, 1}}; },                              // too few registers
      [](const ModbusAsked& one) { return ModbusReply{std::string{static_cast<char>(one.function), 6, 0, 1, 0, 2, 0, 3}}; },                  // too many
      [](const ModbusAsked& one) { return ModbusReply{std::string{static_cast<char>(one.function), 3, 0, 1, 0}}; },                           // half a register
      [](const ModbusAsked& one) { return ModbusReply{std::string{static_cast<char>(one.function)} + '\xFF' + std::string(255, 'x')}; },       // more than a frame holds
      [](const ModbusAsked&) { return ModbusReply{std::string{4, 4, 0, 1, 0, 2}}; },                                                          // another function
      [](const ModbusAsked& one) { return ModbusReply{std::string("\x77\x77", 2) + std::string("\0\0\0\x07", 4) + static_cast<char>(one.unit) + std::string{3, 4, 0, 1, 0, 2}, true}; },
      [](const ModbusAsked& one) { return modbus_exception(one, 77); },
      [](const ModbusAsked&) { return ModbusReply{std::string(300, '\xEE'), true}; },
  };
  std::atomic<std::size_t> asked = 0;
  TcpSlave slave([&](const ModbusAsked& one) { return std::optional(asked < wrong.size() * 2 && asked++ % 2 == 1 ? wrong[asked / 2 - 1](one) : values(one)); });
  Polls polls(polling({tcp_bus(slave.port())}, 20, 2'000));
  REQUIRE(polls.until([&] { return asked >= wrong.size() * 2 && polls.intake.accepted.size() >= wrong.size() + 3; }));
  for (const auto& one : polls.intake.accepted) CHECK(one.payload == R"({"slave":"s0","group":"g","a":10,"b":11})");
  CHECK(polls.counted("polls_failed") == wrong.size());
  CHECK(polls.counted("bad_responses") + polls.counted("timeouts") == wrong.size());
}

TEST_CASE("modbus: bytes that nobody asked for are not taken for the next answer") {
  TcpSlave slave([](const ModbusAsked& one) {
    const auto right = values(one);
    const std::string framed = one.transaction + modbus_word(static_cast<std::uint16_t>(right.bytes.size() + 1)) + '\x01' + right.bytes;
    return std::optional(ModbusReply{framed + framed, true});  // twice
  });
  Polls polls(polling({tcp_bus(slave.port())}));
  REQUIRE(polls.records(4));
  for (const auto& one : polls.intake.accepted) CHECK(one.payload == R"({"slave":"s0","group":"g","a":10,"b":11})");
}

TEST_CASE("modbus: a connection that the slave closes is made anew, one that is refused is tried again") {
  auto slave = std::make_unique<TcpSlave>(values);
  const std::uint16_t port = slave->port();
  Polls polls(polling({tcp_bus(port)}));
  REQUIRE(polls.records(2));
  slave->cut();
  const std::size_t before = polls.intake.accepted.size();
  REQUIRE(polls.records(before + 3));
  slave.reset();
  REQUIRE(polls.until([&] { return polls.counted("connect_failed") > 0; }));
  CHECK_THAT(polls.source->state(), ContainsSubstring("cannot connect to 127.0.0.1:" + std::to_string(port)));
  CHECK(polls.source->in_trouble());
  slave = std::make_unique<TcpSlave>(values, port);
  const std::size_t then = polls.intake.accepted.size();
  REQUIRE(polls.records(then + 2));
}

TEST_CASE("modbus: without room polls are left out and counted, and go on with room") {
  TcpSlave slave(values);
  Polls polls(polling({tcp_bus(slave.port())}));
  polls.intake.room_up_to = 2;
  REQUIRE(polls.until([&] { return polls.counted("polls_skipped") >= 1; }));
  const std::size_t asked = slave.asked().size();  // the two, and what was under way when room ended
  const auto skipped = polls.counted("polls_skipped");
  REQUIRE(polls.until([&] { return polls.counted("polls_skipped") >= skipped + 5; }));
  CHECK(slave.asked().size() == asked);
  CHECK(polls.intake.accepted.size() == 2);
  polls.intake.room_up_to = SIZE_MAX;
  polls.source->on_room();
  REQUIRE(polls.records(6));
}

TEST_CASE("modbus: what was accepted and not committed is gone after a crash: at most once, as explain says") {
  TcpSlave slave(values);
  const auto config = polling({tcp_bus(slave.port())});
  Polls polls(config);
  REQUIRE(polls.records(2));
  polls.intake.commit(*polls.source);
  const std::size_t durable = polls.intake.accepted.size();
  REQUIRE(polls.records(durable + 2));
  polls.source.reset();
  const auto next = polls.intake.after_crash();
  CHECK(next->accepted.size() == durable);
  CHECK_THAT(source::describe_guarantee(config), ContainsSubstring("at most once"));
}

TEST_CASE("modbus: stop does not wait for a slave that hangs, nor for one that takes no connection") {
  TcpSlave slave([](const ModbusAsked&) { return std::nullopt; });
  // A listener whose queue is full: who connects then hears nothing.
  boost::asio::io_context io;
  boost::asio::ip::tcp::acceptor full(io, {boost::asio::ip::address_v4::loopback(), 0});
  full.listen(0);
  std::list<boost::asio::ip::tcp::socket> queue;
  for (int i = 0; i < 4; ++i) {
    auto& one = queue.emplace_back(io, boost::asio::ip::tcp::v4());
    one.native_non_blocking(true);
    const auto there = full.local_endpoint();
    static_cast<void>(::connect(one.native_handle(), there.data(), static_cast<socklen_t>(there.size())));
  }
  Polls polls(polling({tcp_bus(slave.port()), tcp_bus(full.local_endpoint().port())}, 20, 10'000));
  REQUIRE(polls.until([&] { return !slave.asked().empty(); }));
  const auto begin = Steady::now();
  polls.source->stop();
  polls.source.reset();
  CHECK(Steady::now() - begin < 5s);
  run_ready(polls.io);
  CHECK(polls.intake.accepted.empty());
  CHECK(polls.counted("connect_failed") == 0);
}

TEST_CASE("modbus: many slaves share no connection that they need not, and all are polled") {
  std::list<TcpSlave> slaves;
  std::vector<config::ModbusSource::Bus> buses;
  for (int i = 0; i < 16; ++i) buses.push_back(tcp_bus(slaves.emplace_back(values).port()));
  Polls polls(polling(buses));
  REQUIRE(polls.until([&] {
    for (int i = 0; i < 16; ++i)
      if (polls.of("s" + std::to_string(i)) < 3) return false;
    return true;
  }));
  for (const auto& slave : slaves) CHECK(slave.connections() == 1);
}

TEST_CASE("modbus: a serial line is polled in turn, its dead unit seldom") {
  SerialSlave slave([](const ModbusAsked& one) { return one.unit == 9 ? std::nullopt : std::optional(values(one)); });
  auto config = polling({serial_bus(slave.device())}, 50, 1'000);
  config.slaves.push_back({"dead", 0, 9});
  config.groups[0].slaves.push_back(1);
  Polls polls(config);
  const auto of_dead = [&] {
    const auto asked = slave.asked();
    return std::count_if(asked.begin(), asked.end(), [](const ModbusAsked& one) { return one.unit == 9; });
  };
  REQUIRE(polls.until([&] { return of_dead() == 3; }));  // after pauses of 1 and 2 s; the next is 4
  const std::size_t before = polls.of("s0");
  REQUIRE(polls.until([&] { return polls.of("s0") >= before + 8; }));  // of about 80
  CHECK(of_dead() == 3);
  CHECK(polls.of("dead") == 0);
  CHECK(polls.intake.accepted[0].payload == R"({"slave":"s0","group":"g","a":10,"b":11})");
}

TEST_CASE("modbus: on a serial line the late answer of one unit is not taken for another's, nor does it cost its poll") {
  std::atomic<int> first = 0;
  SerialSlave slave([&](const ModbusAsked& one) -> std::optional<ModbusReply> {
    if (one.unit == 9) return std::nullopt;
    if (first++ > 0) return values(one);
    // Unit 9's answer, at the very time at which unit 1's is expected; unit 1 did not hear its request.
    return ModbusReply{SerialSlave::framed(9, std::string{3, 4, 2, 2, 2, 2}), true};
  });
  auto config = polling({serial_bus(slave.device())}, 50, 3'000);
  Polls polls(config);
  REQUIRE(polls.records(3));
  for (const auto& one : polls.intake.accepted) CHECK(one.payload == R"({"slave":"s0","group":"g","a":10,"b":11})");
  CHECK(polls.counted("bad_responses") == 1);
  CHECK(polls.counted("polls_failed") == 0);
}

TEST_CASE("modbus: on a serial line a unit's late answer is not taken for that of another group of its own") {
  std::atomic<int> asked = 0;
  ModbusAsked first;
  SerialSlave slave([&](const ModbusAsked& one) -> std::optional<ModbusReply> {
    ++asked;
    if (asked == 1) first = one;
    if (asked == 1) return std::nullopt;
    if (asked > 2) return values(one);
    const std::string late = SerialSlave::framed(1, modbus_values(first, [](std::uint16_t) { return std::uint16_t{666}; }).bytes);
    return ModbusReply{late + SerialSlave::framed(1, values(one).bytes), true};  // when the unit is asked again
  });
  auto config = polling({serial_bus(slave.device())}, 50, 3'000);
  config.groups.push_back({"other", 50, {number("c", 40), number("d", 41)}, {0}});
  Polls polls(config);
  REQUIRE(polls.records(6));
  for (const auto& one : polls.intake.accepted) CHECK(one.payload.find("666") == std::string::npos);
  CHECK(polls.counted("timeouts") == 1);
  CHECK(polls.counted("bad_responses") == 1);
}

TEST_CASE("modbus: noise on a serial line is refused by its checksum") {
  std::atomic<int> asked = 0;
  SerialSlave slave([&](const ModbusAsked& one) {
    const auto right = values(one);
    std::string frame = SerialSlave::framed(one.unit, right.bytes);
    if (++asked < 3) frame[4] = static_cast<char>(frame[4] ^ 0x10);
    return std::optional(ModbusReply{frame, true});
  });
  Polls polls(polling({serial_bus(slave.device())}, 50, 3'000));
  REQUIRE(polls.records(2));
  for (const auto& one : polls.intake.accepted) CHECK(one.payload == R"({"slave":"s0","group":"g","a":10,"b":11})");
  CHECK(polls.counted("bad_responses") == 2);
  CHECK(polls.counted("polls_failed") == 1);
}

TEST_CASE("modbus: a serial line that somebody else has locked is asked when it is free") {
  SerialSlave slave(values);
  const int other = ::open(slave.device().c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);
  REQUIRE(::flock(other, LOCK_EX | LOCK_NB) == 0);
  Polls polls(polling({serial_bus(slave.device())}));
  REQUIRE(polls.until([&] { return polls.counted("connect_failed") == 2; }));
  CHECK_THAT(polls.source->state(), ContainsSubstring(slave.device() + " is locked by another program"));
  CHECK(slave.asked().empty());
  ::close(other);
  REQUIRE(polls.records(1));
  const int late = ::open(slave.device().c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);
  CHECK(::flock(late, LOCK_EX | LOCK_NB) != 0);
  polls.source->stop();
  REQUIRE(polls.until([&] { return polls.source->ended(); }));
  CHECK(::flock(late, LOCK_EX | LOCK_NB) == 0);
  ::close(late);
}

TEST_CASE("modbus: a source has ended when its request on a serial line has, and not before") {
  std::atomic<bool> may_answer = false;
  SerialSlave slave([&](const ModbusAsked& one) {
    const auto until = Steady::now() + 30s;
    while (!may_answer && Steady::now() < until) ::poll(nullptr, 0, 1);
    return std::optional(values(one));
  });
  Polls polls(polling({serial_bus(slave.device())}));
  REQUIRE(polls.until([&] { return !slave.asked().empty(); }));
  polls.source->stop();
  CHECK_FALSE(polls.source->ended());
  may_answer = true;
  REQUIRE(polls.until([&] { return polls.source->ended(); }));
  CHECK(slave.asked().size() == 1);
  CHECK(polls.intake.accepted.empty());
}

TEST_CASE("modbus: a serial device that is not there is looked for again") {
  Polls polls(polling({serial_bus("/nowhere/ttyUSB0")}));
  REQUIRE(polls.until([&] { return polls.counted("polls_paused") >= 20; }));
  CHECK(polls.counted("connect_failed") > 0);
  CHECK(polls.counted("connect_failed") < polls.counted("polls_paused"));  // one a second, where a poll is due each 20 ms
  CHECK_THAT(polls.source->state(), ContainsSubstring("cannot open /nowhere/ttyUSB0: No such file or directory; is the adapter plugged in"));
}
