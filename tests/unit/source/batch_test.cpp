#include "agent/source/file/batch_source.h"

#include <ctime>

#include "agent/source/factory.h"
#include "agent/source/file/batch_index.h"
#include "tests/support/compressed.h"
#include "tests/unit/source/file_fixture.h"

using namespace rivulet;
using namespace rivulet::test;

namespace {

// Writes a file as it should be: under another name first.
void put(const std::string& path, std::string_view bytes) {
  const std::string being_written = path + ".being-written";
  append(being_written, bytes);
  std::filesystem::rename(being_written, path);
}

struct Batches : Follower {
  explicit Batches(const std::string& name, config::FileSource::Compression compression = config::FileSource::Compression::automatic) : Follower(name) { config.compression = compression; }
  void begin_batches() {
    batches = std::make_unique<source::BatchSource>(io, config, "batches", *intake);
    batches->start();
  }
  void commit() { intake->commit(*batches); }
  void kill() {
    batches.reset();
    intake = intake->after_crash();
  }
  bool settles(const std::string& state) {
    return run_until(io, [&] { return batches->state() == state; }, std::chrono::seconds(20));
  }
  std::unique_ptr<source::BatchSource> batches;
};

std::string numbers(int from, int to) {
  std::string text;
  for (int i = from; i < to; ++i) text += "n" + std::to_string(i) + "\n";
  return text;
}
Lines expected_lines(int from, int to) {
  Lines all;
  for (int i = from; i < to; ++i) all.push_back("n" + std::to_string(i));
  return all;
}

}  // namespace

TEST_CASE("batch: gzip, zstd and plain files are read once each, the oldest first, the last line without newline too") {
  Batches f("*");
  put(f.path("1.gz"), gzip("a\r\nb"));
  put(f.path("2.zst"), zstd("c\nd\n") + zstd("e"));
  put(f.path("3.csv"), "f\ng\nnot whole");
  for (int i = 1; i <= 3; ++i) std::filesystem::last_write_time(f.path(i == 1 ? "1.gz" : i == 2 ? "2.zst" : "3.csv"), std::filesystem::file_time_type(std::chrono::seconds(1'700'000'000 + i)));
  f.begin_batches();
  REQUIRE(f.reads(7));
  CHECK(f.lines() == Lines{"a", "b", "c", "d", "e", "f", "g"});
  CHECK(f.intake->accepted[0].topic == f.path("1.gz"));
  REQUIRE(f.settles("3 files read, 0 to be read, 7 lines"));
  f.commit();
  f.kill();
  std::filesystem::rename(f.path("1.gz"), f.path("1-done.gz"));
  f.begin_batches();
  REQUIRE(f.settles("3 files read, 0 to be read, 0 lines"));
  put(f.path("4.gz"), gzip("h\n"));
  REQUIRE(f.reads(8));
  CHECK(f.lines().back() == "h");
}

TEST_CASE("batch: a crash anywhere loses and doubles no line", "[slow]") {
  for (const bool gz : {true, false}) {
    Batches f("*");
    const std::string text = numbers(0, 60'000);
    put(f.path("a"), gz ? gzip(text) : zstd(text));
    std::size_t room = 0;
    for (int turn = 0; turn < 12; ++turn) {
      f.intake->room_up_to = f.intake->accepted.size() + 1777 * static_cast<std::size_t>(turn + 1);
      f.begin_batches();
      room = f.intake->room_up_to;
      REQUIRE(run_until(f.io, [&] { return f.intake->accepted.size() == std::min<std::size_t>(room, 60'000); }));
      if (turn % 3 != 2) f.commit();
      f.kill();
    }
    f.begin_batches();
    REQUIRE(f.reads(60'000));
    CHECK(f.lines() == expected_lines(0, 60'000));
  }
}

TEST_CASE("batch: a file that is gone before its turn is counted, once") {
  Batches f("*.gz", config::FileSource::Compression::gzip);
  f.intake->room_up_to = 0;
  for (const char* name : {"a.gz", "b.gz", "c.gz"}) put(f.path(name), gzip(std::string("line of ") + name + "\n"));
  f.begin_batches();
  REQUIRE(run_until(f.io, [&] { return f.batches->state().find("3") != std::string::npos; }));
  std::filesystem::remove(f.path("c.gz"));
  REQUIRE(f.counts("file_lost"));
  f.intake->room_up_to = 100;
  f.batches->on_room();
  REQUIRE(f.reads(2));
  CHECK(f.intake->counts["file_lost"] == 1);
}

TEST_CASE("batch: a file that is cut off waits for its rest, and one that grows is read on", "[slow]") {
  Batches f("*.gz", config::FileSource::Compression::gzip);
  const std::string bytes = gzip(numbers(0, 50'000));
  append(f.path("a.gz"), std::string_view(bytes).substr(0, bytes.size() / 2));
  f.begin_batches();
  REQUIRE(f.counts("file_cut_off"));
  const auto before = f.intake->accepted.size();
  CHECK((before > 10'000 && before < 40'000));
  put(f.path("b.gz"), gzip("other\n"));  // keeps nobody else
  REQUIRE(f.reads(before + 1));
  f.commit();
  f.kill();
  append(f.path("a.gz"), std::string_view(bytes).substr(bytes.size() / 2));
  f.begin_batches();
  REQUIRE(f.reads(50'001));
  append(f.path("a.gz"), gzip(numbers(50'000, 50'003)));
  REQUIRE(f.reads(50'004));
  auto lines = f.lines();
  std::erase(lines, "other");
  CHECK(lines == expected_lines(0, 50'003));
}

TEST_CASE("batch: a damaged file gives the lines before the damage, is reported, and keeps no other from being read", "[slow]") {
  Batches f("*.gz", config::FileSource::Compression::gzip);
  std::string bytes = gzip(numbers(0, 50'000));
  bytes[bytes.size() - 6] ^= 1;  // of its checksum
  put(f.path("a.gz"), bytes);
  put(f.path("b.gz"), "no gzip at all\n");
  put(f.path("c.gz"), gzip("c\n"));
  f.begin_batches();
  REQUIRE(f.counts("file_damaged", 2));
  REQUIRE(run_until(f.io, [&] { return f.batches->state().find("1 files read, 0 to be read") == 0; }));
  CHECK_THAT(f.batches->state(), ContainsSubstring("2 files damaged or cut off"));
  CHECK(f.intake->accepted.size() > 1000);
  CHECK(f.lines().back() == "c");
  f.commit();
  f.kill();
  const auto all = f.intake->accepted.size();
  f.begin_batches();
  REQUIRE(f.settles("1 files read, 0 to be read, 0 lines, 2 files damaged or cut off"));
  CHECK(f.intake->accepted.size() == all);
  std::filesystem::remove(f.path("b.gz"));
  put(f.path("b.gz"), gzip("b\n"));
  REQUIRE(f.reads(all + 1));
}

TEST_CASE("batch: a line longer than the limit, a bomb's too, is left out and counted, and the lines around it are read") {
  Batches f("*");
  f.config.max_line_bytes = 1000;
  put(f.path("a.gz"), gzip("before\n" + std::string(30 << 20, 'x') + "\nafter\n" + std::string(2000, 'y')));
  f.begin_batches();
  REQUIRE(f.settles("1 files read, 0 to be read, 2 lines"));
  CHECK(f.lines() == Lines{"before", "after"});
  CHECK(f.intake->counts["line_too_long"] == 2);
}

TEST_CASE("batch: the lines before one that is left out come once, whatever becomes of its rest") {
  const std::string before = "{\"n\":1}\n{\"n\":2}\n", after = "\n{\"n\":3}\n";
  for (const bool gz : {true, false}) {
    for (const bool crash : {true, false}) {
      Batches f("*", gz ? config::FileSource::Compression::gzip : config::FileSource::Compression::automatic);
      f.config.max_line_bytes = 1024;
      const std::string bytes = gz ? gzip(before + std::string(5000, 'x')) : before + std::string(5000, 'x');
      if (gz) append(f.path("a"), std::string_view(bytes).substr(0, bytes.size() - 4));  // without its end
      else append(f.path("a"), bytes);
      f.begin_batches();
      REQUIRE(f.settles(gz ? "0 files read, 0 to be read, 2 lines, 1 files damaged or cut off" : "1 files read, 0 to be read, 2 lines"));
      f.commit();
      if (crash) {
        f.kill();
        f.begin_batches();
      }
      if (gz) append(f.path("a"), std::string_view(bytes).substr(bytes.size() - 4));
      append(f.path("a"), gz ? gzip(after) : after);
      REQUIRE(f.settles("1 files read, 0 to be read, " + std::string(crash ? "1" : "3") + " lines"));
      CHECK(f.lines() == Lines{"{\"n\":1}", "{\"n\":2}", "{\"n\":3}"});
    }
  }
}

TEST_CASE("batch: the lines before one that is left out come once after a crash in its middle") {
  Batches f("*");
  f.config.max_line_bytes = 1024;
  std::string text;
  while (text.size() < 64 * 1024 - 1500) text += "{\"n\":" + std::to_string(text.size()) + "}\n";
  const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  put(f.path("a"), text + std::string(30'000'000, 'x') + "\nlast\n");  // hundreds of turns long
  f.begin_batches();
  REQUIRE(run_until(f.io, [&] { return f.intake->accepted.size() == lines; }));
  f.commit();
  f.kill();
  f.begin_batches();
  REQUIRE(f.settles("1 files read, 0 to be read, 1 lines"));
  CHECK(f.intake->accepted.size() == lines + 1);
  CHECK(f.lines().back() == "last");
}

TEST_CASE("batch: the first line goes with the lines of its file, also after a crash") {
  Batches f("*");
  f.config.first_line_names = true;
  put(f.path("a.gz"), gzip("\na,b\n1,2\n3,4\n5,6\n"));
  f.intake->room_up_to = 2;
  f.begin_batches();
  REQUIRE(f.reads(2));
  f.commit();
  f.kill();
  f.begin_batches();
  REQUIRE(f.reads(3));
  CHECK(f.lines() == Lines{"1,2", "3,4", "5,6"});
  for (const auto& each : f.intake->accepted) CHECK(each.first_line == "a,b");
}

TEST_CASE("batch: positions are forgotten with their files, but for the newest that are gone") {
  Batches f("*.gz");
  for (int i = 0; i < 40; ++i) put(f.path(std::to_string(i) + ".gz"), gzip("line\n"));
  f.begin_batches();
  REQUIRE(f.reads(40));
  REQUIRE(f.settles("40 files read, 0 to be read, 40 lines"));
  f.commit();
  CHECK(f.intake->positions.size() == 40);
  for (int i = 1; i < 40; ++i) std::filesystem::remove(f.path(std::to_string(i) + ".gz"));
  REQUIRE(run_until(f.io, [&] {
    f.commit();
    return f.intake->positions.size() == 1 + source::BatchSource::max_retired;
  }));
}

TEST_CASE("batch: a folder that is empty for a while, as a mount point is, forgets nothing") {
  for (const bool restart : {true, false}) {
    Batches f("sub/*.gz");
    std::filesystem::create_directory(f.path("sub"));
    for (int i = 0; i < 40; ++i) put(f.path("sub/" + std::to_string(i) + ".gz"), gzip("line\n"));
    f.begin_batches();
    REQUIRE(f.settles("40 files read, 0 to be read, 40 lines"));
    f.commit();
    if (restart) f.kill();
    f.rename("sub", "unmounted");
    std::filesystem::create_directory(f.path("sub"));
    if (restart) f.begin_batches();
    REQUIRE(f.settles("waiting for " + f.config.path));
    std::filesystem::remove(f.path("sub"));
    f.rename("unmounted", "sub");
    put(f.path("sub/new.gz"), gzip("new\n"));
    REQUIRE(f.settles("41 files read, 0 to be read, " + std::string(restart ? "1" : "41") + " lines"));
    CHECK(f.intake->accepted.size() == 41);
  }
}

TEST_CASE("batch: a folder of another file system forgets nothing of the first one") {
  Batches f("sub/*.gz");
  const TwoFileSystems two(f.folder, "sub");
  if (!two.differ) {
    WARN("there is no second file system");
    return;
  }
  for (int i = 0; i < 40; ++i) put(f.path("sub/" + std::to_string(i) + ".gz"), gzip("line\n"));
  f.begin_batches();
  REQUIRE(f.settles("40 files read, 0 to be read, 40 lines"));
  two.show_second();
  for (int i = 1; i <= 2; ++i) {
    put(f.path("sub/" + std::to_string(i) + "-other.gz"), gzip("other\n"));
    REQUIRE(f.settles(std::to_string(i) + " files read, 0 to be read, " + std::to_string(40 + i) + " lines"));
  }
  two.show_first();
  put(f.path("sub/new.gz"), gzip("new\n"));
  REQUIRE(f.settles("41 files read, 0 to be read, 43 lines"));
}

TEST_CASE("batch: files that are missing make room for new ones", "[slow]") {
  constexpr auto most = source::BatchSource::max_files;
  Batches f("*.gz");
  put(f.path("1.gz"), gzip("old\n"));  // this one is there
  put(f.path("new.gz"), gzip("new\n"));
  set_modified(f.path("new.gz"), 1'000'000'000);  // and comes after the new one
  source::Batch gone;
  gone.state = source::Batch::State::done;
  gone.head.set(gzip("old\n"));
  gone.size = gzip("old\n").size();
  std::map<std::string, std::string> positions;
  for (std::uint64_t i = 1; i <= most; ++i) {
    gone.path = f.path(std::to_string(i) + ".gz");
    positions[source::batch_key(i)] = gone.position();
  }
  f.intake->start_with(positions);
  f.begin_batches();
  REQUIRE(f.settles("2 files read, 0 to be read, 1 lines"));
  CHECK(f.lines() == Lines{"new"});
  f.commit();
  CHECK(f.intake->positions.contains(source::batch_key(1)));
  CHECK_FALSE(f.intake->positions.contains(source::batch_key(2)));
}

TEST_CASE("batch: files that are known are not compared with each other", "[slow]") {
  constexpr std::uint64_t files = 100'000;  // all pairs of them take minutes
  std::map<std::uint64_t, source::Batch> batches;
  source::Listing listing;
  for (std::uint64_t i = 1; i <= files; ++i) {
    const std::string path = "/somewhere/" + std::to_string(i);
    source::Batch& batch = batches[i];
    batch.path = path;
    batch.inode = i;
    batch.size = i;
    batch.modified_ns = 1;
    batch.head.set("the same beginning");
    listing.files.push_back({path, i, 0, i, 1, true, false});
  }
  const auto begun = std::clock();
  const source::BatchIndex index(batches, listing, 1);
  std::size_t unchanged = 0, known = 0;
  for (source::Seen& seen : listing.files) {
    const auto* batch = &batches.at(seen.inode);
    unchanged += index.unchanged(seen) == batch ? 1 : 0;
    seen.inode += files;  // restored: by its path
    known += index.known(seen, "the same beginning, and more") == batch ? 1 : 0;
  }
  CHECK(unchanged == files);
  CHECK(known == files);
  CHECK((std::clock() - begun) / CLOCKS_PER_SEC < 20);
}

TEST_CASE("batch: the factory makes one where compression is set, and explains it") {
  boost::asio::io_context io;
  FakeIntake intake;
  config::Source source;
  source.name = "s";
  config::FileSource file;
  file.path = "/nowhere/*.gz";
  file.compression = config::FileSource::Compression::gzip;
  source.type = file;
  const auto made = source::make_source(io, source, "agent", intake);
  CHECK(dynamic_cast<source::BatchSource*>(made.get()) != nullptr);
  CHECK_THAT(source::guarantee(source), ContainsSubstring("complete when it appears"));
}
