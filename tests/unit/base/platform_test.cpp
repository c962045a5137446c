// What every processor must have alike: 32-bit ones have it only if they are told so.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "agent/base/clock.h"
#include "tests/support/catch.h"

namespace {

using namespace rivulet;

TEST_CASE("a file beyond 2 GiB is measured and read at its end on every processor") {
  std::string path = "/tmp/rivulet-platform-XXXXXX";
  const int made = ::mkstemp(path.data());
  REQUIRE(made >= 0);
  const std::int64_t at = (std::int64_t{5} << 30) + 7;
  const bool written = ::pwrite(made, "end", 3, at) == 3;  // the file is sparse
  ::close(made);
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat about {};
  char last[3] = {};
  const bool measured = ::fstat(file, &about) == 0;
  const auto got = ::pread(file, last, sizeof last, at);
  ::close(file);
  ::unlink(path.c_str());
  REQUIRE(written);
  REQUIRE(measured);
  CHECK(about.st_size == at + 3);
  CHECK(got == 3);
  CHECK(std::string(last, 3) == "end");
}

TEST_CASE("seconds, offsets and inodes have 64 bits on every processor") {
  CHECK(sizeof(time_t) == 8);
  CHECK(sizeof(off_t) == 8);
  CHECK(sizeof(ino_t) == 8);
  struct stat about {};
  about.st_mtim.tv_sec = std::int64_t{1} << 33;  // the year 2242
  CHECK(about.st_mtim.tv_sec / 60 == 143'165'576);
}

TEST_CASE("the wall clock is the system's, in milliseconds") {
  using namespace std::chrono;
  const auto now = [] { return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count(); };
  const std::int64_t before = now(), told = SystemClock().wall_ms(), after = now();
  CHECK(told >= before - 1);
  CHECK(told <= after + 1);
}

}  // namespace
