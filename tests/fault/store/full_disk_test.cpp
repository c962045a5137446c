// A disk without room and a disk that fails: what is tried again, what ends the process.
#include <fcntl.h>
#include <sys/mount.h>

#include <atomic>
#include <cstring>

#include "tests/support/fault_vfs.h"
#include "tests/support/log_lines.h"
#include "tests/unit/store/store_fixture.h"

using namespace rivulet;
using namespace rivulet::store;

namespace {

std::string noise(std::size_t size, std::uint64_t seed) {
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>((seed = seed * 6364136223846793005ULL + 1442695040888963407ULL) >> 56);
  return text;
}

Epoch large(StreamId stream, Sequence sequence) {
  Epoch epoch;
  epoch.append(stream, sequence, std::to_string(sequence), noise(100'000, sequence), 1);
  epoch.set_position("source", "at", std::to_string(sequence));
  return epoch;
}

void check_records(Store& store, StreamId stream, Sequence after, Sequence last) {
  Sequence expected = after + 1;
  bool same = true;
  while (expected <= last) {
    const auto packs = store.read(stream, expected - 1, 1 << 20).value();
    REQUIRE_FALSE(packs.empty());
    for (const Pack& pack : packs)
      for (const PackRecord& record : pack.records) {
        same = same && record.key == std::to_string(expected) && record.value == noise(100'000, expected);
        ++expected;
      }
  }
  CHECK(same);
  CHECK(expected == last + 1);
}

// A file system of a few MiB that is really full when it is. Needs root with the right to mount.
struct SmallDisk {
  Folder folder;
  bool mounted = false;
  int filler = -1;
  explicit SmallDisk(const char* size) {
    const std::string options = std::string("mode=0700,size=") + size;
    mounted = ::mount("tmpfs", folder.path.c_str(), "tmpfs", 0, options.c_str()) == 0;
    if (!mounted) WARN("skipped: no tmpfs could be mounted (" << std::strerror(errno) << "); run as root with CAP_SYS_ADMIN");
  }
  void fill() {
    filler = ::open((folder.path + "/filler").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const std::string block(4096, 'x');
    while (::write(filler, block.data(), block.size()) == static_cast<ssize_t>(block.size())) {
    }
  }
  void give_back() {
    ::unlink((folder.path + "/filler").c_str());
    ::close(filler);
    filler = -1;
  }
  ~SmallDisk() {
    if (filler >= 0) ::close(filler);
    if (mounted) ::umount2(folder.path.c_str(), MNT_DETACH);
  }
};

}  // namespace

TEST_CASE("a commit that finds the disk full is tried again unchanged and succeeds when there is room") {
  test::FaultDisk disk("full");
  Folder folder;
  Options options;
  options.vfs = disk.name();
  auto store = open(folder, options);
  const StreamId id = store->stream("s", "t").value().id;
  REQUIRE(commit(*store, large(id, 1)));
  disk.set_full(true);
  std::atomic<int> durable{0};
  // The log's own room may take some; then the disk is full.
  Sequence next = 2;
  while (next < 100 && !store->stats().disk_full) {
    store->commit(large(id, next++), [&](result<void> outcome) { durable += outcome ? 1 : 1000; });
    REQUIRE(eventually([&] { return durable == static_cast<int>(next) - 2 || store->stats().disk_full; }));
  }
  REQUIRE(store->stats().disk_full);
  CHECK_FALSE(store->has_room());
  CHECK(store->stats().commit_failures > 0);
  CHECK(durable < static_cast<int>(next) - 2);
  CHECK(store->streams().value().at(0).last < next - 1);  // calls are answered meanwhile
  CHECK(store->positions("source").value().at("at") == std::to_string(next - 1));  // as of the epochs handed over
  disk.set_full(false);
  REQUIRE(eventually([&] { return durable == static_cast<int>(next) - 2; }));
  CHECK_FALSE(store->stats().disk_full);
  CHECK(store->has_room());
  check_records(*store, id, 0, next - 1);
}

TEST_CASE("a store that is closed on a full disk ends soon, and its epoch is refused, not half written") {
  test::FaultDisk disk("full-at-end");
  Folder folder;
  Options options;
  options.vfs = disk.name();
  auto store = open(folder, options);
  const StreamId id = store->stream("s", "t").value().id;
  disk.set_full(true);
  std::atomic<int> refused{0}, durable{0};
  for (Sequence n = 1; n <= 3; ++n) store->commit(large(id, n), [&](result<void> outcome) { ++(outcome ? durable : refused); });
  REQUIRE(eventually([&] { return store->stats().disk_full; }));
  store.reset();
  CHECK(refused == 3);
  CHECK(durable == 0);
  disk.set_full(false);
  store = open(folder, options);
  CHECK(store->stream("s", "t").value().last == 0);
  CHECK(store->positions("source").value().empty());
}

TEST_CASE("after a failed sync nobody is told durable, everything is refused, and the next start knows the truth") {
  test::FaultDisk disk("fsync");
  Folder folder;
  Options options;
  options.vfs = disk.name();
  auto store = open(folder, options);
  const StreamId id = store->stream("s", "t").value().id;
  REQUIRE(commit(*store, large(id, 1)));
  disk.fail_syncs(1);
  std::atomic<int> told{0};
  const auto code = std::make_shared<std::promise<ErrorCode>>();
  store->commit(large(id, 2), [&, code](result<void> outcome) {
    ++told;
    code->set_value(outcome ? ErrorCode::invalid : outcome.error().code);
  });
  CHECK(code->get_future().get() == ErrorCode::unknown_fate);
  CHECK(commit(*store, large(id, 3)).error().code == ErrorCode::unknown_fate);
  CHECK(store->change(acknowledged(id, 1)).error().code == ErrorCode::unknown_fate);
  CHECK(store->read(id, 0, 1).error().code == ErrorCode::unknown_fate);
  CHECK(told == 1);
  store.reset();
  disk.restart(7);
  store = open(folder, options);
  const Sequence last = store->stream("s", "t").value().last;
  CHECK((last == 1 || last == 2));
  CHECK(store->positions("source").value().at("at") == std::to_string(last));
  check_records(*store, id, 0, last);
}

TEST_CASE("on a file system that others filled, commits wait, acknowledgements make room, and nothing is lost") {
  SmallDisk disk("32m");
  if (!disk.mounted) return;
  Options options;
  options.max_bytes = 64ULL << 20;  // more than there is: the disk is the limit
  auto store = open(disk.folder, options);
  const StreamId id = store->stream("s", "t").value().id;
  Sequence next = 1;
  for (; next <= 80; ++next) REQUIRE(commit(*store, large(id, next)));
  disk.fill();
  std::atomic<Sequence> durable{80};
  while (next < 300 && !store->stats().disk_full) {
    store->commit(large(id, next), [&](result<void> outcome) { durable += outcome ? 1 : 1000; });
    ++next;
    REQUIRE(eventually([&] { return durable == next - 1 || store->stats().disk_full; }));
  }
  REQUIRE(store->stats().disk_full);
  CHECK_FALSE(disk.folder.files("ballast").empty());  // not for what comes in
  CHECK_FALSE(store->has_room());
  ForwardChange change = acknowledged(id, 40);
  change.facts.emplace_back("prepared", "40");
  REQUIRE(store->change(change));
  INFO("durable " << durable << " of " << next - 1 << ", used " << store->stats().used_bytes << ", file " << store->stats().file_bytes << ", log " << store->stats().wal_bytes);
  REQUIRE(eventually([&] { return durable == next - 1; }));  // although the disk is still full
  disk.give_back();
  CHECK(store->streams().value().at(0).acknowledged == 40);
  check_records(*store, id, 40, next - 1);
  store.reset();
  store = open(disk.folder, options);
  CHECK(store->streams().value().at(0).acknowledged == 40);
  CHECK_FALSE(disk.folder.files("ballast").empty());
  check_records(*store, id, 40, next - 1);
}

TEST_CASE("a store on a disk that is full is opened with the ballast's room, and what is acknowledged makes more") {
  test::FaultDisk disk("full-at-start");
  Folder folder;
  Options options;
  options.vfs = disk.name();
  auto store = open(folder, options);
  const StreamId id = store->stream("s", "t").value().id;
  REQUIRE(commit(*store, large(id, 1)));
  const std::string incarnation = store->identity().incarnation.text();
  store.reset();
  const test::LogLines lines;
  disk.set_full_while(folder.path + "/ballast");
  store = open(folder, options);
  CHECK(lines.with("is full: the ballast was given back to it, so that the store can be opened").size() == 1);
  CHECK(store->identity().incarnation.text() == incarnation);
  CHECK(folder.files("rivulet.db.damaged").empty());
  check_records(*store, id, 0, 1);
  REQUIRE(store->change(acknowledged(id, 1)));
}

TEST_CASE("a store that cannot be opened on a full disk says which disk and what to do, and leaves everything as it is") {
  test::FaultDisk disk("full-for-good");
  Folder folder;
  Options options;
  options.vfs = disk.name();
  disk.set_full(true);
  for (int i = 0; i < 2; ++i) {
    const auto refused = try_open(folder.path, options);
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == ErrorCode::full);
    CHECK_THAT(refused.error().message, ContainsSubstring("store: the disk of " + folder.path + " is full, and the agent has nothing left there to give back; free at least 16 MiB on it"));
  }
  CHECK(folder.files("rivulet.db.damaged").empty());
  disk.set_full(false);
  CHECK(try_open(folder.path, options).has_value());
}

TEST_CASE("a store whose disk others filled while it was away is opened, sends, and has its ballast again when there is room") {
  SmallDisk disk("32m");
  if (!disk.mounted) return;
  Options options;
  options.max_bytes = 64ULL << 20;
  auto store = open(disk.folder, options);
  const StreamId id = store->stream("s", "t").value().id;
  for (Sequence next = 1; next <= 40; ++next) REQUIRE(commit(*store, large(id, next)));
  store.reset();
  disk.fill();
  store = open(disk.folder, options);
  CHECK(disk.folder.files("ballast").empty());
  check_records(*store, id, 0, 40);
  REQUIRE(store->change(acknowledged(id, 20)));
  REQUIRE(commit(*store, large(id, 41)));  // into the pages that are free now
  check_records(*store, id, 20, 41);
  disk.give_back();
  store.reset();
  store = open(disk.folder, options);
  CHECK_FALSE(disk.folder.files("ballast").empty());
  check_records(*store, id, 20, 41);
}
