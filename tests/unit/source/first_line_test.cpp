#include "agent/source/first_line.h"

#include "agent/source/stdin/stdin_source.h"
#include "tests/unit/source/file_fixture.h"
#include "tests/unit/source/tcp_fixture.h"

using namespace rivulet;
using namespace rivulet::test;

namespace {

// "first line|line" for each record.
Lines named(const Follower& f) {
  Lines all;
  for (const auto& each : f.intake->accepted) all.push_back(each.first_line.value_or("none") + "|" + each.payload);
  return all;
}
struct Named : Follower {
  explicit Named(const std::string& name, bool from_end = false) : Follower(name, from_end) { config.first_line_names = true; }
};

}  // namespace

TEST_CASE("first line: a file's is no record, and goes with each line after it") {
  Named f("app.csv");
  append(f.path("app.csv"), std::string(3000, '\0') + "\r\na;b\r\n1;2\n3;4\n");
  f.begin();
  REQUIRE(f.reads(2));
  CHECK(named(f) == Lines{"a;b|1;2", "a;b|3;4"});
}

TEST_CASE("first line: lines after a crash have it, before and after the commit") {
  Named f("app.csv");
  append(f.path("app.csv"), "a;b\n1;2\n");
  f.begin();
  REQUIRE(f.reads(1));
  f.crash();
  f.begin();
  REQUIRE(f.reads(1));
  f.end();
  append(f.path("app.csv"), "3;4\n");
  f.begin();
  REQUIRE(f.reads(2));
  CHECK(named(f) == Lines{"a;b|1;2", "a;b|3;4"});
}

TEST_CASE("first line: it is each file's own, over rotation and with several files at once") {
  Named f("app.csv");
  append(f.path("app.csv"), "a;b\n1;2\n");
  f.begin();
  REQUIRE(f.reads(1));
  f.end();
  append(f.path("app.csv"), "3;4\n");
  std::filesystem::rename(f.path("app.csv"), f.path("app.csv.1"));
  append(f.path("app.csv"), "c;d\n5;6\n");
  f.begin();
  REQUIRE(f.reads(3));
  CHECK(named(f) == Lines{"a;b|1;2", "a;b|3;4", "c;d|5;6"});

  Named g("*.csv");
  append(g.path("x.csv"), "x\n1\n");
  append(g.path("y.csv"), "y\n2\n");
  g.begin();
  REQUIRE(g.reads(2));
  append(g.path("x.csv"), "3\n");
  REQUIRE(g.reads(3));
  append(g.path("y.csv"), "4\n");
  REQUIRE(g.reads(4));
  auto all = named(g);
  std::sort(all.begin(), all.end());
  CHECK(all == Lines{"x|1", "x|3", "y|2", "y|4"});
}

TEST_CASE("first line: one that is written in pieces is waited for, and one that is too long names nothing") {
  Named f("app.csv");
  append(f.path("app.csv"), "a;");
  f.begin();
  run_until(f.io, [] { return false; }, std::chrono::milliseconds(20));
  append(f.path("app.csv"), "b\n1;2\n");
  REQUIRE(f.reads(1));
  CHECK(named(f) == Lines{"a;b|1;2"});

  Named g("app.csv");
  append(g.path("app.csv"), std::string(300'000, 'x') + "\n1;2\n");
  g.begin();
  REQUIRE(g.reads(1));
  CHECK(named(g) == Lines{"|1;2"});
}

TEST_CASE("first line: a file that is followed from its end has it all the same") {
  Named f("app.csv", true);
  append(f.path("app.csv"), "a;b\n1;2\n");
  f.begin();
  run_ready(f.io);
  append(f.path("app.csv"), "3;4\n");
  REQUIRE(f.reads(1));
  CHECK(named(f) == Lines{"a;b|3;4"});
}

TEST_CASE("first line: each TCP connection begins with it, also after RESUME, and it is no frame") {
  auto settings = tcp_config(true);
  settings.first_line_names = true;
  TcpServer server(settings);
  auto client = server.client();
  client.send("HELLO s\na,b\n1,2\n3,4\n");
  REQUIRE(server.received(2));
  server.commit();
  REQUIRE(server.until([&] { return client.has("2\n"); }));
  CHECK(client.got == "RESUME 0\n2\n");
  server.crash();
  auto again = server.client();
  again.send("HELLO s\n");
  REQUIRE(server.until([&] { return again.has("RESUME 2\n"); }));
  again.send("b,a\n5,6\n");
  REQUIRE(server.received(3));
  CHECK(server.intake->accepted[2].first_line == "b,a");
  CHECK(server.intake->payloads() == Lines{"1,2", "3,4", "5,6"});
}

TEST_CASE("first line: standard input begins with it") {
  boost::asio::io_context io;
  FakeIntake intake;
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  config::StdinSource settings;
  settings.first_line_names = true;
  source::StdinSource source(io, settings, "stdin", intake, ends[0]);
  source.start();
  REQUIRE(::write(ends[1], "\na,b\n1,2", 8) == 8);
  ::close(ends[1]);
  REQUIRE(run_until(io, [&] { return source.finished(); }));
  ::close(ends[0]);
  REQUIRE(intake.payloads() == Lines{"1,2"});
  CHECK(intake.accepted[0].first_line == "a,b");
}
