#include "tests/support/log_lines.h"
#include "tests/unit/source/file_fixture.h"

using namespace rivulet;
using namespace rivulet::test;

TEST_CASE("file: a file that grows is followed, its path is the topic") {
  Follower f("app.log");
  append(f.path("app.log"), "one\ntwo\n");
  f.begin();
  REQUIRE(f.reads(2));
  append(f.path("app.log"), "three\n");
  REQUIRE(f.reads(3));
  CHECK(f.lines() == Lines{"one", "two", "three"});
  CHECK(f.intake->accepted[0].topic == f.path("app.log"));
}

TEST_CASE("file: a last line counts when its newline is there, and then once") {
  Follower f("app.log");
  append(f.path("app.log"), "one\ntw");
  f.begin();
  REQUIRE(f.reads(1));
  append(f.path("app.log"), "o");
  run_until(f.io, [] { return false; }, std::chrono::milliseconds(20));
  CHECK(f.intake->accepted.size() == 1);
  append(f.path("app.log"), "\nthree\n");
  REQUIRE(f.reads(3));
  CHECK(f.lines() == Lines{"one", "two", "three"});
}

TEST_CASE("file: an empty file that grows and a file that appears later are read from the beginning") {
  Follower f("*.log");
  append(f.path("a.log"), "");
  f.begin();
  run_ready(f.io);
  append(f.path("a.log"), "a\n");
  REQUIRE(f.reads(1));
  append(f.path("b.log"), "b\n");
  append(f.path("c.txt"), "not matched\n");
  REQUIRE(f.reads(2));
  CHECK(f.lines() == Lines{"a", "b"});
}

TEST_CASE("file: CR before LF is cut off, NUL bytes and empty lines stay") {
  Follower f("app.log");
  append(f.path("app.log"), std::string_view("a\r\n\nb\0c\nd\re\n", 12));
  f.begin();
  REQUIRE(f.reads(4));
  CHECK(f.lines() == Lines{"a", "", std::string("b\0c", 3), "d\re"});
}

TEST_CASE("file: NUL bytes that a power cut or a truncation left before a line are left out and counted") {
  Follower f("app.log");
  append(f.path("app.log"), std::string(200'000, '\0') + "after\n");
  f.begin();
  REQUIRE(f.reads(1));
  CHECK(f.lines() == Lines{"after"});
  CHECK(f.intake->counts["hole_bytes"] == 200'000);
}

TEST_CASE("file: NUL bytes before any line are left out and counted, wherever a read begins") {
  Follower f("app.log");
  append(f.path("app.log"), "a\n" + std::string(100, '\0') + "b\n");
  f.begin();
  REQUIRE(f.reads(2));
  CHECK(f.intake->counts["hole_bytes"] == 100);
  f.end();
  f.begin();
  append(f.path("app.log"), std::string(7, '\0') + "c\n");
  REQUIRE(f.reads(3));
  CHECK(f.lines() == Lines{"a", "b", "c"});
}

TEST_CASE("file: NUL bytes are no part of a line's length, also while the line is not finished") {
  Follower f("app.log");
  f.config.max_line_bytes = 100;
  append(f.path("app.log"), "a\n" + std::string(200, '\0') + "b\nc\n" + std::string(200, '\0'));
  f.begin();
  REQUIRE(f.reads(3));
  append(f.path("app.log"), "d\ne\n" + std::string(50, '\0') + std::string(90, 'x'));
  REQUIRE(f.reads(5));
  append(f.path("app.log"), "y\n");
  REQUIRE(f.reads(6));
  CHECK(f.lines() == Lines{"a", "b", "c", "d", "e", std::string(90, 'x') + "y"});
  CHECK(f.intake->counts["hole_bytes"] == 450);
  CHECK(f.intake->counts["line_too_long"] == 0);
}

TEST_CASE("file: a line beyond the limit is left out and counted, the lines around it are read") {
  for (const std::size_t length : {std::size_t{101}, std::size_t{70'000}, std::size_t{1'000'000}}) {
    Follower f("app.log");
    const LogLines log;
    f.config.max_line_bytes = 100;
    append(f.path("app.log"), "before\n" + std::string(length, 'x') + "\nafter\n" + std::string(100, 'y') + "\n");
    f.begin();
    REQUIRE(f.reads(3));
    CHECK(f.lines() == Lines{"before", "after", std::string(100, 'y')});
    CHECK(f.intake->counts["line_too_long"] == 1);
    CHECK(log.with("longer than max_line (100 bytes)").size() == 1);
    CHECK_THAT(source::describe_guarantee(f.config), ContainsSubstring("longer than max_line (counted)"));
  }
}

TEST_CASE("file: a long line that is still within the limit is read, however it is written") {
  Follower f("app.log");
  const std::string line(900'000, 'x');
  append(f.path("app.log"), "a\n");
  f.begin();
  REQUIRE(f.reads(1));
  for (int piece = 0; piece < 9; ++piece) {
    append(f.path("app.log"), line.substr(0, 100'000));
    run_until(f.io, [] { return false; }, std::chrono::milliseconds(10));
  }
  append(f.path("app.log"), "\nz\n");
  REQUIRE(f.reads(3));
  CHECK(f.lines()[1] == line);
  CHECK(f.lines()[2] == "z");
}

TEST_CASE("file: a restart goes on where the last commit was") {
  Follower f("app.log");
  append(f.path("app.log"), numbered(0, 1000));
  f.begin();
  REQUIRE(f.reads(1000));
  f.intake->commit(*f.source);
  append(f.path("app.log"), numbered(1000, 1500));
  REQUIRE(f.reads(1500));
  f.crash();  // 500 lines were read and not committed
  REQUIRE(f.intake->accepted.size() == 1000);
  f.begin();
  REQUIRE(f.reads(1500));
  CHECK(f.lines()[1499] == "line 1499");
}

TEST_CASE("file: without room reading stops and goes on without loss", "[slow]") {
  Follower f("app.log");
  append(f.path("app.log"), numbered(0, 20'000));
  f.intake->room_up_to = 5;
  f.begin();
  REQUIRE(f.reads(5));
  f.end();
  f.intake->room_up_to = 777;
  f.begin();
  REQUIRE(f.reads(777));
  f.intake->room_up_to = 1'000'000;
  f.source->on_room();
  REQUIRE(f.reads(20'000));
  for (int i = 0; i < 20'000; ++i) {
    if (f.intake->accepted[static_cast<std::size_t>(i)].payload != "line " + std::to_string(i)) FAIL("line " << i << " is wrong");
  }
}

TEST_CASE("file: start: end skips what is there, keeps an unfinished line, and reads all that comes later") {
  Follower f("*.log", true);
  append(f.path("old.log"), "skipped\nskipped too\nunfin");
  f.begin();
  run_ready(f.io);
  append(f.path("old.log"), "ished\n");
  REQUIRE(f.reads(1));
  f.end();
  append(f.path("new.log"), "written while the agent was down\n");
  f.begin();
  REQUIRE(f.reads(2));
  CHECK(f.lines() == Lines{"unfinished", "written while the agent was down"});
}

TEST_CASE("file: one large file does not keep a small one waiting", "[slow]") {
  Follower f("*.log");
  append(f.path("large.log"), numbered(0, 500'000));
  append(f.path("small.log"), "small\n");
  f.begin();
  REQUIRE(run_until(f.io, [&] {
    const auto& accepted = f.intake->accepted;
    return !accepted.empty() && accepted.back().payload == "small";
  }));
  CHECK(f.intake->accepted.size() < 50'000);
  REQUIRE(f.reads(500'001));
}

TEST_CASE("file: a file that may not be read is said to be so, and others go on") {
  Follower f("*.log");
  append(f.path("a.log"), "a\n");
  std::filesystem::create_directory(f.path("folder.log"));
  std::filesystem::create_symlink(f.path("nowhere"), f.path("dangling.log"));
  REQUIRE(::mkfifo(f.path("pipe.log").c_str(), 0600) == 0);
  f.begin();
  REQUIRE(f.reads(1));
  if (::geteuid() != 0) {  // root may read everything
    append(f.path("secret.log"), "b\n");
    std::filesystem::permissions(f.path("secret.log"), std::filesystem::perms::none);
    REQUIRE(run_until(f.io, [&] { return f.source->state().find("Permission denied") != std::string::npos; }));
    CHECK(f.source->in_trouble());
    std::filesystem::permissions(f.path("secret.log"), std::filesystem::perms::owner_all);
    REQUIRE(f.reads(2));
    CHECK_FALSE(f.source->in_trouble());
  }
  REQUIRE(f.only_marker("a.log", "end"));
}

TEST_CASE("file: a folder that is not there yet is waited for") {
  Follower f("later/app.log");
  f.begin();
  CHECK_THAT(f.source->state(), ContainsSubstring("cannot read folder"));
  CHECK(f.source->in_trouble());
  std::filesystem::create_directory(f.path("later"));
  append(f.path("later/app.log"), "x\n");
  REQUIRE(f.reads(1));
  CHECK_THAT(f.source->state(), ContainsSubstring("following 1 files"));
  CHECK_FALSE(f.source->in_trouble());
}

TEST_CASE("file: a source is in trouble where it cannot read, and in none where it waits for its file") {
  Follower f("app.log");
  f.begin();
  CHECK_THAT(f.source->state(), ContainsSubstring("waiting for "));
  CHECK_FALSE(f.source->in_trouble());
  append(f.path("app.log"), "x\n");
  REQUIRE(f.reads(1));
  CHECK_FALSE(f.source->in_trouble());
}

TEST_CASE("file: an unreadable position is refused, not guessed") {
  using source::parse_position;
  const std::string good = "1 5 77 0:0: 16 /var/log/a b.log/var/log/a";
  REQUIRE(parse_position("file:3", good));
  CHECK(parse_position("file:3", good)->path == "/var/log/a b.log");
  CHECK(parse_position("file:3", good)->origin == "/var/log/a");
  for (const char* value : {"", "1", "2 5 77 0:0: 2 /x", "1 x 77 0:0: 2 /x", "1 5 77 9 2 /x", "1 5 77 0:0:", "1 5 77 2000:0: 2 /x", "1 5 77 0:0: 3 /x",
                            "1 5 77 0:0: 0 /x"}) {
    CHECK_FALSE(parse_position("file:3", value));
  }
  CHECK_FALSE(parse_position("file:", good));
  CHECK_FALSE(parse_position("session:3", good));
}
