// A file that is shorter than what was read of it lost its end, or was truncated and written anew: what it begins with decides, over restarts.
#include "agent/source/file/head.h"
#include "tests/unit/source/file_fixture.h"

using namespace rivulet;
using namespace rivulet::test;
using source::Head;

namespace {

// Lines of sensors begin alike: the first 32 bytes of each are the same.
std::string reading(int value) { return R"({"device":"press-1","temperature":)" + std::to_string(value) + "}"; }

std::string readings(int count) {
  std::string lines;
  for (int i = 0; i < count; ++i) lines += reading(100 + i) + "\n";
  return lines;
}

}  // namespace

TEST_CASE("file: truncated while the agent was down, a line that begins like the first one before is read") {
  for (const int before : {2, 10, 100}) {
    Follower f("app.log");
    append(f.path("app.log"), readings(before));
    f.begin();
    REQUIRE(f.reads(static_cast<std::size_t>(before)));
    f.end();
    overwrite(f.path("app.log"), reading(7) + "\n");
    f.begin();
    REQUIRE(f.reads(static_cast<std::size_t>(before) + 1));
    CHECK(f.lines().back() == reading(7));
    CHECK(f.only_marker("app.log", "marker"));
  }
}

TEST_CASE("file: cut anywhere by a power cut it goes on at its new end, over a restart") {
  for (const int kept : {16, 37, 38, 200, 1023}) {
    Follower f("app.log");
    append(f.path("app.log"), readings(100));
    f.begin();
    REQUIRE(f.reads(100));
    f.end();
    std::filesystem::resize_file(f.path("app.log"), static_cast<std::uintmax_t>(kept));
    f.begin();
    REQUIRE(f.counts("tail_lost"));
    CHECK(f.only_marker("app.log", "marker"));
  }
}

TEST_CASE("file: a line's first few bytes do not make a new file one that lost its end") {
  for (const std::string began : {"{\"dev", "{\"device\":\"press-1\",\"temperature"}) {
    const bool other_name = began.size() > 16;  // a deleted file's inode
    Follower f("app.log*");
    append(f.path("app.log.3"), readings(100));
    f.begin();
    REQUIRE(f.reads(100));
    f.end();
    if (other_name) std::filesystem::rename(f.path("app.log.3"), f.path("app.log"));
    const auto path = f.path(other_name ? "app.log" : "app.log.3");
    overwrite(path, began);
    f.begin();
    (void)run_until(f.io, [] { return false; }, std::chrono::milliseconds(50));  // it is looked at
    append(path, reading(7).substr(began.size()) + "\n");
    REQUIRE(f.reads(101));
    CHECK(f.lines().back() == reading(7));
    CHECK(f.intake->counts["tail_lost"] == 0);
  }
}

TEST_CASE("file: with a copy beside it, a file that begins again as before was truncated after the copy, not cut") {
  for (const bool restart : {true, false}) {
    Follower f("app.log");
    append(f.path("app.log"), "# time, value\n" + readings(100));
    f.begin();
    REQUIRE(f.reads(101));
    f.end();
    append(f.path("app.log"), "unread\n");
    if (!restart) {
      f.begin();
      REQUIRE(f.reads(102));
    }
    std::filesystem::copy_file(f.path("app.log"), f.path("app.log.1"));
    overwrite(f.path("app.log"), "# time, value\n");
    if (restart) f.begin();
    REQUIRE(f.reads(103));
    CHECK(f.lines()[101] == "unread");
    CHECK(f.lines()[102] == "# time, value");
    CHECK(f.intake->counts["tail_lost"] == 0);
    CHECK(f.only_marker("app.log", "marker"));
  }
}

TEST_CASE("file: what a file begins with is stored while it grows, and not with each position") {
  Follower f("app.log");
  append(f.path("app.log"), readings(2));
  f.begin();
  REQUIRE(f.reads(2));
  f.end();
  CHECK(f.intake->positions.at("head:1") == readings(2));
  f.begin();
  append(f.path("app.log"), readings(100));
  REQUIRE(f.reads(102));
  f.intake->commit(*f.source);
  CHECK(f.intake->positions.at("head:1") == (readings(2) + readings(100)).substr(0, Head::max_bytes));
  f.intake->positions.erase("head:1");
  append(f.path("app.log"), "more\n");
  REQUIRE(f.reads(103));
  f.intake->commit(*f.source);
  CHECK_FALSE(f.intake->positions.contains("head:1"));
}

TEST_CASE("file: a position of a version that stored no beginning is understood, and gets one") {
  for (const int lines : {2, 100}) {
    Follower f("app.log");
    append(f.path("app.log"), readings(lines));
    f.begin();
    REQUIRE(f.reads(static_cast<std::size_t>(lines)));
    f.end();
    auto old = f.intake->positions;
    REQUIRE(old.erase("head:1") == 1);
    f.intake->start_with(old);
    f.begin();
    append(f.path("app.log"), "next\n");
    REQUIRE(f.reads(static_cast<std::size_t>(lines) + 1));
    f.end();
    CHECK(f.intake->positions.at("head:1") == (readings(lines) + "next\n").substr(0, Head::max_bytes));

    old = f.intake->positions;
    old.erase("head:1");
    f.intake->start_with(old);
    std::filesystem::resize_file(f.path("app.log"), 64);  // a step of the ladder
    f.begin();
    REQUIRE(f.counts("tail_lost"));
    CHECK(f.only_marker("app.log", "marker"));
  }
}

TEST_CASE("file: a beginning that is not that of its position is not believed") {
  Head head;
  head.set(readings(3));
  auto parsed = Head::parse(head.text());
  REQUIRE(parsed);
  CHECK_FALSE(parsed->restore(readings(2)));
  CHECK_FALSE(parsed->restore(std::string(readings(3).size(), 'x')));
  CHECK(parsed->bytes().empty());
  CHECK(parsed->compare(readings(1).substr(0, 36)) == Head::Match::shorter);
  CHECK(parsed->restore(readings(3)));
  CHECK(parsed->bytes() == readings(3));
  CHECK(parsed->compare(readings(3).substr(0, 36)) == Head::Match::shorter);
  CHECK(parsed->compare(reading(7) + "\n") == Head::Match::different);
}
