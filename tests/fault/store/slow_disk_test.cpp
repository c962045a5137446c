// What the watchdog sees of a store whose disk is slow.
#include <chrono>
#include <thread>

#include "store/store.h"
#include "tests/support/catch.h"
#include "tests/support/fault_vfs.h"
#include "tests/support/temp_folder.h"

using namespace rivulet;
using namespace rivulet::test;

namespace {

bool soon(const std::function<bool()>& condition) {
  for (const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60); std::chrono::steady_clock::now() < until; std::this_thread::yield())
    if (condition()) return true;
  return false;
}

}  // namespace

TEST_CASE("a store whose disk takes its time waits for the disk and burns no processor") {
  TempFolder folder;
  FaultDisk disk("slow");
  const SystemClock clock;
  store::Options options;
  options.directory = folder / "state";
  options.agent_id = "test";
  options.vfs = disk.name();
  auto opened = store::Store::open(options, clock);
  REQUIRE(opened);
  store::Store& store = **opened;
  REQUIRE(soon([&] { return store.pulse()->read().doing == Pulse::Doing::waits; }));
  const auto stream = store.stream("p", "out");
  REQUIRE(stream);

  disk.hold_syncs(true);
  std::atomic<bool> durable{false};
  store::Epoch epoch;
  epoch.append(stream->id, 1, std::nullopt, "{}", 1000, std::nullopt);
  store.commit(std::move(epoch), [&](const result<void>& done) { durable = done.has_value(); });
  REQUIRE(soon([&] { return disk.holds_one(); }));
  const Pulse::Reading reading = store.pulse()->read();
  CHECK(reading.doing == Pulse::Doing::disk);
  REQUIRE(reading.cpu_ms.has_value());
  const std::uint64_t beats = reading.beats;
  CHECK(store.pulse()->read().beats == beats);

  disk.hold_syncs(false);
  REQUIRE(soon([&] { return durable.load() && store.pulse()->read().beats > beats; }));
  REQUIRE(soon([&] { return store.pulse()->read().doing == Pulse::Doing::waits; }));
}

TEST_CASE("another storage limit counts from the next commit on, lower or higher") {
  TempFolder folder;
  const SystemClock clock;
  store::Options options;
  options.directory = folder / "state";
  options.agent_id = "test";
  options.max_bytes = 64ULL << 20;
  auto opened = store::Store::open(options, clock);
  REQUIRE(opened);
  store::Store& store = **opened;
  const auto stream = store.stream("p", "out");
  REQUIRE(stream);
  const std::uint64_t before = store.stats().outbox_max_bytes;
  Sequence last = 0;
  for (const std::uint64_t max_bytes : {32ULL << 20, 256ULL << 20, 64ULL << 20}) {
    options.max_bytes = max_bytes;
    options.when_full = max_bytes > 64ULL << 20 ? store::WhenFull::drop_oldest : store::WhenFull::refuse;
    options.compression = max_bytes > 64ULL << 20 ? store::Compression::none : store::Compression::lz4;
    REQUIRE(store.set_options(options));
    CHECK((store.stats().outbox_max_bytes > before) == (max_bytes > 64ULL << 20));
    CHECK(store.has_room());
    std::atomic<bool> durable{false};
    store::Epoch epoch;
    epoch.append(stream->id, ++last, std::nullopt, "{}", 1000, std::nullopt);
    store.commit(std::move(epoch), [&](const result<void>& done) { durable = done.has_value(); });
    REQUIRE(soon([&] { return durable.load(); }));
  }
  CHECK(store.stats().outbox_max_bytes == before);
  const auto packs = store.read(stream->id, 0, SIZE_MAX);
  REQUIRE(packs);
  std::size_t records = 0;
  for (const auto& pack : *packs) records += pack.records.size();
  CHECK(records == 3);
}
