// Power cuts at every kind of moment: what was said to be durable is there, whole, and nothing half-way is.
#include <sys/wait.h>

#include <climits>
#include <cstdlib>
#include <random>

#include "tests/support/fault_vfs.h"
#include "tests/unit/store/store_fixture.h"

using namespace rivulet;
using namespace rivulet::store;

namespace {

std::uint64_t base_seed() {
  const char* text = std::getenv("RIVULET_SEED");
  return text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
}

Options small(const std::string& vfs) {
  Options options;
  options.max_bytes = 8ULL << 20;  // a small log: checkpoints come often
  options.vfs = vfs;
  return options;
}

struct Promised {
  Sequence last = 0, acknowledged = 0;
  Sequence tried = 0;  // the last acknowledgement that was handed over, whatever came of it
  std::string fact;
};

std::string filler(std::mt19937_64& random) {
  std::string text(random() % 3000, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

// One life of the store, until the power goes.
void live(const Folder& folder, test::FaultDisk& disk, std::mt19937_64& random, Promised& promised) {
  auto opened = try_open(folder.path, small(disk.name()));
  if (!opened) {
    REQUIRE(disk.is_cut());
    return;
  }
  Store& store = **opened;
  const auto stream = store.stream("s", "t");
  if (!stream) return;
  Sequence next = stream->last + 1;
  for (int i = 0; i < 2000 && !disk.is_cut(); ++i) {
    Epoch epoch;
    for (std::uint64_t n = random() % 20 + 1; n > 0; --n, ++next) epoch.append(stream->id, next, std::to_string(next), filler(random), static_cast<Timestamp>(next));
    epoch.set_position("source", "at", std::to_string(next - 1));
    if (!commit(store, std::move(epoch))) return;
    promised.last = next - 1;
    ForwardChange change;
    change.durable = random() % 2 == 0;
    if (random() % 3 == 0) change.acknowledged.push_back({stream->id, promised.acknowledged + random() % (promised.last - promised.acknowledged + 1)});
    const std::string fact = std::to_string(promised.last);
    change.facts.emplace_back("prepared", fact);
    const bool durable = change.durable;
    const Sequence acknowledged = change.acknowledged.empty() ? promised.acknowledged : change.acknowledged[0].last;
    promised.tried = acknowledged;
    if (!store.change(std::move(change))) return;
    promised.acknowledged = acknowledged;
    if (durable) promised.fact = fact;
  }
}

void check_kept(const Folder& folder, test::FaultDisk& disk, const Promised& promised) {
  auto opened = try_open(folder.path, small(disk.name()));
  REQUIRE(opened);
  Store& store = **opened;
  CHECK_FALSE(store.identity().adopted_after_damage);
  const auto stream = store.stream("s", "t").value();
  CHECK(stream.last >= promised.last);
  CHECK(stream.acknowledged <= promised.tried);
  const auto position = store.positions("source").value()["at"];
  CHECK(position == (stream.last == 0 ? "" : std::to_string(stream.last)));
  if (!promised.fact.empty()) CHECK(std::stoull(store.fact("prepared").value().value_or("0")) >= std::stoull(promised.fact));
  Sequence expected = stream.acknowledged + 1;
  bool same = true;
  for (const Pack& pack : store.read(stream.id, stream.acknowledged, SIZE_MAX).value()) {
    same = same && !pack.gap && pack.first == expected;
    for (const PackRecord& record : pack.records) same = same && record.key == std::to_string(expected) && record.timestamp_ms == static_cast<Timestamp>(expected++);
  }
  CHECK(same);
  CHECK(expected == stream.last + 1);
}

}  // namespace

TEST_CASE("an epoch that was said to be durable survives a power cut, and no epoch survives in part") {
  test::FaultDisk disk("power-cut");
  int cuts_with_records = 0;
  for (std::uint64_t seed = base_seed(); seed < base_seed() + 40; ++seed) {
    INFO("RIVULET_SEED=" << seed);
    Folder folder;
    std::mt19937_64 random(seed);
    Promised promised;
    for (int life = 0; life < 3; ++life) {
      disk.cut_power_after(random() % 400 + 1);
      live(folder, disk, random, promised);
      disk.restart(random());
      check_kept(folder, disk, promised);
      if (promised.last > 0) ++cuts_with_records;
      // What the store says of itself is the promise of its next life.
      auto store = try_open(folder.path, small(disk.name())).value();
      const auto stream = store->stream("s", "t").value();
      promised.last = stream.last;
      promised.acknowledged = stream.acknowledged;
      store.reset();
      disk.restart(random());
    }
  }
  CHECK(cuts_with_records > 60);
}

TEST_CASE("negative control: without syncs the power-cut test fails") {
  char self[PATH_MAX] = {};
  REQUIRE(::readlink("/proc/self/exe", self, sizeof self - 1) > 0);
  const std::string command = "RIVULET_BREAK=store.no_sync '" + std::string(self) + "' 'an epoch that was said to be durable*' >/dev/null 2>&1";
  const int status = std::system(command.c_str());
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) != 0);
}
