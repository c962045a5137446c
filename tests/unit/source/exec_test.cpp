#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "tests/support/temp_folder.h"
#include "tests/unit/source/exec_fixture.h"

using namespace rivulet;
using namespace rivulet::test;

TEST_CASE("exec: the lines of a command that goes on arrive while it runs") {
  Running r(shell("echo a; printf 'b\\r\\n'; echo; sleep 1000"));
  REQUIRE(r.until_lines(3));
  CHECK(r.intake.payloads() == Lines{"a", "b", ""});
  CHECK_THAT(r.source->state(), ContainsSubstring("running"));
  CHECK_FALSE(r.source->in_trouble());
}

TEST_CASE("exec: no shell reads the arguments") {
  config::ExecSource config;
  config.command = {"printf", "%s\n", "$HOME; *", "a b"};
  config.interval_ms = 60'000;
  Running r(config);
  REQUIRE(r.until_lines(2));
  CHECK(r.intake.payloads() == Lines{"$HOME; *", "a b"});
}

TEST_CASE("exec: a command that ends is started again, and its failures are counted") {
  Running r(shell("echo x; exit 3"));
  REQUIRE(r.until_lines(4));
  CHECK(r.intake.counts["exec_failed"] >= 3);
  CHECK(r.intake.counts["exec_restarts"] >= 3);
  CHECK_THAT(r.source->state(), ContainsSubstring("lines"));
}

TEST_CASE("exec: a command that ends well is started again without being counted as failed") {
  Running r(shell("echo x"));
  REQUIRE(r.until_lines(3));
  CHECK(r.intake.counts["exec_failed"] == 0);
}

TEST_CASE("exec: at an interval it runs again and again, the last line without newline counts") {
  Running r(shell("printf x", 20));
  REQUIRE(r.until_lines(3));
  CHECK(r.intake.accepted[2].payload == "x");
  CHECK(r.intake.counts["exec_failed"] == 0);
}

TEST_CASE("exec: of two runs never more than one goes on, the tick between is left out and counted") {
  TempFolder folder;
  auto config = shell("mkdir lock || echo twice; sleep 0.1; rmdir lock; echo once", 20);
  config.directory = folder.path();
  config.timeout_ms = 60'000;
  Running r(config);
  REQUIRE(r.until_lines(3));
  CHECK(r.intake.payloads() == Lines{"once", "once", "once"});
  CHECK(r.intake.counts["run_skipped"] >= 2);
}

TEST_CASE("exec: a run that is too long is ended with its children, though they ignore SIGTERM, and half a line is no record") {
  auto config = shell("trap '' TERM; sh -c 'sleep 1000; echo late' & echo $!; echo begun; printf half; wait", 60'000);
  config.timeout_ms = 3'000;
  Running r(config);
  REQUIRE(r.until_counted("incomplete_line"));
  CHECK(r.intake.counts["exec_timeout"] == 1);
  CHECK(r.intake.counts["exec_failed"] == 0);
  REQUIRE(r.intake.accepted.size() == 2);
  for (const auto& line : r.intake.payloads())
    if (line != "begun") CHECK(run_until(r.io, [&] { return gone(std::stoi(line)); }));
  CHECK_THAT(r.source->state(), ContainsSubstring("timeout"));
}

TEST_CASE("exec: a command that never ends at an interval is ended in time, again and again") {
  Running r(shell("echo x; exec sleep 1000", 300));
  REQUIRE(r.until_counted("exec_timeout", 3));
  REQUIRE(r.until_lines(3));
}

TEST_CASE("exec: a command that floods is read only while there is room, and loses nothing", "[slow]") {
  config::ExecSource config;
  config.command = {"seq", "1", "300000"};
  config.interval_ms = 3600'000;
  Running r(config);
  for (const std::size_t room : {std::size_t{1000}, std::size_t{1001}, std::size_t{150'000}}) {
    r.intake.room_up_to = room;
    r.source->on_room();
    REQUIRE(r.until_lines(room));
    for (int turn = 0; turn < 20; ++turn) run_ready(r.io);
    CHECK(r.intake.accepted.size() == room);
  }
  CHECK_THAT(r.source->state(), ContainsSubstring("waiting for room"));
  r.intake.room_up_to = SIZE_MAX;
  r.source->on_room();
  REQUIRE(r.until_lines(300'000));
  for (std::size_t i = 0; i < r.intake.accepted.size(); ++i)
    if (r.intake.accepted[i].payload != std::to_string(i + 1)) FAIL("line " << i << " is " << r.intake.accepted[i].payload);
  CHECK(r.intake.counts["exec_timeout"] == 0);
}

TEST_CASE("exec: a command that waits for room is not ended by its timeout") {
  config::ExecSource config;
  config.command = {"seq", "1", "300000"};
  config.interval_ms = 100;
  config.timeout_ms = 3'000;
  Running r(config);
  r.intake.room_up_to = 10;
  REQUIRE(r.until_counted("run_skipped", 40));  // longer than its timeout
  CHECK(r.intake.counts["exec_timeout"] == 0);
  CHECK_FALSE(gone(r.source->process_id()));
}

TEST_CASE("exec: lines that had no room when the command ended are taken when there is room") {
  auto config = shell("echo a; echo b; printf c", 60'000);
  Running r(config);
  r.intake.room_up_to = 1;
  REQUIRE(r.until_lines(1));
  REQUIRE(run_until(r.io, [&] { return gone(r.source->process_id()); }));
  run_ready(r.io);
  r.intake.room_up_to = 2;
  r.source->on_room();
  run_ready(r.io);
  CHECK(r.intake.payloads() == Lines{"a", "b"});
  r.intake.room_up_to = 3;
  r.source->on_room();
  REQUIRE(r.until_lines(3));
  CHECK(r.intake.payloads() == Lines{"a", "b", "c"});
}

TEST_CASE("exec: what a command left running in its group ends with it") {
  Running r(shell("sleep 1000 & echo $!", 60'000));
  REQUIRE(r.until_lines(1));
  const pid_t left = std::stoi(r.intake.accepted[0].payload);
  CHECK(run_until(r.io, [&] { return gone(left); }));
}

TEST_CASE("exec: a daemon that left the group and holds the pipe holds up nothing") {
  auto config = shell("setsid sleep 1000 & echo $!", 50);
  config.timeout_ms = 60'000;
  Running r(config);
  REQUIRE(r.until_lines(3));
  CHECK(r.intake.counts["exec_timeout"] == 0);
  r.source->stop();
  for (const auto& line : r.intake.payloads()) ::kill(std::stoi(line), SIGKILL);
}

TEST_CASE("exec: a command that cannot be started says why, and is tried again") {
  TempFolder folder;
  append(folder / "script", "echo x\n");
  struct Case {
    std::string program, directory, says;
  };
  for (const Case& one : {Case{"no-such-program-anywhere", "", "PATH"}, Case{"/nowhere/program", "", "No such file"}, Case{"sh", "/nowhere", "working directory"},
                          Case{folder / "script", "", "Permission denied"}, Case{"/tmp", "", "Permission denied"}}) {
    config::ExecSource config;
    config.command = {one.program};
    config.directory = one.directory;
    config.restart_ms = config.restart_max_ms = 10;
    Running r(config);
    REQUIRE(r.until_counted("exec_failed", 2));
    REQUIRE(run_until(r.io, [&] { return r.source->process_id() < 0; }));
    CHECK_THAT(r.source->state(), ContainsSubstring(one.says));
    CHECK(r.source->in_trouble());
    CHECK(r.intake.accepted.empty());
  }
  std::filesystem::permissions(folder / "script", std::filesystem::perms::owner_all);
  config::ExecSource config;
  config.command = {folder / "script"};
  config.interval_ms = 60'000;
  Running r(config);
  REQUIRE(r.until_counted("exec_failed"));
  CHECK_THAT(r.source->state(), ContainsSubstring("#!/bin/sh"));
  CHECK(r.source->in_trouble());
}

TEST_CASE("exec: a program that appears later is found") {
  TempFolder folder;
  config::ExecSource config;
  config.command = {folder / "late"};
  config.restart_ms = config.restart_max_ms = 10;
  Running r(config);
  REQUIRE(r.until_counted("exec_failed", 2));
  append(folder / "new", "#!/bin/sh\necho here\n");
  std::filesystem::permissions(folder / "new", std::filesystem::perms::owner_all);
  std::filesystem::rename(folder / "new", folder / "late");
  REQUIRE(r.until_lines(1));
  CHECK(r.intake.accepted[0].payload == "here");
}

TEST_CASE("exec: overlong lines are left out and counted, garbage passes as it is") {
  auto config = shell("head -c 100000 /dev/zero | tr '\\0' x; echo; printf 'a\\000\\377\\001\\n'; echo b; head -c 5000 /dev/zero | tr '\\0' y", 60'000);
  config.max_line_bytes = 1000;
  Running r(config);
  REQUIRE(r.until_counted("line_too_long", 2));
  CHECK(r.intake.payloads() == Lines{std::string("a\0\377\1", 4), "b"});
}

TEST_CASE("exec: random bytes in any amount are only lines") {
  config::ExecSource config;
  config.command = {"head", "-c", "3000000", "/dev/urandom"};
  config.interval_ms = 3600'000;
  config.max_line_bytes = 256;
  Running r(config);
  REQUIRE(run_until(r.io, [&] { return r.source->process_id() < 0; }));
  std::size_t bytes = 0;
  for (const auto& one : r.intake.accepted) {
    CHECK(one.payload.size() <= 256);
    bytes += one.payload.size() + 1;
  }
  CHECK(bytes < 3'100'000);
  CHECK(r.intake.accepted.size() + r.intake.counts["line_too_long"] > 9000);  // one byte of 256 ends a line
}

TEST_CASE("exec: csv has its names in the first line of each run") {
  auto config = shell("printf 'n,v\\n1,2\\n3,4\\n'", 30);
  config.first_line_names = true;
  Running r(config);
  REQUIRE(r.until_lines(4));
  CHECK(r.intake.accepted[0].payload == "1,2");
  CHECK(r.intake.accepted[2].payload == "1,2");
  CHECK(r.intake.accepted[3].first_line == "n,v");
}

TEST_CASE("exec: environment and working directory are as configured, what is for the agent alone is not there") {
  TempFolder folder;
  ::setenv("NOTIFY_SOCKET", "/run/x", 1);
  ::setenv("SEEN_BY_COMMANDS", "yes", 1);
  auto config = shell("echo \"$GREETING $SEEN_BY_COMMANDS $NOTIFY_SOCKET.\"; pwd", 60'000);
  config.environment.emplace_back("GREETING", config::Secret("hello = world"));
  config.directory = std::filesystem::canonical(folder.path());
  Running r(config);
  ::unsetenv("NOTIFY_SOCKET");
  REQUIRE(r.until_lines(2));
  CHECK(r.intake.payloads() == Lines{"hello = world yes .", config.directory});
}

TEST_CASE("exec: a command has no descriptor of the agent") {
  const int null = ::open("/dev/null", O_RDONLY);
  const int leaky = ::fcntl(null, F_DUPFD, 50);  // without O_CLOEXEC, as some library opens its own
  config::ExecSource config;
  config.command = {"ls", "/proc/self/fd"};
  config.interval_ms = 60'000;
  Running r(config);
  REQUIRE(r.until_lines(4));
  REQUIRE(run_until(r.io, [&] { return r.source->process_id() < 0; }));
  ::close(leaky);
  ::close(null);
  CHECK(r.intake.payloads() == Lines{"0", "1", "2", "3"});  // 3: the folder that ls lists
}

TEST_CASE("exec: a command ignores and blocks no signal, though the agent does") {
  const auto before = std::signal(SIGPIPE, SIG_IGN);
  sigset_t blocked, mask;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGUSR1);
  ::sigprocmask(SIG_BLOCK, &blocked, &mask);
  config::ExecSource config;
  config.command = {"grep", "-E", "SigIgn|SigBlk", "/proc/self/status"};
  config.interval_ms = 60'000;
  Running r(config);
  REQUIRE(r.until_lines(2));
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  std::signal(SIGPIPE, before);
  CHECK(r.intake.payloads() == Lines{"SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"});
}

TEST_CASE("exec: each run leaves no descriptor and no zombie in the agent") {
  wait_for_children();
  const auto descriptors = [] { return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator()); };
  Running r(shell("echo x; echo y >&2", 10));
  REQUIRE(r.until_lines(1));
  REQUIRE(run_until(r.io, [&] { return r.source->process_id() < 0; }));
  const auto before = descriptors();
  REQUIRE(r.until_lines(20));
  REQUIRE(run_until(r.io, [&] { return r.source->process_id() < 0; }));
  CHECK(descriptors() <= before);
  CHECK(no_children());
}

TEST_CASE("exec: other children of the process are left for whoever waits for them") {
  const pid_t other = ::fork();
  if (other == 0) ::_exit(7);
  Running r(shell("echo x", 10));
  REQUIRE(r.until_lines(5));
  int status = 0;
  REQUIRE(::waitpid(other, &status, 0) == other);
  CHECK(WEXITSTATUS(status) == 7);
}

TEST_CASE("exec: a crash loses what was printed and not committed, and nothing that was") {
  TempFolder folder;
  auto config = shell("cat input; sleep 1000");
  config.directory = folder.path();
  append(folder / "input", "1\n2\n");
  std::unique_ptr<FakeIntake> next;
  {
    Running r(config);
    REQUIRE(r.until_lines(2));
    r.intake.commit(*r.source);
    r.source.reset();
    overwrite(folder / "input", "3\n4\n");
    ExecSource again(r.io, config, "command", r.intake);
    again.start();
    REQUIRE(r.until_lines(4));
    next = r.intake.after_crash();  // 3 and 4 were accepted, and their epoch was not
  }
  CHECK(next->payloads() == Lines{"1", "2"});
  CHECK(source::describe_guarantee(config).find("at most once") == 0);
  CHECK_THAT(source::describe_guarantee(config), ContainsSubstring("not yet committed"));
}

TEST_CASE("exec: what it says on stderr does not reach the records, is counted, and never holds it up") {
  Running r(shell("i=0; while [ $i -lt 3000 ]; do echo 'complaint of some length, so that they fill a pipe' >&2; i=$((i+1)); done; printf 'no end' >&2; echo done", 60'000));
  r.intake.room_up_to = 0;
  REQUIRE(r.until_counted("stderr_lines", 3001));
  r.intake.room_up_to = 10;
  r.source->on_room();
  REQUIRE(r.until_lines(1));
  CHECK(r.intake.payloads() == Lines{"done"});
  CHECK(r.intake.counts["stderr_lines"] == 3001);
}
