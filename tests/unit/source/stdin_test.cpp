#include "agent/source/stdin/stdin_source.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/fake_intake.h"
#include "tests/support/log_lines.h"
#include "tests/support/run_until.h"
#include "tests/support/temp_folder.h"

using namespace rivulet;
using namespace rivulet::test;
using source::StdinSource;

namespace {

struct Ends {
  int out = -1, in = -1;  // read from `out`, write to `in`
  ~Ends() {
    ::close(out);
    end();
  }
  void write(std::string_view bytes) const { REQUIRE(::write(in, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size())); }
  void end() {
    if (in >= 0) ::close(in);
    in = -1;
  }
};

std::unique_ptr<Ends> make_pipe() {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  auto made = std::make_unique<Ends>();
  made->out = ends[0];
  made->in = ends[1];
  return made;
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("stdin: lines of a pipe arrive, the last one without newline too, then it is finished") {
  boost::asio::io_context io;
  FakeIntake intake;
  auto pipe = make_pipe();
  StdinSource source(io, {}, "stdin", intake, pipe->out);
  source.start();
  pipe->write("a\r\nb\nc");
  REQUIRE(run_until(io, [&] { return intake.accepted.size() == 2; }));
  CHECK_FALSE(source.finished());
  pipe->write("d");
  pipe->end();
  REQUIRE(run_until(io, [&] { return source.finished(); }));
  CHECK(intake.payloads() == Lines{"a", "b", "cd"});
}

TEST_CASE("stdin: the descriptor's flags stay as they are") {
  boost::asio::io_context io;
  FakeIntake intake;
  auto pipe = make_pipe();
  StdinSource source(io, {}, "stdin", intake, pipe->out);
  source.start();
  pipe->write("a\n");
  REQUIRE(run_until(io, [&] { return intake.accepted.size() == 1; }));
  CHECK((::fcntl(pipe->out, F_GETFL) & O_NONBLOCK) == 0);
}

TEST_CASE("stdin: a redirected file, /dev/null and a socket are read to their end") {
  TempFolder folder;
  append(folder / "input", std::string(100'000, 'x') + "\ny\n");
  for (const std::string& path : {folder / "input", std::string("/dev/null")}) {
    boost::asio::io_context io;
    FakeIntake intake;
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    StdinSource source(io, {}, "stdin", intake, file);
    source.start();
    REQUIRE(run_until(io, [&] { return source.finished(); }));
    CHECK(intake.accepted.size() == (path == "/dev/null" ? 0U : 2U));
    ::close(file);
  }
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  boost::asio::io_context io;
  FakeIntake intake;
  StdinSource source(io, {}, "stdin", intake, ends[0]);
  source.start();
  REQUIRE(::write(ends[1], "s\n", 2) == 2);
  ::close(ends[1]);
  REQUIRE(run_until(io, [&] { return source.finished(); }));
  CHECK(intake.payloads() == Lines{"s"});
  ::close(ends[0]);
}

TEST_CASE("stdin: input that cannot be read to its end is trouble") {
  TempFolder folder;
  boost::asio::io_context io;
  FakeIntake intake;
  const int directory = ::open(folder.path().c_str(), O_RDONLY | O_CLOEXEC);
  StdinSource source(io, {}, "stdin", intake, directory);
  source.start();
  CHECK_FALSE(source.in_trouble());
  REQUIRE(run_until(io, [&] { return source.finished(); }));
  CHECK(source.in_trouble());
  CHECK(source.state() == "cannot be read: Is a directory, behind 0 lines");
  ::close(directory);
}

TEST_CASE("stdin: it waits for room also at its end, and is finished only when everything was taken") {
  boost::asio::io_context io;
  FakeIntake intake;
  intake.room_up_to = 1;
  auto pipe = make_pipe();
  StdinSource source(io, {}, "stdin", intake, pipe->out);
  source.start();
  pipe->write("a\nb\nc");
  pipe->end();
  REQUIRE(run_until(io, [&] { return intake.accepted.size() == 1; }));
  run_ready(io);
  CHECK_FALSE(source.finished());
  intake.room_up_to = 2;
  source.on_room();
  run_ready(io);
  CHECK_FALSE(source.finished());
  intake.room_up_to = 10;
  source.on_room();
  REQUIRE(run_until(io, [&] { return source.finished(); }));
  CHECK(intake.payloads() == Lines{"a", "b", "c"});
}

TEST_CASE("stdin: a line beyond the limit is left out and counted") {
  boost::asio::io_context io;
  FakeIntake intake;
  auto pipe = make_pipe();
  config::StdinSource config;
  config.max_line_bytes = 10;
  const LogLines log;
  StdinSource source(io, config, "stdin", intake, pipe->out);
  source.start();
  pipe->write("a\n" + std::string(1000, 'x') + "\nb\n" + std::string(50, 'y'));
  pipe->end();
  REQUIRE(run_until(io, [&] { return source.finished(); }));
  CHECK(intake.payloads() == Lines{"a", "b"});
  CHECK(intake.counts["line_too_long"] == 2);
  CHECK(log.with("longer than max_line (10 bytes)").size() == 1);
}
