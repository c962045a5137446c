// Opening: format, other people's files, damage, identity.
#include <sqlite3.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "store/inspect.h"
#include "tests/unit/store/store_fixture.h"

using namespace rivulet;
using namespace rivulet::store;

namespace {

// As a person with the sqlite3 shell, or a newer program, would do it.
void edit(const std::string& path, const std::string& sql) {
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &db) == SQLITE_OK);
  char* message = nullptr;
  const int code = sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &message);
  INFO((message == nullptr ? "" : message));
  sqlite3_free(message);
  CHECK(code == SQLITE_OK);
  sqlite3_close(db);
}

std::string content(const std::string& path) {
  std::string bytes(std::filesystem::file_size(path), '\0');
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file.read(bytes.data(), static_cast<std::streamsize>(bytes.size())).good());
  return bytes;
}

std::string database(const Folder& folder) { return folder.path + "/rivulet.db"; }

}  // namespace

TEST_CASE("a file that only a newer format may write is refused and stays as it is") {
  Folder folder;
  open(folder).reset();
  edit(database(folder), "UPDATE meta SET value = x'39' WHERE name IN ('format', 'oldest_writer')");
  const std::string before = content(database(folder));
  const auto refused = try_open(folder.path);
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == ErrorCode::invalid);
  CHECK_THAT(refused.error().message, ContainsSubstring("newer rivulet"));
  CHECK(content(database(folder)) == before);
}

TEST_CASE("a store whose index cannot be opened for a moment is opened when it can be") {
  Folder folder;
  open(folder).reset();
  const auto index = database(folder) + "-shm";
  std::filesystem::create_symlink(folder.path + "/nowhere", index);  // which SQLite does not follow
  std::thread reader([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    std::filesystem::remove(index);
  });
  const auto opened = try_open(folder.path);
  reader.join();
  CHECK(opened.has_value());
  if (opened.has_error()) FAIL_CHECK(opened.error().message);
}

TEST_CASE("a store from before there was state gets its tables when it is opened") {
  Folder folder;
  open(folder).reset();
  edit(database(folder), "DROP TABLE state; DROP TABLE state_log; DROP TABLE state_steps; UPDATE meta SET value = x'31' WHERE name = 'format'");
  auto store = open(folder);
  auto state = store->open_state();
  REQUIRE(state);
  CHECK((*state)->step("p", "aggregate", "as it is").has_value());
}

TEST_CASE("a quarantine from before records could go on is read as it is, and takes places from now on") {
  Folder folder;
  {
    auto store = open(folder);
    Epoch epoch;
    epoch.quarantine({"in", "p", "set", "bad", "k", "old", 5, "", "steps[0]", Window{1, 2}, "a,b"});
    REQUIRE(commit(*store, std::move(epoch)));
    const auto kept = store->quarantined(0, 10).value();
    REQUIRE(kept.size() == 1);
    CHECK(kept[0].place == "steps[0]");
    CHECK(kept[0].window == Window{1, 2});
    CHECK(kept[0].first_line == "a,b");
  }
  for (const char* column : {"place", "window_start", "window_end", "first_line"}) edit(database(folder), std::string("ALTER TABLE quarantine DROP COLUMN ") + column);
  edit(database(folder), "UPDATE meta SET value = x'32' WHERE name = 'format'");
  const auto before = Inspect::open(folder.path).value().quarantined(0, 10).value();
  REQUIRE(before.size() == 1);
  CHECK(before[0].value == "old");
  CHECK(before[0].place.empty());
  auto store = open(folder);
  Epoch epoch;
  epoch.quarantine({"in", "p", "set", "bad", "k", "new", 5, "", "steps[1]", std::nullopt, std::nullopt});
  REQUIRE(commit(*store, std::move(epoch)));
  const auto kept = store->quarantined(0, 10).value();
  REQUIRE(kept.size() == 2);
  CHECK(kept[0].place.empty());
  CHECK_FALSE(kept[0].window);
  CHECK(kept[1].place == "steps[1]");
  CHECK_FALSE(kept[1].window);
  CHECK_FALSE(kept[1].first_line);
}

TEST_CASE("a newer format that this one may still write is opened") {
  Folder folder;
  open(folder).reset();
  edit(database(folder), "UPDATE meta SET value = x'39' WHERE name = 'format'");
  CHECK(try_open(folder.path).has_value());
}

TEST_CASE("another program's database is refused and stays as it is") {
  Folder folder;
  edit(database(folder), "CREATE TABLE theirs(x); INSERT INTO theirs VALUES(1)");
  const std::string before = content(database(folder));
  const auto refused = try_open(folder.path);
  REQUIRE(refused.has_error());
  CHECK_THAT(refused.error().message, ContainsSubstring("not a rivulet store"));
  CHECK(content(database(folder)) == before);
}

TEST_CASE("a file that is no database at all is set aside, not deleted") {
  Folder folder;
  std::ofstream(database(folder)) << std::string(8192, 'x');
  auto store = open(folder);
  CHECK(store->identity().adopted_after_damage);
  CHECK_THAT(store->identity().notice, ContainsSubstring("set aside as"));
  REQUIRE(folder.files("rivulet.db.damaged-").size() == 1);
  CHECK(content(folder.files("rivulet.db.damaged-")[0]) == std::string(8192, 'x'));
}

TEST_CASE("a store that lost a table is set aside") {
  Folder folder;
  open(folder).reset();
  edit(database(folder), "DROP TABLE packs");
  CHECK(open(folder)->identity().adopted_after_damage);
}

TEST_CASE("the whole file is checked when the last process left the mark of damage, and the mark goes") {
  Folder folder;
  Uuid incarnation;
  {
    auto store = open(folder);
    incarnation = store->identity().incarnation;
    const StreamId id = store->stream("s", "t").value().id;
    Sequence next = 1;
    for (int i = 0; i < 50; ++i, next += 2000) REQUIRE(commit(*store, records(id, next, next + 1999)));
  }
  std::ofstream(folder.path + "/damaged") << "SQLite said so";
  CHECK(open(folder)->identity().incarnation == incarnation);  // it was nothing
  CHECK(folder.files("damaged").empty());

  // Pages in the middle lose their content; nothing that the start reads lies there.
  {
    std::fstream file(database(folder), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(20 * 4096);
    file << std::string(20 * 4096, static_cast<char>(0xee));
  }
  std::ofstream(folder.path + "/damaged") << "SQLite said so";
  auto store = open(folder);
  CHECK(store->identity().incarnation != incarnation);
  CHECK(store->identity().history == std::vector<Uuid>{incarnation});
  CHECK(folder.files("damaged").empty());
}

TEST_CASE("a pack that fails its checksum becomes a gap, its bytes are kept, and the rest goes on") {
  Folder folder;
  StreamId id = 0;
  {
    auto store = open(folder);
    id = store->stream("s", "t").value().id;
    for (Sequence n = 1; n <= 21; n += 10) REQUIRE(commit(*store, records(id, n, n + 9)));
  }
  edit(database(folder), "UPDATE packs SET bytes = x'0100000000000102030405' WHERE id & 0xffffffffffff = 11");
  auto store = open(folder);
  const auto before = store->read(id, 0, SIZE_MAX).value();
  REQUIRE(before.size() == 1);
  CHECK(before[0].last == 10);
  const auto after = store->read(id, 10, SIZE_MAX).value();
  REQUIRE(after.size() == 2);
  CHECK(after[0].gap);
  CHECK(after[0].first == 11);
  CHECK(after[0].last == 20);
  CHECK_THAT(after[0].gap_reason, ContainsSubstring("damaged"));
  CHECK(after[1].records.size() == 10);
  const auto kept = store->quarantined(0, 10).value();
  REQUIRE(kept.size() == 1);
  CHECK(kept[0].place == "none: its bytes were damaged on the disk");
  CHECK(kept[0].value == std::string("\x01\x00\x00\x00\x00\x00\x01\x02\x03\x04\x05", 11));
}

TEST_CASE("the history of incarnations has the older ones only, and an identity file that is gone is made again") {
  Folder folder;
  const Uuid first = open(folder)->identity().incarnation;
  std::filesystem::rename(database(folder), folder.path + "/backup");
  const Uuid second = open(folder)->identity().incarnation;
  CHECK(open(folder)->identity().history == std::vector<Uuid>{first});
  std::filesystem::remove(database(folder));
  std::filesystem::rename(folder.path + "/backup", database(folder));
  auto store = open(folder);
  CHECK(store->identity().incarnation == first);
  CHECK(store->identity().history.empty());  // its successor is not its past
  store.reset();
  std::filesystem::remove(folder.path + "/identity");
  CHECK(open(folder)->identity().incarnation == first);
  CHECK(content(folder.path + "/identity") == first.text() + "\n");
  CHECK(second != first);
}

TEST_CASE("a folder that was there keeps its mode, a new one is private, and the files always are") {
  Folder folder;
  std::filesystem::permissions(folder.path, std::filesystem::perms(0755));
  {
    auto store = open(folder);
    for (const auto& file : folder.files("rivulet.db")) CHECK(std::filesystem::status(file).permissions() == std::filesystem::perms(0600));
    CHECK(folder.files("rivulet.db").size() == 3);
  }
  CHECK(std::filesystem::status(folder.path).permissions() == std::filesystem::perms(0755));
  REQUIRE(try_open(folder.path + "/a/b").has_value());
  CHECK(std::filesystem::status(folder.path + "/a/b").permissions() == std::filesystem::perms(0700));
}

TEST_CASE("a storage limit too small to work with is refused with the least one") {
  Folder folder;
  Options options;
  options.max_bytes = 1 << 20;
  const auto refused = try_open(folder.path, options);
  REQUIRE(refused.has_error());
  CHECK_THAT(refused.error().message, ContainsSubstring("at least 8MiB"));
}

TEST_CASE("a row of the state's log that fails its checksum is an error whose fate is known, and the next start sets the file aside") {
  for (const bool reset : {false, true}) {
    Folder folder;
    Uuid before;
    {
      auto store = open(folder);
      before = store->identity().incarnation;
      const auto step = store->state_step("p", "aggregate", "d").value();
      Epoch epoch;
      StateChanges changes;
      changes.number = 1;
      append_change(changes.body, step * kStateParts, "key", "value");
      epoch.set_state(std::move(changes));
      REQUIRE(commit(*store, std::move(epoch)));
    }
    edit(database(folder), "UPDATE state_log SET bytes = CAST(substr(bytes, 1, 8) || x'7f' || substr(bytes, 10) AS BLOB)");
    const auto nothing = [](std::uint64_t, std::string_view) -> result<void> { return {}; };
    {
      auto store = open(folder);
      Error error;
      if (reset) error = store->forget_state("p", "aggregate", true, [](std::uint32_t, std::string_view) { return true; }).error();
      else error = store->state_log(nothing).error();
      CHECK(error.code == ErrorCode::corrupt);
      CHECK_THAT(error.message, ContainsSubstring("row 1 of the log") && ContainsSubstring("the next start sets the file aside"));
      const StreamId id = store->stream("s", "t").value().id;
      CHECK(commit(*store, records(id, 1, 1)));  // nothing was in doubt
    }
    auto store = open(folder);
    CHECK(folder.files("rivulet.db.damaged-").size() == 1);
    CHECK(store->identity().adopted_after_damage);
    CHECK(store->identity().incarnation != before);
    CHECK(store->state_log(nothing));
  }
}

TEST_CASE("nothing is acknowledged that goes into a file which is no longer at its path") {
  Folder folder;
  const std::string state = folder.path + "/state", aside = folder.path + "/aside";
  std::filesystem::create_directory(state);
  auto store = try_open(state).value();
  const StreamId id = store->stream("s", "t").value().id;
  REQUIRE(commit(*store, records(id, 1, 3)));
  bool back = false;
  SECTION("it was removed") { std::filesystem::remove_all(state); }
  SECTION("another stands there") {
    std::filesystem::rename(state, aside);
    std::filesystem::create_directory(state);
    try_open(state).value();
  }
  SECTION("it is away and comes back") {
    std::filesystem::rename(state, aside);
    back = true;
  }
  const auto outcome = commit(*store, records(id, 4, 6));
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == ErrorCode::unknown_fate);
  CHECK_THAT(outcome.error().message, ContainsSubstring(state + "/rivulet.db was removed or replaced"));
  if (back) std::filesystem::rename(aside, state);
  CHECK(store->change(acknowledged(id, 1)).error().code == ErrorCode::unknown_fate);
  store.reset();
  if (back) CHECK(try_open(state).value()->stream("s", "t").value().last >= 3);
}
