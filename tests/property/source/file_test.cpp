// A random writer (appends, torn lines, rotation by rename, quiet times) against a random agent (commits, crashes, restarts, no
// room): every line comes exactly once and in order. RIVULET_SEED=n runs that seed alone.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>
#include <random>
#include <string>

#include "tests/support/compressed.h"
#include "tests/support/seeds.h"
#include "tests/unit/source/file_fixture.h"

using namespace rivulet;
using namespace rivulet::test;

namespace {

constexpr int keep = 12;  // rotated files

struct World {
  explicit World(std::uint64_t seed) : random(seed), glob(random() % 2 == 0), compresses(random() % 2 == 0), f(glob ? "app.log*" : "app.log") {
    f.config.max_line_bytes = 5000;
  }
  bool chance(unsigned one_in) { return random() % one_in == 0; }

  void write() {
    std::string bytes = std::exchange(torn, "");
    for (auto i = random() % 30; i > 0; --i) {
      bytes += "{\"n\":" + std::to_string(written++) + ",\"pad\":\"" + std::string(random() % 40, 'p') + "\"}\n";
    }
    if (chance(3) && bytes.size() > 3) {  // the end of the last line comes later, in the same file
      torn = bytes.substr(bytes.size() - 3);
      bytes.resize(bytes.size() - 3);
    }
    append(f.path("app.log"), bytes);
  }
  void rotate() {
    if (!torn.empty() || !std::filesystem::exists(f.path("app.log"))) return;
    for (const char* suffix : {"", ".gz"}) {
      std::filesystem::remove(f.path("app.log." + std::to_string(keep) + suffix));
      for (int i = keep - 1; i >= 1; --i) {
        const auto from = f.path("app.log." + std::to_string(i) + suffix);
        if (std::filesystem::exists(from)) std::filesystem::rename(from, f.path("app.log." + std::to_string(i + 1) + suffix));
      }
    }
    f.rename("app.log", "app.log.1");
    if (chance(2)) append(f.path("app.log"), "");
  }
  // The rotated files, or all of them but the newest (logrotate: delaycompress), while the agent is down.
  void compress() {
    if (!compresses) return;
    for (int i = chance(2) ? 1 : 2; i <= keep; ++i) {
      const auto plain = f.path("app.log." + std::to_string(i));
      if (!std::filesystem::exists(plain)) continue;
      std::string text(std::filesystem::file_size(plain), '\0');
      std::ifstream(plain, std::ios::binary).read(text.data(), static_cast<std::streamsize>(text.size()));
      append(plain + ".gz", gzip(text));
      std::filesystem::last_write_time(plain + ".gz", std::filesystem::last_write_time(plain));
      std::filesystem::remove(plain);
    }
  }
  void run_some() {
    run_until(f.io, [] { return false; }, std::chrono::milliseconds(random() % 8));
  }

  std::mt19937_64 random;
  bool glob, compresses;
  Follower f;
  int written = 0;
  std::string torn;
};

void run(std::uint64_t seed) {
  INFO("RIVULET_SEED=" << seed);
  World world(seed);
  Follower& f = world.f;
  while (world.written < 2) world.write();
  f.begin();
  REQUIRE(f.reads(f.intake->accepted.size() + static_cast<std::size_t>(std::max(0, world.written - (world.torn.empty() ? 0 : 1)))));
  f.intake->commit(*f.source);  // a file is followed from its first commit on
  int rotations_down = 0;
  for (int step = 0; step < 60; ++step) {
    switch (world.random() % 8) {
      case 0: case 1: case 2: world.write(); break;
      case 3: if (rotations_down++ < keep - 3) world.rotate(); break;
      case 4: world.run_some(); break;
      case 5:
        f.intake->room_up_to = f.intake->accepted.size() + world.random() % 20;
        world.run_some();
        f.intake->room_up_to = SIZE_MAX;
        f.source->on_room();
        break;
      case 6: f.intake->commit(*f.source); break;
      default:
        if (world.chance(2)) break;
        f.crash();
        for (auto i = world.random() % 3; i > 0; --i) world.write();
        if (world.chance(2)) world.rotate();
        world.compress();
        f.begin();
    }
    // A file is not rotated out of the folder before the agent has had the chance to read it.
    if (rotations_down >= keep - 3) {
      REQUIRE(run_until(f.io, [&] { return static_cast<int>(f.intake->accepted.size()) >= world.written - 1; }));
      f.intake->commit(*f.source);
      rotations_down = 0;
    }
  }
  if (!world.torn.empty()) append(f.path("app.log"), std::exchange(world.torn, ""));
  run_until(f.io, [&] { return static_cast<int>(f.intake->accepted.size()) >= world.written; }, std::chrono::seconds(5));
  run_until(f.io, [] { return false; }, std::chrono::milliseconds(20));
  const auto lines = f.lines();
  for (std::size_t n = 0; n < lines.size(); ++n) {
    INFO("line " << n << " of " << world.written << (world.glob ? ", glob" : ", path"));
    REQUIRE(lines[n].substr(0, lines[n].find(',')) == "{\"n\":" + std::to_string(n));
  }
  REQUIRE(lines.size() == static_cast<std::size_t>(world.written));
}

}  // namespace

TEST_CASE("file: every line of a file that is rotated at random comes exactly once and in order, over crashes") {
  each_seed(30, run);
}
