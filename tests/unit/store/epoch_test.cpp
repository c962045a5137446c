#include "store/epoch.h"

#include "store/sqlite.h"
#include "tests/unit/store/store_fixture.h"

using namespace rivulet;
using namespace rivulet::store;

TEST_CASE("a position that is set many times in an epoch is one change, the last one") {
  Epoch epoch;
  CHECK(epoch.empty());
  const auto once = [&] {
    for (int client = 0; client < 100; ++client) epoch.set_position("tcp", "session-" + std::to_string(client), "12345678");
  };
  once();
  const std::size_t size = epoch.size_bytes();
  for (int i = 0; i < 10; ++i) once();
  CHECK(epoch.positions().size() == 100);
  CHECK(epoch.size_bytes() == size);
  epoch.erase_position("tcp", "session-5");
  CHECK(epoch.positions().size() == 100);
  CHECK_FALSE(epoch.positions()[5].value.has_value());
  epoch.set_position("tcp", "session-5", "1");
  CHECK(epoch.positions()[5].value == "1");
}

TEST_CASE("a quarantined record counts what it takes in memory, not its bytes alone") {
  Epoch epoch;
  QuarantineEntry entry;
  entry.value = "x";
  for (int i = 0; i < 100; ++i) epoch.quarantine(entry);
  CHECK(epoch.size_bytes() >= 100 * sizeof(QuarantineEntry));
}

TEST_CASE("names of sources and keys do not run into each other") {
  Epoch epoch;
  epoch.set_position("a", "bc", "1");
  epoch.set_position("ab", "c", "2");
  CHECK(epoch.positions().size() == 2);
}

TEST_CASE("a stream's records are cut into packs of bounded size, in order") {
  Epoch epoch;
  const std::string value(1000, 'x');
  for (Sequence n = 1; n <= 500; ++n) {
    epoch.append(1, n, std::nullopt, value, 1);
    epoch.append(2, n + 7, std::nullopt, value, 1);
  }
  CHECK(epoch.records() == 1000);
  std::map<StreamId, Sequence> next{{1, 1}, {2, 8}};
  for (const StreamRecords& run : epoch.streams()) {
    CHECK(run.first == next[run.stream]);
    next[run.stream] = run.first + run.count;
    CHECK(run.bytes.size() < kPackBytes + 1100);
  }
  CHECK(next[1] == 501);
  CHECK(next[2] == 508);
  CHECK(epoch.streams().size() > 10);
}

TEST_CASE("null, empty and binary keys and values stay what they are, and so do positions") {
  Folder folder;
  auto store = open(folder);
  const StreamId id = store->stream("s", "t").value().id;
  const std::string binary("\0\xff\n", 3);
  Epoch epoch;
  epoch.append(id, 1, std::nullopt, std::nullopt, -1);
  epoch.append(id, 2, "", "", 0);
  epoch.append(id, 3, binary, binary, 1);
  epoch.set_position("file", binary, binary);
  REQUIRE(commit(*store, std::move(epoch)));
  const auto packs = store->read(id, 0, SIZE_MAX).value();
  REQUIRE(packs.size() == 1);
  const auto& records = packs[0].records;
  REQUIRE(records.size() == 3);
  CHECK_FALSE(records[0].key.has_value());
  CHECK_FALSE(records[0].value.has_value());
  CHECK(records[0].timestamp_ms == -1);
  CHECK(records[1].key == "");
  CHECK(records[1].value == "");
  CHECK(records[2].key == binary);
  CHECK(records[2].value == binary);
  CHECK(store->positions("file").value().at(binary) == binary);
}

TEST_CASE("a record's window is stored with it, also where only some have one, and older programs are kept from reading it") {
  Folder folder;
  auto store = open(folder);
  const StreamId stream = store->stream("p", "t").value().id;
  Epoch epoch;
  epoch.append(stream, 1, "k", "plain", 5);
  CHECK(commit(*store, std::move(epoch)));
  epoch = {};
  epoch.append(stream, 2, "k", "plain too", 5);
  epoch.append(stream, 3, "k", "windowed", 6, Window{10, 20, false});
  epoch.append(stream, 4, "k", std::nullopt, 7, Window{10, 15, true});
  epoch.append(stream, 5, "k", "plain again", 8);
  REQUIRE(commit(*store, std::move(epoch)));
  std::vector<std::optional<Window>> windows;
  const auto packs = store->read(stream, 1, SIZE_MAX);
  REQUIRE(packs);
  for (const Pack& pack : *packs)
    for (const PackRecord& record : pack.records) windows.push_back(record.window);
  CHECK(windows == std::vector<std::optional<Window>>{std::nullopt, Window{10, 20, false}, Window{10, 15, true}, std::nullopt});
  store.reset();
  auto connection = Connection::open(folder.path + "/rivulet.db", Connection::Mode::read_only, "");
  REQUIRE(connection);
  CHECK(connection->integer("SELECT CAST(CAST(value AS TEXT) AS INTEGER) FROM meta WHERE name = 'oldest_writer'").value() == 2);
  CHECK(try_open(folder.path).has_value());
}

TEST_CASE("an epoch collects no more for the quarantine than the table would keep, the newest, and counts the others") {
  const auto entry = [](int n, std::size_t bytes) {
    QuarantineEntry made;
    made.reason = std::to_string(n);
    made.value = std::string(bytes, 'x');
    return made;
  };
  Epoch many;
  std::size_t most = 0;
  for (int n = 1; n <= 30'000; ++n) {
    many.quarantine(entry(n, 1));
    most = std::max(most, many.size_bytes());
  }
  CHECK(many.quarantined().size() == 10'000);
  CHECK(many.quarantined().front().reason == "20001");
  CHECK(many.quarantined().back().reason == "30000");
  CHECK(many.quarantine_dropped() == 20'000);
  CHECK(most < 10'001 * (sizeof(QuarantineEntry) + 10));
  Epoch large;
  for (int n = 1; n <= 400; ++n) large.quarantine(entry(n, 64 * 1024));
  CHECK(large.quarantined().size() == 256);
  CHECK(large.quarantine_dropped() == 144);
  CHECK(large.size_bytes() < (17 << 20));
  Epoch unbound;  // `rivulet quarantine retry` looks after the bound itself
  for (int n = 1; n <= 10'001; ++n) unbound.quarantine(entry(n, 1), {.records = 0});
  CHECK(unbound.quarantined().size() == 10'001);
  CHECK(unbound.quarantine_dropped() == 0);
}
