// What becomes of files when it is their folder to which something happens.
#include <dirent.h>
#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <thread>

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

std::atomic<int> entries_left{-1};  // until a folder breaks off; below 0: never

}  // namespace

// Instead of the C library's, for this whole program: a file system that goes away while a folder is read says so here.
extern "C" dirent* readdir(DIR* folder) {
  static const auto real = reinterpret_cast<dirent* (*)(DIR*)>(::dlsym(RTLD_NEXT, sizeof(void*) == 4 ? "readdir64" : "readdir"));
  if (entries_left == 0) {
    errno = EIO;
    return nullptr;
  }
  if (entries_left > 0) --entries_left;
  return real(folder);
}

TEST_CASE("file: a folder whose list breaks off forgets nothing, and says so") {
  Follower f("sub/*.log");
  std::filesystem::create_directory(f.path("sub"));
  append_to_each(f, "first");
  f.begin();
  REQUIRE(f.reads(many));
  entries_left = 12;
  std::filesystem::create_directory(f.path("sub/touched"));  // so that it is looked at again
  CHECK(run_until(f.io, [&] { return f.source->state().find("to its end: Input/output error") != std::string::npos; }, std::chrono::seconds(20)));
  run_until(f.io, [] { return false; }, std::chrono::milliseconds(100));
  entries_left = -1;
  run_until(f.io, [] { return false; }, std::chrono::milliseconds(500));
  CHECK(f.lines().size() == many);
  append_to_each(f, "second");
  CHECK(f.reads(2 * many));
  CHECK(no_line_twice(f));
}

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

TEST_CASE("file: a folder in which files are made all the time is listed whole at once", "[slow]") {
  TempFolder folder;
  for (int i = 0; i < 2000; ++i) append(folder / std::to_string(i), "");
  std::atomic<bool> ending{false};
  std::thread writer([&] {
    for (int i = 2000; !ending && i < 10'000; ++i) append(folder / std::to_string(i), "");
  });
  source::Where where(folder / "*");
  for (int i = 0; i < 10; ++i) CHECK_FALSE(where.list().torn);
  ending = true;
  writer.join();
}

TEST_CASE("batch: a folder into which files are renamed all the time is listed whole at once", "[slow]") {
  TempFolder folder;
  for (int i = 0; i < 2000; ++i) append(folder / (std::to_string(i) + ".gz"), "");
  std::atomic<bool> ending{false};
  std::thread writer([&] {
    for (int i = 2000; !ending && i < 10'000; ++i) {
      append(folder / "being-written", "");
      ::rename((folder / "being-written").c_str(), (folder / (std::to_string(i) + ".gz")).c_str());
    }
  });
  source::Where where(folder / "*.gz", true);
  for (int i = 0; i < 10; ++i) CHECK_FALSE(where.list().torn);
  ending = true;
  writer.join();
}

TEST_CASE("file: a file that is moved away and overwritten while it is open does not keep its successor waiting") {
  Follower f("app.log");
  append(f.path("app.log"), numbered(0, 10));
  f.begin();
  REQUIRE(f.reads(10));
  std::filesystem::create_directory(f.path("away"));
  f.rename("app.log", "away/app.log");
  overwrite(f.path("away/app.log"), std::string(4096, 'x'));  // as shred does before it deletes
  append(f.path("app.log"), numbered(10, 20));
  CHECK(run_until(f.io, [&] { return f.intake->accepted.size() == 20; }, std::chrono::seconds(30)));
}

namespace {

struct NotRoot {  // root may list every folder
  NotRoot() : changed(::geteuid() == 0 && ::seteuid(65534) == 0) {}
  NotRoot(const NotRoot&) = delete;
  NotRoot& operator=(const NotRoot&) = delete;
  ~NotRoot() {
    if (changed && ::seteuid(0) != 0) std::abort();
  }
  const bool changed;
};

}  // namespace

TEST_CASE("file: in a folder that cannot be listed a file that is written anew does not wait for what it was") {
  using std::filesystem::perms;
  Follower f("sub/app.log");
  std::filesystem::create_directory(f.path("sub"));
  append(f.path("sub/app.log"), numbered(0, 10));
  std::filesystem::permissions(f.folder.path(), static_cast<perms>(0711));
  std::filesystem::permissions(f.path("sub"), static_cast<perms>(0111));
  std::filesystem::permissions(f.path("sub/app.log"), static_cast<perms>(0666));
  {
    const NotRoot not_root;
    if (::geteuid() == 0) {
      WARN("root may list every folder");
      return;
    }
    f.begin();
    REQUIRE(f.reads(10));
    CHECK_THAT(f.source->state(), ContainsSubstring("cannot read folder"));
    overwrite(f.path("sub/app.log"), numbered(0, 30, "anew"));
    CHECK(run_until(f.io, [&] { return f.intake->accepted.size() == 40; }, std::chrono::seconds(30)));
  }
  std::filesystem::permissions(f.path("sub"), perms::owner_all);
}
