// The modbus source against pymodbus, a server that is not ours: TCP on a free port of loopback, RTU over a pair of pseudo terminals by socat.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>

#include "agent/source/modbus/modbus_source.h"
#include "tests/support/catch.h"
#include "tests/support/fake_intake.h"
#include "tests/support/run_until.h"
#include "tests/support/temp_folder.h"

using namespace rivulet;
using namespace rivulet::test;
using namespace std::chrono_literals;
using Kind = config::ModbusSource::Kind;
using Type = config::ModbusSource::Type;
using Steady = std::chrono::steady_clock;

namespace {

std::string python() {
  std::string path;
  std::FILE* const out = ::popen((std::string(RIVULET_SOURCE_DIR) + "/tests/support/python").c_str(), "r");
  REQUIRE(out != nullptr);
  for (int c = 0; (c = std::fgetc(out)) != EOF && c != '\n';) path += static_cast<char>(c);
  REQUIRE(::pclose(out) == 0);
  return path;
}

struct Process {
  explicit Process(const std::vector<std::string>& command) {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    pid = ::fork();
    if (pid == 0) {
      ::dup2(ends[1], 1);
      std::vector<char*> arguments;
      for (const std::string& one : command) arguments.push_back(const_cast<char*>(one.c_str()));
      arguments.push_back(nullptr);
      ::execvp(arguments[0], arguments.data());
      ::_exit(127);
    }
    ::close(ends[1]);
    out = ends[0];
  }
  ~Process() {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    ::close(out);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  std::string line() const {
    std::string text;
    for (char c = 0;;) {
      pollfd wait{out, POLLIN, 0};
      REQUIRE(::poll(&wait, 1, 60'000) == 1);
      REQUIRE(::read(out, &c, 1) == 1);
      if (c == '\n') return text;
      text += c;
    }
  }
  pid_t pid = -1;
  int out = -1;
};

// `where`: of a serial line its device, of TCP a port (absent: a free one).
std::vector<std::string> slaves(const std::string& kind, const std::string& where = "") {
  std::vector<std::string> command{python(), std::string(RIVULET_SOURCE_DIR) + "/tests/integration/modbus/slaves.py", kind};
  if (!where.empty()) command.push_back(where);
  return command;
}

config::ModbusSource::Register of(const std::string& field, Kind kind, int address, Type type, int count = 1, const char* scale = "1") {
  config::ModbusSource::Register one;
  one.field = field;
  one.kind = kind;
  one.address = static_cast<std::uint16_t>(address);
  one.count = static_cast<std::uint16_t>(count);
  one.type = type;
  one.linear = *config::linear_of(scale, "0");
  return one;
}

std::vector<config::ModbusSource::Register> every_type(Kind kind) {
  return {of("u16", kind, 0, Type::u16), of("scaled", kind, 1, Type::u16, 1, "0.1"), of("bit", kind, 1, Type::boolean), of("i16", kind, 2, Type::i16), of("u32", kind, 3, Type::u32, 2),
          of("i32", kind, 5, Type::i32, 2), of("u64", kind, 7, Type::u64, 4), of("i64", kind, 11, Type::i64, 4), of("f32", kind, 15, Type::f32, 2), of("nan", kind, 17, Type::f32, 2),
          of("f64", kind, 19, Type::f64, 4), of("text", kind, 23, Type::string, 4)};
}
const char* const kEveryType =
    R"("u16":65535,"scaled":230.1,"bit":true,"i16":-32768,"u32":4294967295,"i32":-2147483648,"u64":18446744073709551615,"i64":-9223372036854775808,"f32":230.1,"nan":null,"f64":0.1,"text":"meter-7x"})";

config::ModbusSource polling(const config::ModbusSource::Bus& bus, std::vector<std::uint8_t> units, std::int64_t interval_ms, std::int64_t timeout_ms) {
  config::ModbusSource config;
  config.buses = {bus};
  config.timeout_ms = timeout_ms;
  config.groups.push_back({"all", interval_ms, every_type(Kind::input), {}});
  for (const std::uint8_t unit : units) {
    config.groups[0].slaves.push_back(config.slaves.size());
    config.slaves.push_back({"unit-" + std::to_string(unit), 0, unit});
  }
  return config;
}

struct Polls {
  explicit Polls(const config::ModbusSource& config) : source(std::make_unique<source::ModbusSource>(io, config, "meters", intake)) { source->start(); }
  bool until(const std::function<bool()>& condition) { return run_until(io, condition); }
  std::vector<std::int64_t> times(const std::string& slave) const {
    std::vector<std::int64_t> all;
    for (const auto& one : intake.accepted)
      if (one.topic == slave + "/all") all.push_back(*one.timestamp_ms);
    return all;
  }
  boost::asio::io_context io;
  FakeIntake intake;
  std::unique_ptr<source::ModbusSource> source;
};

std::int64_t longest_pause(const std::vector<std::int64_t>& times) {
  std::int64_t longest = 0;
  for (std::size_t i = 1; i < times.size(); ++i) longest = std::max(longest, times[i] - times[i - 1]);
  return longest;
}

// Two devices that are one line.
struct Line {
  Line() : socat({"socat", "pty,raw,echo=0,link=" + ours(), "pty,raw,echo=0,link=" + theirs()}) {
    const auto deadline = Steady::now() + 60s;
    while (!std::filesystem::exists(ours()) || !std::filesystem::exists(theirs())) REQUIRE(Steady::now() < deadline);
  }
  std::string ours() const { return folder / "ours"; }
  std::string theirs() const { return folder / "theirs"; }
  config::ModbusSource::Bus bus() const { return {config::ModbusSource::Rtu{ours(), 115'200, 'N', 1, false}, "", 0}; }
  TempFolder folder;
  Process socat;
};

}  // namespace

TEST_CASE("pymodbus: every type of every table, over TCP") {
  const Process server(slaves("tcp"));
  auto config = polling({std::nullopt, "localhost", static_cast<std::uint16_t>(std::stoi(server.line()))}, {1}, 100, 10'000);
  config.groups.push_back({"holding", 100, every_type(Kind::holding), {0}});
  config.groups.push_back({"bits", 100, {of("c0", Kind::coil, 0, Type::boolean), of("c1", Kind::coil, 1, Type::boolean), of("c1999", Kind::coil, 1999, Type::boolean), of("d2001", Kind::discrete, 2001, Type::boolean)}, {0}});
  config.groups[2].registers.push_back(of("c2013", Kind::coil, 2013, Type::boolean));
  config.gap = 124;
  Polls polls(config);
  REQUIRE(polls.until([&] { return polls.intake.accepted.size() >= 9; }));
  std::map<std::string, std::string> last;
  for (const auto& one : polls.intake.accepted) last[one.topic] = one.payload;
  CHECK(last["unit-1/all"] == R"({"slave":"unit-1","group":"all",)" + std::string(kEveryType));
  CHECK(last["unit-1/holding"] == R"({"slave":"unit-1","group":"holding",)" + std::string(kEveryType));
  CHECK(last["unit-1/bits"] == R"({"slave":"unit-1","group":"bits","c0":true,"c1":false,"c1999":false,"d2001":true,"c2013":true})");
  CHECK(polls.intake.counts["polls_failed"] == 0);
}

TEST_CASE("pymodbus: as many registers as there are, in requests of 125") {
  const Process server(slaves("tcp"));
  auto config = polling({std::nullopt, "127.0.0.1", static_cast<std::uint16_t>(std::stoi(server.line()))}, {1}, 100, 10'000);
  config.groups[0].registers.clear();
  for (int address = 27; address < 300; ++address) config.groups[0].registers.push_back(of("r" + std::to_string(address), Kind::holding, address, Type::u16));
  Polls polls(config);
  REQUIRE(polls.until([&] { return !polls.intake.accepted.empty(); }));
  std::string wanted = R"({"slave":"unit-1","group":"all")";
  for (int address = 27; address < 300; ++address) wanted += ",\"r" + std::to_string(address) + "\":" + std::to_string(address);
  CHECK(polls.intake.accepted[0].payload == wanted + "}");
}

TEST_CASE("pymodbus: registers that it has not are null, those beside them are read") {
  const Process server(slaves("tcp"));
  auto config = polling({std::nullopt, "127.0.0.1", static_cast<std::uint16_t>(std::stoi(server.line()))}, {1}, 50, 10'000);
  config.groups[0].registers = {of("last", Kind::input, 299, Type::u16), of("none", Kind::input, 300, Type::u16)};
  Polls polls(config);
  REQUIRE(polls.until([&] { return polls.intake.accepted.size() >= 2; }));
  CHECK(polls.intake.accepted[1].payload == R"({"slave":"unit-1","group":"all","last":299,"none":null})");
  CHECK(polls.intake.counts["exception_2"] > 0);
}

TEST_CASE("pymodbus: a late, a silent and a refusing unit behind their own connections delay none of the others") {
  const Process one(slaves("tcp")), two(slaves("tcp")), three(slaves("tcp")), four(slaves("tcp"));
  auto config = polling({}, {1, 2, 77, 3}, 100, 1'500);
  config.buses.clear();
  for (const Process* server : {&one, &two, &three, &four}) config.buses.push_back({std::nullopt, "127.0.0.1", static_cast<std::uint16_t>(std::stoi(server->line()))});
  for (std::size_t i = 0; i < 4; ++i) config.slaves[i].bus = i;
  Polls polls(config);
  REQUIRE(polls.until([&] { return polls.intake.counts["timeouts"] >= 4; }));  // of unit 2 and of unit 77: 1.5 s, a pause of 1 s, 1.5 s
  const auto times = polls.times("unit-1");
  REQUIRE(times.size() >= 10);
  WARN("measured: " << times.size() << " polls in " << times.back() - times.front() << " ms at an interval of 100 ms, the longest pause " << longest_pause(times) << " ms, while "
                    << polls.intake.counts["timeouts"] << " polls of others waited 1.5 s each");
  CHECK(polls.times("unit-2").empty());
  CHECK(polls.times("unit-77").empty());
  CHECK(polls.times("unit-3").empty());
  CHECK(polls.intake.counts["exception_4"] > 0);
}

TEST_CASE("pymodbus: every type over a serial line, with a silent unit on it that is asked seldom") {
  const Line line;
  const Process server(slaves("serial", line.theirs()));
  server.line();
  Polls polls(polling(line.bus(), {1, 77}, 100, 1000));
  REQUIRE(polls.until([&] { return polls.intake.counts["timeouts"] >= 2 && polls.times("unit-1").size() >= 20; }));
  const auto times = polls.times("unit-1");
  WARN("measured: " << times.size() << " polls in " << times.back() - times.front() << " ms at an interval of 100 ms on one line, the longest pause " << longest_pause(times)
                    << " ms, with a unit that cost " << polls.intake.counts["timeouts"] << " timeouts of 1000 ms");
  for (const auto& one : polls.intake.accepted) CHECK(one.payload == R"({"slave":"unit-1","group":"all",)" + std::string(kEveryType));
  CHECK(polls.intake.counts["bad_responses"] == 0);
}

TEST_CASE("pymodbus: a unit that answers late on a serial line is not taken for another") {
  const Line line;
  const Process server(slaves("serial", line.theirs()));
  server.line();
  Polls polls(polling(line.bus(), {1, 2}, 100, 700));  // unit 2 answers after 2 s: while unit 1 is polled, and while it is asked itself again
  REQUIRE(polls.until([&] { return polls.intake.counts["timeouts"] + polls.intake.counts["bad_responses"] >= 3 && polls.times("unit-1").size() >= 30 && polls.intake.counts["bad_responses"] > 0; }));  // its answers, and nobody's
  for (const auto& one : polls.intake.accepted) CHECK(one.payload == R"({"slave":"unit-1","group":"all",)" + std::string(kEveryType));
}

TEST_CASE("pymodbus: a server that is killed and started again is polled on") {
  auto server = std::make_unique<Process>(slaves("tcp"));
  const auto port = static_cast<std::uint16_t>(std::stoi(server->line()));
  Polls polls(polling({std::nullopt, "127.0.0.1", port}, {1}, 50, 5000));
  REQUIRE(polls.until([&] { return polls.intake.accepted.size() >= 2; }));
  server.reset();
  REQUIRE(polls.until([&] { return polls.intake.counts["connect_failed"] > 0; }));
  CHECK_THAT(polls.source->state(), ContainsSubstring("cannot connect"));
  server = std::make_unique<Process>(slaves("tcp", std::to_string(port)));
  const std::size_t before = polls.intake.accepted.size();
  REQUIRE(polls.until([&] { return polls.intake.accepted.size() >= before + 2; }));
}
