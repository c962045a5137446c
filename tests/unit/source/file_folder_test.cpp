// What becomes of files when it is their folder to which something happens.
#include <algorithm>

#include "tests/unit/source/file_fixture.h"

using namespace rivulet;
using namespace rivulet::test;

namespace {

constexpr int many = static_cast<int>(source::FileSource::max_retired) + 8;

void append_to_each(const Follower& f, const std::string& line) {
  for (int i = 0; i < many; ++i) append(f.path("sub/" + std::to_string(i) + ".log"), line + " of " + std::to_string(i) + "\n");
}
bool no_line_twice(const Follower& f) {
  auto lines = f.lines();
  std::sort(lines.begin(), lines.end());
  return std::adjacent_find(lines.begin(), lines.end()) == lines.end();
}

}  // namespace

TEST_CASE("file: a folder that cannot be read for a while forgets nothing") {
  Follower f("sub/app.log");
  std::filesystem::create_directory(f.path("sub"));
  append(f.path("sub/app.log"), numbered(0, 10));
  f.begin();
  REQUIRE(f.reads(10));
  f.end();
  f.rename("sub", "unmounted");
  f.begin();
  run_until(f.io, [] { return false; }, std::chrono::milliseconds(20));
  f.rename("unmounted", "sub");
  append(f.path("sub/app.log"), "more\n");
  REQUIRE(f.reads(11));
  CHECK(f.lines().back() == "more");
}

TEST_CASE("file: a folder that is empty for a while, as a mount point is, forgets nothing") {
  for (const bool restart : {true, false}) {
    Follower f("sub/*.log");
    std::filesystem::create_directory(f.path("sub"));
    append_to_each(f, "first");
    f.begin();
    REQUIRE(f.reads(many));
    if (restart) f.end();
    f.rename("sub", "unmounted");
    std::filesystem::create_directory(f.path("sub"));
    if (restart) f.begin();
    REQUIRE(run_until(f.io, [&] { return f.source->state() == "waiting for " + f.config.path; }));
    std::filesystem::remove(f.path("sub"));
    f.rename("unmounted", "sub");
    append_to_each(f, "second");
    REQUIRE(f.reads(2 * many));
    CHECK(no_line_twice(f));
    CHECK(f.only_marker("sub/0.log", "marker"));
  }
}

TEST_CASE("file: a folder of another file system forgets nothing of the first one") {
  Follower f("sub/*.log");
  const TwoFileSystems two(f.folder, "sub");
  if (!two.differ) {
    WARN("there is no second file system");
    return;
  }
  append_to_each(f, "first");
  f.begin();
  REQUIRE(f.reads(many));
  two.show_second();
  append(f.path("sub/a.log"), "a\n");
  REQUIRE(f.reads(many + 1));
  REQUIRE(run_until(f.io, [&] { return f.source->state().starts_with("following 1 files"); }));
  append(f.path("sub/b.log"), "b\n");  // the folder is listed again
  REQUIRE(f.reads(many + 2));
  two.show_first();
  append_to_each(f, "second");
  REQUIRE(f.reads(2 * many + 2));
  CHECK(no_line_twice(f));
}
