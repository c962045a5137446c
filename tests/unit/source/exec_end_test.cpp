// How a command ends when its source or its agent does.
#include <unistd.h>

#include <array>
#include <csignal>

#include "tests/support/temp_folder.h"
#include "tests/unit/source/exec_fixture.h"

using namespace rivulet;
using namespace rivulet::test;

TEST_CASE("exec: a stopped source ends its command with SIGTERM, takes nothing more in, and reaps it") {
  wait_for_children();
  Running r(shell("trap 'echo late; exit' TERM; echo $$; while :; do sleep 0.01; done"));
  REQUIRE(r.until_lines(1));
  const pid_t id = r.source->process_id();
  r.source->stop();
  REQUIRE(run_until(r.io, [&] { return gone(id) && no_children(); }));
  CHECK(r.intake.accepted.size() == 1);
}

TEST_CASE("exec: a stopped source has ended when its command has") {
  Running r(shell("trap '' TERM; echo x; while :; do sleep 0.01; done"));
  REQUIRE(r.until_lines(1));
  const pid_t id = r.source->process_id();
  r.source->stop();
  CHECK_FALSE(r.source->ended());
  REQUIRE(run_until(r.io, [&] { return r.source->ended(); }));  // by SIGKILL, after kill_after
  CHECK(gone(id));
  Running waiting(shell("exit 3", 60'000));
  REQUIRE(waiting.until_counted("exec_failed"));
  waiting.source->stop();
  CHECK(waiting.source->ended());
}

TEST_CASE("exec: a stopped source's command may print while it cleans up, also where there was no room for what it said before") {
  const bool room = GENERATE(true, false);
  Running r(shell("trap 'yes | head -c 300000; echo clean >&2; exit' TERM; echo x; while :; do sleep 0.01; done"));
  REQUIRE(r.until_lines(1));
  if (!room) r.intake.room_up_to = 0;
  r.source->stop();
  REQUIRE(r.until_counted("stderr_lines"));
  REQUIRE(run_until(r.io, [&] { return r.source->ended(); }));
  CHECK(r.intake.accepted.size() == 1);
}

TEST_CASE("exec: a source that goes away kills its command and reaps it") {
  wait_for_children();
  Running r(shell("trap '' TERM; echo x; while :; do sleep 0.01; done"));
  REQUIRE(r.until_lines(1));
  const pid_t id = r.source->process_id();
  r.source.reset();
  REQUIRE(run_until(r.io, [&] { return no_children(); }));
  CHECK(gone(id));
}

TEST_CASE("exec: the command dies with the agent, also when that is killed") {
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  const pid_t agent = ::fork();
  if (agent == 0) {
    Running r(shell("trap '' TERM HUP; echo x; while :; do sleep 0.01; done"));
    r.until_lines(1);
    const pid_t id = r.source->process_id();
    [[maybe_unused]] const auto written = ::write(ends[1], &id, sizeof id);
    r.until_lines(1000);
    ::_exit(0);
  }
  pid_t id = 0;
  REQUIRE(::read(ends[0], &id, sizeof id) == static_cast<ssize_t>(sizeof id));
  CHECK_FALSE(gone(id));
  REQUIRE(::kill(agent, SIGKILL) == 0);
  REQUIRE(::waitpid(agent, nullptr, 0) == agent);
  boost::asio::io_context io;
  CHECK(run_until(io, [&] { return gone(id); }));
  ::close(ends[0]);
  ::close(ends[1]);
}
