// What becomes of a source that a reload takes out while it still has something under way, and of the one that takes its place.
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/support/modbus_slave.h"
#include "tests/unit/app/reload_fixture.h"

using namespace rivulet;
using namespace rivulet::test;
using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

namespace {

const std::string kTwo = "pipelines:\n  copy: {from: [a, b], to: out}\n";
const char* const kWaits = "waits until the one before it has ended";

std::string two(const std::string& of_a, const std::string& of_b = "") { return "sources:\n  a: {stdin: {" + of_a + "}}\n  b: {stdin: {" + of_b + "}}\n"; }
std::string state_of(const ReloadFixture& fixture, std::size_t source) { return fixture.service->look().sources.at(source).state; }

// One command, as a source. Its folder is the test's.
struct Commands {
  std::string source(const std::string& script, const std::string& more) const {
    return "sources:\n  a: {exec: {command: [sh, -c, \"" + script + "\"], directory: " + folder.path().string() + ", " + more + "}}\n";
  }
  std::size_t lines(const std::string& file) const {
    std::ifstream in(folder / file);
    return static_cast<std::size_t>(std::count(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>(), '\n'));
  }

  TempFolder folder;
};
// It has the lock for as long as it lives, and needs a second to end.
const std::string kSlowToEnd = "mkdir lock || echo x >> twice; trap 'sleep 1; rmdir lock; echo x >> tidy; exit' TERM; echo x >> up; while :; do sleep 0.02; done";

Steady::duration end(ReloadFixture& fixture) {
  const auto begin = Steady::now();
  fixture.service->stop("the test");
  REQUIRE(fixture.until([&] { return fixture.service->io().stopped(); }));
  fixture.service.reset();
  return Steady::now() - begin;
}

std::string meter(const std::string& device, const std::string& field, int address) {
  return "sources:\n  a: {modbus: {rtu: {device: " + device + ", baud: 115200, parity: none}, timeout: 10s, groups: {g: {interval: 20ms, registers: {" + field +
         ": {register: holding, address: " + std::to_string(address) + "}}}}}}\n";
}

std::size_t times_open(const std::string& path) {
  std::size_t count = 0;
  std::error_code gone;
  for (const auto& one : std::filesystem::directory_iterator("/proc/self/fd")) count += std::filesystem::read_symlink(one.path(), gone) == path ? 1 : 0;
  return count;
}

}  // namespace

TEST_CASE("a source that changed starts when the one before it has ended, the others start at once") {
  ReloadFixture fixture(two(""), kTwo);
  fixture.source("a").has_ended = false;
  fixture.source("a").intake.set_position("at", "17");
  fixture.send("a", R"({"n":1})");
  HandSource& before = fixture.source("a");
  const std::weak_ptr<char> alive = before.alive;
  fixture.write(two("max_line: 5KiB", "max_line: 5KiB"), kTwo);
  CHECK(fixture.reload().successful);
  CHECK(before.stopped);
  CHECK(fixture.source("b").started);
  CHECK_FALSE(fixture.source("a").started);
  CHECK(state_of(fixture, 0) == kWaits);
  CHECK(state_of(fixture, 1) == "by hand");
  fixture.send("b", R"({"n":2})");
  const auto longer_than_acknowledgements_take = Steady::now() + 300ms;
  REQUIRE(fixture.until([&] { return Steady::now() > longer_than_acknowledgements_take; }));
  REQUIRE_FALSE(alive.expired());
  CHECK_FALSE(fixture.source("a").started);
  CHECK(fixture.source("a").durable.empty());
  before.has_ended = true;
  REQUIRE(fixture.until([&] { return fixture.source("a").started; }));
  REQUIRE(fixture.until([&] { return alive.expired(); }));
  CHECK(state_of(fixture, 0) == "by hand");
  CHECK(fixture.source("a").intake.positions_at_start().at("at") == "17");
  fixture.send("a", R"({"n":3})");
  CHECK(fixture.stored() == std::vector<std::string>{R"(copy {"n":1})", R"(copy {"n":2})", R"(copy {"n":3})"});
}

TEST_CASE("reloads while a source waits for the one before it: it goes on waiting, or gives its place to another that waits") {
  ReloadFixture fixture(two(""), kTwo);
  HandSource& first = fixture.source("a");
  first.has_ended = false;
  fixture.write(two("max_line: 5KiB"), kTwo);
  CHECK(fixture.reload().successful);
  HandSource* const second = &fixture.source("a");
  fixture.write(two("max_line: 5KiB"), kTwo + "  more: {from: b, to: more}\n");
  CHECK(fixture.reload().successful);
  CHECK(&fixture.source("a") == second);  // it did not change
  CHECK(state_of(fixture, 0) == kWaits);
  const std::weak_ptr<char> alive = second->alive;
  fixture.write(two("max_line: 6KiB"), kTwo);
  CHECK(fixture.reload().successful);
  CHECK(&fixture.source("a") != second);
  REQUIRE(fixture.until([&] { return alive.expired() || second->started || second->stopped; }));
  REQUIRE(alive.expired());  // it never began
  CHECK_FALSE(fixture.source("a").started);
  fixture.write("sources:\n  b: {stdin: {}}\n", "pipelines:\n  copy: {from: b, to: out}\n");
  CHECK(fixture.reload().successful);
  fixture.write(two("max_line: 7KiB"), kTwo);
  CHECK(fixture.reload().successful);
  CHECK_FALSE(fixture.source("a").started);
  CHECK(state_of(fixture, 0) == kWaits);
  first.has_ended = true;
  REQUIRE(fixture.until([&] { return fixture.source("a").started; }));
  fixture.send("a", R"({"n":1})");
  CHECK(fixture.stored() == std::vector<std::string>{R"(copy {"n":1})"});
}

TEST_CASE("an agent that is told to stop while a source waits lets the one before it end, and starts nothing more") {
  ReloadFixture fixture(two(""), kTwo);
  HandSource& before = fixture.source("a");
  before.has_ended = false;
  fixture.write(two("max_line: 5KiB"), kTwo);
  CHECK(fixture.reload().successful);
  fixture.service->stop("the test");
  const auto a_while = Steady::now() + 300ms;
  REQUIRE(fixture.until([&] { return fixture.service->io().stopped() || Steady::now() > a_while; }));
  CHECK(Steady::now() > a_while);
  before.has_ended = true;
  REQUIRE(fixture.until([&] { return fixture.service->io().stopped(); }));
  CHECK(Steady::now() < a_while + 2s);
  CHECK_FALSE(fixture.source("a").started);
}

TEST_CASE("a serial line is asked by another source only when the one before has its answer, and nobody waits for that") {
  std::atomic<bool> may_answer = false;
  SerialSlave slave([&](const ModbusAsked& one) {
    const auto until = Steady::now() + 10s;
    while (one.address == 0 && !may_answer && Steady::now() < until) ::poll(nullptr, 0, 1);
    return std::optional(modbus_values(one, [&](std::uint16_t address) { return static_cast<std::uint16_t>(address == 0 ? 666 : 7); }));
  });
  ReloadFixture fixture(meter(slave.device(), "before", 0), kCopy);
  REQUIRE(fixture.until([&] { return slave.asked().size() == 1; }));
  const std::size_t open = times_open(slave.device());
  fixture.write(meter(slave.device(), "after", 1), kCopy);
  CHECK(fixture.reload().successful);
  auto last = Steady::now();
  const auto over = last + 1s;
  Steady::duration longest{0};
  REQUIRE(fixture.until([&] {
    longest = std::max(longest, Steady::now() - last);
    last = Steady::now();
    return last > over;
  }));
  CHECK(longest < 900ms);
  CHECK(times_open(slave.device()) == open);
  CHECK(state_of(fixture, 0) == kWaits);
  may_answer = true;
  REQUIRE(fixture.until([&] { return fixture.stored().size() >= 3; }));
  for (const std::string& record : fixture.stored()) CHECK(record == R"(copy {"slave":"a","group":"g","after":7})");
}

TEST_CASE("a command has its time to end at a reload, and the next one starts when it has") {
  const Commands commands;
  ReloadFixture fixture(commands.source(kSlowToEnd, "kill_after: 20s"), kCopy);
  REQUIRE(fixture.until([&] { return commands.lines("up") == 1; }));
  fixture.write(commands.source(kSlowToEnd, "kill_after: 20s, restart: 2s"), kCopy);
  CHECK(fixture.reload().successful);
  REQUIRE(fixture.until([&] { return commands.lines("up") == 2; }));
  CHECK(commands.lines("tidy") == 1);
  CHECK(commands.lines("twice") == 0);
}

TEST_CASE("a command that ignores SIGTERM is killed after kill_after, and the next one starts") {
  const Commands commands;
  const std::string script = "trap '' TERM; echo x >> up; while :; do sleep 0.02; done";
  ReloadFixture fixture(commands.source(script, "kill_after: 300ms"), kCopy);
  REQUIRE(fixture.until([&] { return commands.lines("up") == 1; }));
  fixture.write(commands.source(script, "kill_after: 300ms, restart: 2s"), kCopy);
  const auto begin = Steady::now();
  CHECK(fixture.reload().successful);
  REQUIRE(fixture.until([&] { return commands.lines("up") == 2; }));
  CHECK(Steady::now() - begin >= 300ms);
}

TEST_CASE("a command has its time to end at the agent's end") {
  const Commands commands;
  ReloadFixture fixture(commands.source(kSlowToEnd, "kill_after: 20s"), kCopy);
  REQUIRE(fixture.until([&] { return commands.lines("up") == 1; }));
  CHECK(end(fixture) < 5s);
  CHECK(commands.lines("tidy") == 1);
}

TEST_CASE("the agent ends in under 5 seconds, whatever a command does") {
  const Commands commands;
  ReloadFixture fixture(commands.source("trap '' TERM; echo $$ >> up; while :; do sleep 0.02; done", "kill_after: 1m"), kCopy);
  REQUIRE(fixture.until([&] { return commands.lines("up") == 1; }));
  CHECK(end(fixture) < 5s);
  std::ifstream in(commands.folder / "up");
  pid_t id = 0;
  REQUIRE(in >> id);
  CHECK((::waitpid(id, nullptr, 0) == id || errno == ECHILD));  // it does not outlive the agent
}
