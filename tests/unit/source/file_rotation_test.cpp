// Cases from the threads of other tailers: logstash-input-file #225 and #109 (inode used again, chains of renames), fluent-bit
// #1330 (rotation while the agent is down) and #2960 (two positions with one inode), beats #39731 (copytruncate read twice).
#include <algorithm>
#include <atomic>
#include <thread>

#include "agent/source/file/matching.h"
#include "tests/unit/source/file_fixture.h"

using namespace rivulet;
using namespace rivulet::test;

TEST_CASE("file: after a rename the old file is finished before the new one is begun", "[slow]") {
  Follower f("app.log");
  append(f.path("app.log"), numbered(0, 10));
  f.begin();
  REQUIRE(f.reads(10));
  append(f.path("app.log"), numbered(10, 50'000));  // not read yet when it is renamed
  f.rename("app.log", "app.log.1");
  append(f.path("app.log"), "new\n");
  REQUIRE(f.reads(50'001));
  CHECK(f.lines().back() == "new");
  CHECK(f.lines()[49'999] == "line 49999");
}

TEST_CASE("file: a writer that still writes to the renamed file is heard") {
  Follower f("app.log");
  append(f.path("app.log"), "1\n");
  f.begin();
  REQUIRE(f.reads(1));
  f.rename("app.log", "app.log.1");
  append(f.path("app.log"), "2\n");
  REQUIRE(f.reads(2));
  append(f.path("app.log.1"), "late\n");
  REQUIRE(f.reads(3));
  CHECK(f.lines() == Lines{"1", "2", "late"});
}

TEST_CASE("file: a file renamed before its first line was read is not lost") {
  Follower f("app.log");
  append(f.path("app.log"), "");
  f.begin();
  run_ready(f.io);
  append(f.path("app.log"), "quick\n");
  f.rename("app.log", "app.log.1");
  append(f.path("app.log"), "new\n");
  REQUIRE(f.reads(2));
  CHECK(f.lines() == Lines{"quick", "new"});
}

TEST_CASE("file: rotation while the agent is down: the rest of the old file, then the new one") {
  for (const char* name : {"app.log", "app.log*"}) {
    Follower f(name);
    append(f.path("app.log"), numbered(0, 100));
    f.begin();
    REQUIRE(f.reads(100));
    f.end();
    append(f.path("app.log"), "rest\n");
    f.rename("app.log", "app.log.1");
    append(f.path("app.log"), "new\n");
    f.begin();
    REQUIRE(f.reads(102));
    CHECK(f.lines()[100] == "rest");
    CHECK(f.lines()[101] == "new");
    CHECK(f.only_marker("app.log", "marker"));
  }
}

TEST_CASE("file: two rotations while the agent is down lose nothing, in order") {
  Follower f("app.log");
  append(f.path("app.log.1"), "from before the first start\n");
  set_modified(f.path("app.log.1"), 1000);
  append(f.path("app.log"), numbered(0, 10));
  f.begin();
  REQUIRE(f.reads(10));
  f.end();
  append(f.path("app.log"), "rest\n");
  f.rename("app.log.1", "app.log.3");
  f.rename("app.log", "app.log.2");
  append(f.path("app.log.1"), "middle\n");
  append(f.path("app.log"), "new\n");
  set_modified(f.path("app.log.2"), 2000);
  set_modified(f.path("app.log.1"), 3000);
  f.begin();
  REQUIRE(f.reads(13));
  CHECK(f.lines()[10] == "rest");
  CHECK(f.lines()[11] == "middle");
  CHECK(f.lines()[12] == "new");
}

TEST_CASE("file: what is deleted before it was read is counted, and not while its folder is empty") {
  Follower f("*.log");
  f.intake->room_up_to = 0;  // as in a long outage
  append(f.path("a.log"), numbered(0, 10));
  append(f.path("b.log"), numbered(10, 20));
  append(f.path("c.log"), numbered(20, 30));
  const auto size = std::filesystem::file_size(f.path("c.log"));
  f.begin();
  REQUIRE(run_until(f.io, [&] { return f.source->state().find("3 files") != std::string::npos; }));
  std::filesystem::remove(f.path("c.log"));
  REQUIRE(f.counts("bytes_lost", size));
  CHECK(f.intake->counts["bytes_lost"] == size);
  std::filesystem::remove(f.path("a.log"));
  std::filesystem::remove(f.path("b.log"));  // or another file system was mounted over them, and they come back with it
  REQUIRE(run_until(f.io, [&] { return f.source->state().find("waiting for") == 0; }));
  CHECK(f.intake->counts["bytes_lost"] == size);
}

TEST_CASE("file: a file that was written and renamed unseen is read though an older, deleted one had its name") {
  Follower f("app.log");
  append(f.path("app.log"), numbered(0, 10));  // A
  f.begin();
  REQUIRE(f.reads(10));
  f.rename("app.log", "app.log.1");
  append(f.path("app.log"), numbered(10, 20));  // B
  REQUIRE(f.reads(20));
  f.end();
  // Twice, and two old files are kept: A goes, and C gets the name under which A is remembered.
  f.rename("app.log.1", "app.log.2");
  f.rename("app.log", "app.log.1");
  append(f.path("app.log"), numbered(20, 30));  // C
  std::filesystem::remove(f.path("app.log.2"));
  f.rename("app.log.1", "app.log.2");
  f.rename("app.log", "app.log.1");
  append(f.path("app.log"), numbered(30, 40));  // D
  f.begin();
  REQUIRE(f.reads(40));
  for (std::size_t i = 0; i < 40; ++i) CHECK(f.lines()[i] == "line " + std::to_string(i));
}

TEST_CASE("file: the inode is a hint: files are found again when all inodes are others") {
  Follower f("*.log");
  append(f.path("a.log"), numbered(0, 50, "a"));
  append(f.path("b.log"), numbered(0, 60, "b"));
  f.begin();
  REQUIRE(f.reads(110));
  f.end();
  for (const char* name : {"a.log", "b.log"}) {  // copies have new inodes, as after a restore
    std::filesystem::copy_file(f.path(name), f.path("copy"));
    f.rename("copy", name);
    append(f.path(name), std::string("more of ") + name + "\n");
  }
  f.begin();
  REQUIRE(f.reads(112));
  CHECK(f.only_marker("a.log", "marker"));
}

TEST_CASE("file: an inode that is used again for another file is a new file") {
  Follower f("app.log");
  append(f.path("app.log"), numbered(0, 100, "old"));
  f.begin();
  REQUIRE(f.reads(100));
  f.end();
  struct stat old {}, made {};
  REQUIRE(::stat(f.path("app.log").c_str(), &old) == 0);
  overwrite(f.path("app.log"), numbered(0, 200, "new"));  // the same inode for certain
  REQUIRE(::stat(f.path("app.log").c_str(), &made) == 0);
  REQUIRE(old.st_ino == made.st_ino);
  f.begin();
  REQUIRE(f.reads(300));
  CHECK(f.lines()[100] == "new 0");
}

TEST_CASE("file: two positions with one inode: the head decides which file it is") {
  Follower f("app.log*");
  append(f.path("app.log"), numbered(0, 100, "first"));
  f.begin();
  REQUIRE(f.reads(100));
  f.end();
  auto positions = f.intake->positions;
  REQUIRE(positions.contains("file:1"));
  overwrite(f.path("other"), numbered(0, 5000, "gone"));
  source::Head head;
  head.set(numbered(0, 5000, "gone"));
  struct stat about {};
  REQUIRE(::stat(f.path("app.log").c_str(), &about) == 0);
  positions["file:2"] = "1 40000 " + std::to_string(about.st_ino) + " " + head.text() + " " + std::to_string(f.path("app.log.2").size()) + " " + f.path("app.log.2");
  std::filesystem::remove(f.path("other"));
  f.intake->start_with(positions);
  f.begin();
  append(f.path("app.log"), "next\n");
  REQUIRE(f.reads(101));
  CHECK(f.lines().back() == "next");
}

TEST_CASE("file: a file shorter than its position with the same head goes on at its new end and is reported") {
  for (const bool restart : {true, false}) {
    for (const int kept : {30, 500, 1500}) {  // within the first steps of the ladder, within the head, beyond it
      Follower f("app.log");
      std::string text;
      for (int i = 0; text.size() < 5000; ++i) text += "{\"n\":" + std::to_string(i) + ",\"v\":" + std::to_string(i * 7919) + "}\n";
      append(f.path("app.log"), text);
      f.begin();
      REQUIRE(run_until(f.io, [&] { return !f.intake->accepted.empty(); }));
      const auto read = f.intake->accepted.size();
      if (restart) f.end();
      std::filesystem::resize_file(f.path("app.log"), static_cast<std::uintmax_t>(kept));
      if (restart) f.begin();
      REQUIRE(f.counts("tail_lost"));
      append(f.path("app.log"), "after the power cut\n");
      REQUIRE(f.reads(read + 1));
      CHECK(f.lines().back() == "after the power cut");
      f.end();
      f.begin();
      CHECK(f.only_marker("app.log", "marker"));
    }
  }
}

TEST_CASE("file: a truncated file is read from its beginning, whether it is shorter or longer than before") {
  for (const int lines : {1, 10, 1000}) {
    for (const bool restart : {true, false}) {
      Follower f("app.log");
      append(f.path("app.log"), numbered(0, 100, "a rather long text before the number, as logs have"));
      f.begin();
      REQUIRE(f.reads(100));
      if (restart) f.end();
      overwrite(f.path("app.log"), numbered(0, lines, "b"));
      if (restart) f.begin();
      REQUIRE(f.reads(100 + static_cast<std::size_t>(lines)));
      CHECK(f.lines()[100] == "b 0");
    }
  }
}

TEST_CASE("file: truncated to nothing and then written with the same beginning is read again") {
  Follower f("app.log");
  append(f.path("app.log"), numbered(0, 100));
  f.begin();
  REQUIRE(f.reads(100));
  overwrite(f.path("app.log"), "");
  REQUIRE(f.counts("truncated"));
  append(f.path("app.log"), numbered(0, 50));
  REQUIRE(f.reads(150));
}

TEST_CASE("file: what copytruncate copied and was not read yet is read from the copy") {
  for (const char* name : {"app.log", "app.log*"}) {
    Follower f(name);
    append(f.path("app.log"), numbered(0, 100));
    f.begin();
    REQUIRE(f.reads(100));
    f.end();
    append(f.path("app.log"), "unread\n");
    std::filesystem::copy_file(f.path("app.log"), f.path("app.log.1"));
    overwrite(f.path("app.log"), "new\n");
    f.begin();
    REQUIRE(f.reads(102));
    CHECK(f.lines()[100] == "unread");
    CHECK(f.lines()[101] == "new");
    CHECK(f.only_marker("app.log", "marker"));
  }
}

TEST_CASE("file: a copy that matches the glob and is seen before the truncation is not read twice") {
  Follower f("app.log*");
  append(f.path("app.log"), numbered(0, 100));
  f.begin();
  REQUIRE(f.reads(100));
  std::filesystem::copy_file(f.path("app.log"), f.path("app.log.1"));
  run_until(f.io, [] { return false; }, std::chrono::milliseconds(15));
  CHECK(f.intake->accepted.size() == 100);
  overwrite(f.path("app.log"), "new\n");
  REQUIRE(f.reads(101));
  CHECK(f.lines().back() == "new");
  CHECK(f.only_marker("app.log", "marker"));
}

TEST_CASE("file: two files with the same first KiB are two files, over rotation and restart") {
  const std::string header = std::string(1200, 'h') + "\n";
  Follower f("*.log");
  append(f.path("a.log"), header + "a1\n");
  append(f.path("b.log"), header + "b1\n");
  f.begin();
  REQUIRE(f.reads(4));
  f.end();
  append(f.path("a.log"), "a2\n");
  append(f.path("b.log"), "b2\n");
  f.rename("a.log", "c.log");
  append(f.path("a.log"), header + "a3\n");
  f.begin();
  REQUIRE(f.reads(8));
  auto rest = f.lines();
  rest.erase(rest.begin(), rest.begin() + 4);
  std::sort(rest.begin(), rest.end());
  CHECK(rest == Lines{"a2", "a3", "b2", std::string(1200, 'h')});
}

TEST_CASE("file: a deleted file is read to its end while it is open, and its position is forgotten") {
  Follower f("app.log");
  append(f.path("app.log"), "1\n");
  f.begin();
  REQUIRE(f.reads(1));
  append(f.path("app.log"), "2\n");
  std::filesystem::remove(f.path("app.log"));
  REQUIRE(f.reads(2));
  REQUIRE(run_until(f.io, [&] {
    f.intake->commit(*f.source);
    return f.intake->positions.empty();
  }));
  append(f.path("app.log"), "1\n");  // the same head as the one that is gone
  REQUIRE(f.reads(3));
}

TEST_CASE("file: positions of files that went away are bounded") {
  Follower f("*.log");
  f.begin();
  const int files = static_cast<int>(source::FileSource::max_retired) + 30;
  for (int i = 0; i < files; ++i) {
    const std::string name = std::to_string(i) + ".log";
    append(f.path(name), "file " + std::to_string(i) + "\n");
    REQUIRE(f.reads(static_cast<std::size_t>(i) + 1));
  }
  f.end();
  CHECK(f.intake->positions.size() == 2 * static_cast<std::size_t>(files));  // how far, and what it begins with
  for (int i = 1; i < files; ++i) std::filesystem::remove(f.path(std::to_string(i) + ".log"));
  f.begin();
  REQUIRE(run_until(f.io, [&] {
    f.intake->commit(*f.source);
    return f.intake->positions.size() <= 2 * (1 + source::FileSource::max_retired);
  }));
}

TEST_CASE("file: compressed rotations do not match a plain glob") {
  Follower f("app.log*");
  append(f.path("app.log"), "x\n");
  append(f.path("app.log.2.gz"), "\x1f\x8b\n\n\n");
  f.begin();
  REQUIRE(f.reads(1));
  CHECK(f.only_marker("app.log", "marker"));
}

namespace {

// A tail that has read `text`, the beginning of the file.
source::Tail reader_of(const std::string& path, std::string_view text) {
  struct stat about {};
  REQUIRE(::stat(path.c_str(), &about) == 0);
  source::Tail tail;
  tail.serial = 1;
  tail.path = tail.origin = path;
  tail.inode = about.st_ino;
  tail.offset = tail.searched_to = text.size();
  tail.head.set(text);
  return tail;
}

}  // namespace

TEST_CASE("file: one that is renamed between the listing and the look at its beginning is not taken for truncated") {
  for (const char* name : {"app.log", "app.log*"}) {
    TempFolder folder;
    const std::string path = folder / "app.log";
    append(path, numbered(0, 100));
    auto tail = reader_of(path, numbered(0, 50));
    const auto listing = source::Where(folder / name).list();
    std::filesystem::rename(path, folder / "app.log.1");
    append(path, numbered(0, 100, "other"));
    const auto matching = source::match({&tail}, listing);
    CHECK(matching.lost.empty());
    CHECK(matching.fresh.empty());
    REQUIRE(matching.pairs.size() == 1);
    CHECK(matching.pairs[0].tail == &tail);
    CHECK_FALSE(matching.pairs[0].shorter);
  }
}

TEST_CASE("file: a writer that rotates while the folder is read: every line once and in order") {
  constexpr int kept = 30, lines_a_file = 20, ahead = 200;  // what is rotated away was read long before
  Follower f("app.log");
  f.config.poll_ms = 1;
  append(f.path("app.log"), "0\n");
  f.begin();
  REQUIRE(f.reads(1));
  std::atomic<int> written{1}, taken{1};
  std::atomic<bool> ending{false};
  std::thread writer([&] {
    while (!ending) {
      for (int i = 0; i < lines_a_file; ++i) append(f.path("app.log"), std::to_string(written++) + "\n");
      for (int i = kept - 1; i >= 1; --i) ::rename(f.path("app.log." + std::to_string(i)).c_str(), f.path("app.log." + std::to_string(i + 1)).c_str());
      f.rename("app.log", "app.log.1");
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      while (!ending && written - taken > ahead) std::this_thread::yield();
    }
    append(f.path("app.log"), "end\n");
  });
  const auto follow = [&] {
    taken = static_cast<int>(f.intake->accepted.size());
    return false;
  };
  run_until(f.io, follow, std::chrono::seconds(4));
  ending = true;
  writer.join();
  CHECK(f.reads(static_cast<std::size_t>(written) + 1));
  const auto lines = f.lines();
  for (std::size_t n = 0; n + 1 < lines.size(); ++n) REQUIRE(lines[n] == std::to_string(n));
}
