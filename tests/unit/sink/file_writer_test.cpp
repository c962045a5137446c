#include "agent/sink/file/file_writer.h"

#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <csignal>
#include <unistd.h>

#include <fcntl.h>

#include "tests/unit/sink/sink_fixture.h"

using namespace rivulet;
using namespace rivulet::sink;
using test::append;

TEST_CASE("records are in the file once, in order, over restarts") {
  Fixture fixture;
  auto& stream = fixture.stream("p", "file:" + fixture.path());
  for (int start = 0; start < 3; ++start) {
    auto writer = fixture.file();
    fixture.put(stream, 10);
    fixture.deliver_all(writer, stream);
    fixture.put(stream, 5);
    fixture.deliver_all(writer, stream);
  }
  CHECK(fixture.content() == Fixture::lines(1, 45));
}

TEST_CASE("what was written and not acknowledged is cut away and written again") {
  Fixture fixture;
  auto& stream = fixture.stream("p", "file:" + fixture.path());
  fixture.put(stream, 10);
  {
    auto writer = fixture.file();
    fixture.deliver_all(writer, stream);
    fixture.put(stream, 10);
    REQUIRE(fixture.deliver(writer, stream).up_to == 20);  // a crash before the acknowledgement
  }
  CHECK(fixture.content() == Fixture::lines(1, 20));
  append(fixture.path(), "{\"n\":2");  // and in the middle of a write
  auto writer = fixture.file();
  REQUIRE(writer.open());
  CHECK(fixture.content() == Fixture::lines(1, 10));
  fixture.deliver_all(writer, stream);
  CHECK(fixture.content() == Fixture::lines(1, 20));
}

TEST_CASE("an acknowledgement that the store lost with its last transaction doubles nothing") {
  Fixture fixture;
  auto& stream = fixture.stream("p", "file:" + fixture.path());
  fixture.put(stream, 3);
  {
    auto writer = fixture.file();
    REQUIRE(writer.open());
    REQUIRE(fixture.deliver(writer, stream).up_to == 3);
  }
  fixture.open();  // the empty file was claimed before the first byte: so it is cut, and not taken for somebody's
  auto writer = fixture.file();
  fixture.deliver_all(writer, stream);
  CHECK(fixture.content() == Fixture::lines(1, 3));
}

TEST_CASE("a file is rotated at its size, the numbers go on, and only so many are kept") {
  Fixture fixture;
  auto& stream = fixture.stream("p", "file:" + fixture.path());
  append(fixture.path("out.000007.json"), "old\n");
  append(fixture.path("out.7.json"), "not one of them\n");
  append(fixture.path("out.0000007.json"), "nor this\n");
  append(fixture.path("out.000001.json.gz"), "nor this\n");
  auto writer = fixture.file([](config::FileOutput& settings) {
    settings.rotate_bytes = 100;
    settings.keep = 3;
  });
  fixture.put(stream, 60);
  fixture.deliver_all(writer, stream);
  std::string all;
  std::vector<std::string> files;
  for (int number = 8; std::filesystem::exists(fixture.path("out.0000" + std::string(number < 10 ? "0" : "") + std::to_string(number) + ".json")) || number < 12; ++number) {
    const std::string name = "out.0000" + std::string(number < 10 ? "0" : "") + std::to_string(number) + ".json";
    const std::string part = fixture.content(name);
    if (!part.empty()) {
      files.push_back(name);
      CHECK(part.size() >= 100);
      CHECK(part.size() < 110);
    }
    all += part;
  }
  all += fixture.content();
  CHECK(files.size() == 3);
  const std::string expected = Fixture::lines(1, 60);
  CHECK(expected.substr(expected.size() - all.size()) == all);
  CHECK(fixture.content("out.000007.json").empty());
  CHECK(fixture.content("out.7.json") == "not one of them\n");
  CHECK(fixture.content("out.0000007.json") == "nor this\n");
  CHECK(fixture.content("out.000001.json.gz") == "nor this\n");
}

TEST_CASE("a file is rotated at its age, with the next record") {
  Fixture fixture;
  auto& stream = fixture.stream("p", "file:" + fixture.path());
  const auto settings = [](config::FileOutput& to) { to.rotate_ms = 60'000; };
  {
    auto writer = fixture.file(settings);
    fixture.put(stream, 2);
    fixture.deliver_all(writer, stream);
    fixture.clock.advance(59'999);
    fixture.put(stream, 1);
    fixture.deliver_all(writer, stream);
  }
  fixture.clock.advance(1);  // a restart does not make it young
  auto writer = fixture.file(settings);
  fixture.put(stream, 1);
  fixture.deliver_all(writer, stream);
  CHECK(fixture.content("out.000001.json") == Fixture::lines(1, 3));
  CHECK(fixture.content() == Fixture::lines(4, 4));
  fixture.clock.set_wall(0);  // a clock that goes back rotates nothing
  fixture.put(stream, 1);
  fixture.deliver_all(writer, stream);
  CHECK(fixture.content() == Fixture::lines(4, 5));
}

TEST_CASE("a rotation that a crash interrupts before or after its renaming is finished") {
  for (const bool renamed : {false, true}) {
    INFO("renamed before the crash: " << renamed);
    Fixture fixture;
    auto& stream = fixture.stream("p", "file:" + fixture.path());
    {
      auto writer = fixture.file();
      fixture.put(stream, 5);
      fixture.deliver_all(writer, stream);
    }
    auto position = decode_position(*fixture.store->fact(position_fact(fixture.path())).value());
    REQUIRE(position);
    position->renaming = true;
    position->number = 4;
    store::ForwardChange change;
    change.facts.emplace_back(position_fact(fixture.path()), encode(*position));
    REQUIRE(fixture.store->change(change));
    if (renamed) std::filesystem::rename(fixture.path(), fixture.path("out.000004.json"));
    auto writer = fixture.file();
    fixture.put(stream, 2);
    fixture.deliver_all(writer, stream);
    CHECK(fixture.content("out.000004.json") == Fixture::lines(1, 5));
    CHECK(fixture.content() == Fixture::lines(6, 7));
  }
}

TEST_CASE("each CSV file begins with its header, and other columns begin another file") {
  Fixture fixture;
  auto& stream = fixture.stream("p", "file:" + fixture.path("out.csv"));
  std::vector<std::string> columns{"n"};
  const auto settings = [&](config::FileOutput& to) {
    to.path = fixture.path("out.csv");
    to.csv = true;
    to.columns = columns;
  };
  {
    auto writer = fixture.file(settings);
    fixture.put(stream, 2);
    fixture.deliver_all(writer, stream);
  }
  {
    auto writer = fixture.file(settings);
    fixture.put(stream, 1);
    fixture.deliver_all(writer, stream);
  }
  CHECK(fixture.content("out.csv") == "n\r\n1\r\n2\r\n3\r\n");
  columns = {"n", "m"};
  auto writer = fixture.file(settings);
  fixture.put(stream, 1);
  fixture.deliver_all(writer, stream);
  CHECK(fixture.content("out.000001.csv") == "n\r\n1\r\n2\r\n3\r\n");
  CHECK(fixture.content("out.csv") == "n,m\r\n4,\r\n");
}

TEST_CASE("a file that is there already is gone on behind its end, on a line of its own") {
  Fixture fixture;
  auto& stream = fixture.stream("p", "file:" + fixture.path());
  append(fixture.path(), "before\ntorn");
  auto writer = fixture.file();
  fixture.put(stream, 1);
  fixture.deliver_all(writer, stream);
  CHECK(fixture.content() == "before\ntorn\n{\"n\":1}\n");
  const auto csv = [&](config::FileOutput& to) {
    to.path = fixture.path("out.csv");
    to.csv = true;
    to.columns = {"n"};
  };
  append(fixture.path("out.csv"), "other,columns\n1,2\n");
  auto& rows = fixture.stream("q", "file:" + fixture.path("out.csv"));
  auto table = fixture.file(csv);
  fixture.put(rows, 1);
  fixture.deliver_all(table, rows);
  CHECK(fixture.content("out.csv") == "n\r\n1\r\n");
  CHECK(fixture.content("out.000001.csv") == "other,columns\n1,2\n");
}

TEST_CASE("a restart between the claim of somebody's torn file and the first record leaves ours on a line of its own") {
  Fixture fixture;
  auto& stream = fixture.stream("p", "file:" + fixture.path());
  append(fixture.path(), "before\ntorn");
  for (int start = 0; start < 2; ++start) {
    auto writer = fixture.file();
    REQUIRE(writer.open());
  }
  auto writer = fixture.file();
  fixture.put(stream, 1);
  fixture.deliver_all(writer, stream);
  CHECK(fixture.content() == "before\ntorn\n{\"n\":1}\n");
  auto again = fixture.file();
  fixture.put(stream, 1);
  writer.close();
  fixture.deliver_all(again, stream);
  CHECK(fixture.content() == "before\ntorn\n{\"n\":1}\n{\"n\":2}\n");
}

TEST_CASE("a file that others move away or empty is left to them, and nothing is lost or doubled") {
  Fixture fixture;
  auto& stream = fixture.stream("p", "file:" + fixture.path());
  auto writer = fixture.file();
  fixture.put(stream, 3);
  fixture.deliver_all(writer, stream);
  std::filesystem::rename(fixture.path(), fixture.path("out.json.1"));
  fixture.put(stream, 3);
  fixture.deliver_all(writer, stream);
  CHECK(fixture.content("out.json.1") == Fixture::lines(1, 3));
  CHECK(fixture.content() == Fixture::lines(4, 6));
  test::overwrite(fixture.path(), "");  // copytruncate
  fixture.put(stream, 3);
  fixture.deliver_all(writer, stream);
  CHECK(fixture.content() == Fixture::lines(7, 9));
  std::filesystem::remove(fixture.path());
  fixture.put(stream, 1);
  fixture.deliver_all(writer, stream);
  CHECK(fixture.content() == Fixture::lines(10, 10));
}

TEST_CASE("what is no plain file of one name and one writer is refused, and stays as it is") {
  Fixture fixture;
  fixture.stream("p", "file:" + fixture.path());
  auto writer = fixture.file();
  const auto why = [&] {
    const auto opened = writer.open();
    return opened ? std::string() : opened.error().message;
  };
  append(fixture.path("target"), "mine\n");
  std::filesystem::create_symlink(fixture.path("target"), fixture.path());
  CHECK_THAT(why(), ContainsSubstring("symbolic link"));
  std::filesystem::remove(fixture.path());
  std::filesystem::create_hard_link(fixture.path("target"), fixture.path());
  CHECK_THAT(why(), ContainsSubstring("hard link"));
  std::filesystem::remove(fixture.path());
  REQUIRE(::mkfifo(fixture.path().c_str(), 0600) == 0);  // must not wait for a reader
  CHECK_FALSE(why().empty());
  std::filesystem::remove(fixture.path());
  std::filesystem::create_directory(fixture.path());
  CHECK_THAT(why(), ContainsSubstring("cannot open"));
  std::filesystem::remove(fixture.path());
  append(fixture.path(), std::string("SQLite format 3\0....", 20));
  CHECK_THAT(why(), ContainsSubstring("no text"));
  CHECK(fixture.content() == std::string("SQLite format 3\0....", 20));
  std::filesystem::remove(fixture.path());
  const int other = ::open(fixture.path().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  REQUIRE(::flock(other, LOCK_EX) == 0);
  CHECK_THAT(why(), ContainsSubstring("locked"));
  ::close(other);
  CHECK(why().empty());
  CHECK(fixture.content("target") == "mine\n");
}

TEST_CASE("a disk without room takes nothing of a stretch, and all of it later") {
  constexpr std::uint64_t kRoom = 64ULL << 20;  // far above the store's own files
  std::signal(SIGXFSZ, SIG_IGN);
  Fixture fixture;
  auto& stream = fixture.stream("p", "file:" + fixture.path());
  const std::string before = std::string(1100, 'x') + "\n";
  const int fd = ::open(fixture.path().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  REQUIRE(::pwrite(fd, before.data(), before.size(), static_cast<off_t>(kRoom - 50 - before.size())) == static_cast<ssize_t>(before.size()));
  ::close(fd);
  auto writer = fixture.file();
  fixture.put(stream, 100);
  rlimit usual{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &usual) == 0);
  const rlimit small{kRoom, usual.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  REQUIRE(writer.open());
  for (int i = 0; i < 2; ++i) {
    const Delivery delivery = fixture.deliver(writer, stream);
    CHECK(delivery.up_to == 0);
    CHECK(delivery.facts.empty());
    REQUIRE(delivery.trouble);
    CHECK(delivery.trouble->code == ErrorCode::full);
    REQUIRE(writer.open());
    CHECK(std::filesystem::file_size(fixture.path()) == kRoom - 50);
  }
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &usual) == 0);
  fixture.deliver_all(writer, stream);
  const std::string expected = Fixture::lines(1, 100);
  CHECK(std::filesystem::file_size(fixture.path()) == kRoom - 50 + expected.size());
  std::ifstream file(fixture.path(), std::ios::binary);
  file.seekg(static_cast<std::streamoff>(kRoom - 50));
  CHECK(std::string(std::istreambuf_iterator<char>(file), {}) == expected);
}

TEST_CASE("a position is kept and known again, and nonsense is not") {
  Position position;
  position.offset = 1ULL << 40;
  position.tail_bytes = 1024;
  position.tail_hash = 77;
  position.inode = UINT64_MAX;
  position.begun_ms = -5;
  position.number = 12;
  position.renaming = true;
  position.format = std::string("a\0b", 3);
  const auto again = decode_position(encode(position));
  REQUIRE(again);
  CHECK(encode(*again) == encode(position));
  CHECK(again->renaming);
  const std::string bytes = encode(position);
  for (std::size_t size = 0; size < bytes.size(); ++size) CHECK_FALSE(decode_position(bytes.substr(0, size)));
  CHECK_FALSE(decode_position(bytes + "x"));
  position.tail_bytes = 2000;
  CHECK_FALSE(decode_position(encode(position)));
}
