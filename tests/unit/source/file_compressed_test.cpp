// Log rotation that compresses (logrotate: compress, delaycompress), while the agent runs and while it is down.
#include "tests/support/compressed.h"
#include "tests/unit/source/file_fixture.h"

using namespace rivulet;
using namespace rivulet::test;

namespace {

std::string line(int n) { return "{\"n\":" + std::to_string(n) + ",\"text\":\"a line long enough to tell by\"}\n"; }
std::string some(int from, int to) {
  std::string text;
  for (int n = from; n < to; ++n) text += line(n);
  return text;
}
Lines all(int to) {
  Lines lines;
  for (int n = 0; n < to; ++n) lines.push_back(line(n).substr(0, line(n).size() - 1));
  return lines;
}

struct Rotating : Follower {
  using Follower::Follower;
  std::string whole(const std::string& name) const {
    std::string text;
    text.resize(std::filesystem::file_size(path(name)));
    const int file = ::open(path(name).c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(::read(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    ::close(file);
    return text;
  }
  // As gzip and zstd do: another file with the time of the first, which goes.
  void compress(const std::string& name, bool gz = true) {
    const auto time = std::filesystem::last_write_time(path(name));
    const std::string to = path(name) + (gz ? ".gz" : ".zst");
    append(to, gz ? gzip(whole(name)) : zstd(whole(name)));
    std::filesystem::last_write_time(to, time);
    std::filesystem::remove(path(name));
  }
  void at(const std::string& name, int second) { std::filesystem::last_write_time(path(name), std::filesystem::file_time_type(std::chrono::seconds(1'700'000'000 + second))); }
};

}  // namespace

TEST_CASE("file: a file that was renamed and compressed while the agent was down is read on in the compressed one") {
  for (const char* name : {"app.log", "app.log*"})
    for (const bool gz : {true, false}) {
      Rotating f(name);
      append(f.path("app.log"), some(0, 30));
      f.begin();
      REQUIRE(f.reads(30));
      f.end();
      append(f.path("app.log"), some(30, 50));
      std::filesystem::rename(f.path("app.log"), f.path("app.log.1"));
      f.compress("app.log.1", gz);
      append(f.path("app.log"), some(50, 55));
      f.intake->room_up_to = 40;
      f.begin();
      REQUIRE(f.reads(40));
      f.intake->commit(*f.source);
      f.crash();
      f.begin();
      REQUIRE(f.reads(55));
      CHECK(f.lines() == all(55));
      f.end();
      f.begin();  // and not again
      CHECK(f.only_marker("app.log", "marker"));
    }
}

TEST_CASE("file: what was rotated several times and compressed unseen is read in order") {
  for (const bool delayed : {false, true}) {
    Rotating f("app.log");
    append(f.path("app.log"), some(0, 10));
    f.begin();
    REQUIRE(f.reads(10));
    f.end();
    append(f.path("app.log"), some(10, 20));
    std::filesystem::rename(f.path("app.log"), f.path("app.log.3"));
    f.at("app.log.3", 1);
    append(f.path("app.log.2"), some(20, 30));
    f.at("app.log.2", 2);
    append(f.path("app.log.1"), some(30, 40));
    f.at("app.log.1", 3);
    f.compress("app.log.3");
    f.compress("app.log.2");
    if (!delayed) f.compress("app.log.1");
    append(f.path("app.log"), some(40, 45));
    f.intake->room_up_to = 25;
    f.begin();
    REQUIRE(f.reads(25));
    f.intake->commit(*f.source);
    f.crash();
    f.begin();
    REQUIRE(f.reads(45));
    CHECK(f.lines() == all(45));
    f.end();
    f.begin();
    CHECK(f.only_marker("app.log", "marker"));
  }
}

TEST_CASE("file: a file that is compressed while it is followed is finished first, and its compressed form is not read") {
  Rotating f("app.log");
  append(f.path("app.log"), some(0, 10));
  f.begin();
  REQUIRE(f.reads(10));
  append(f.path("app.log"), some(10, 12));
  std::filesystem::rename(f.path("app.log"), f.path("app.log.1"));
  append(f.path("app.log"), some(12, 15));
  REQUIRE(f.reads(15));
  f.compress("app.log.1");
  CHECK(f.only_marker("app.log", "marker"));
  auto lines = f.lines();
  lines.pop_back();
  CHECK(lines == all(15));
}

TEST_CASE("file: a compressed form that is damaged is counted, and the file after it is read", "[slow]") {
  Rotating f("app.log");
  append(f.path("app.log"), some(0, 10));
  f.begin();
  REQUIRE(f.reads(10));
  f.end();
  append(f.path("app.log"), some(10, 20'000));
  std::string bytes = gzip(f.whole("app.log"));
  bytes[bytes.size() - 6] ^= 1;
  append(f.path("app.log.1.gz"), bytes);
  std::filesystem::remove(f.path("app.log"));
  append(f.path("app.log"), some(20'000, 20'005));
  f.begin();
  REQUIRE(f.counts("compressed_lost"));
  REQUIRE(run_until(f.io, [&] { return f.lines().back() == all(20'005).back(); }));
  CHECK((f.lines().size() > 10'000 && f.lines().size() < 20'005));
}
