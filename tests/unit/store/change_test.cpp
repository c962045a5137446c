// What the forwarder does to the store.
#include <atomic>

#include "store/database.h"
#include "store/inspect.h"
#include "tests/support/log_lines.h"
#include "tests/unit/store/store_fixture.h"

using namespace rivulet;
using namespace rivulet::store;

namespace {

// Commits 60 KB epochs until the store says it has no room, or `most` of them.
Sequence fill(Store& store, StreamId id, Sequence next, int most) {
  const std::string large(60'000, 'x');
  for (int i = 0; i < most && store.has_room(); ++i) {
    Epoch epoch;
    epoch.append(id, next++, std::nullopt, large, 1);
    REQUIRE(commit(store, std::move(epoch)));
  }
  return next;
}

Options tiny(WhenFull when_full) {
  Options options;
  options.max_bytes = 8ULL << 20;
  options.compression = Compression::none;
  options.when_full = when_full;
  return options;
}

}  // namespace

TEST_CASE("a change that need not be durable is seen by whoever asks, costs no commit, and is written before the end") {
  Folder folder;
  {
    auto store = open(folder);
    const StreamId id = store->stream("s", "t").value().id;
    REQUIRE(commit(*store, records(id, 1, 10)));
    ForwardChange change = acknowledged(id, 4, false);
    change.facts.emplace_back("prepared", std::nullopt);
    change.facts.emplace_back("witness", "9");
    REQUIRE(store->change(change));
    CHECK(store->fact("witness").value() == "9");
    CHECK(store->streams().value().at(0).acknowledged == 4);
    REQUIRE(store->change(acknowledged(id, 7, false)));
  }
  CHECK(open(folder)->streams().value().at(0).acknowledged == 7);
}

TEST_CASE("changes are carried out in the order in which they came, durable or not") {
  Folder folder;
  auto store = open(folder);
  for (int i = 0; i < 200; ++i) {
    ForwardChange change;
    change.durable = i % 3 == 0;
    change.facts.emplace_back("n", std::to_string(i));
    REQUIRE(store->change(std::move(change)));
  }
  CHECK(store->fact("n").value() == "199");
}

TEST_CASE("a change that names records the outbox never held is refused and changes nothing") {
  Folder folder;
  auto store = open(folder);
  const StreamId id = store->stream("s", "t").value().id;
  REQUIRE(commit(*store, records(id, 1, 10)));
  ForwardChange change = acknowledged(id, 11);
  change.facts.emplace_back("fact", "x");
  CHECK(store->change(change).error().code == ErrorCode::invalid);
  CHECK(store->change(acknowledged(id + 1, 1)).error().code == ErrorCode::invalid);
  ForwardChange gap;
  gap.gaps.push_back({id, 9, 11, "reason", true});
  CHECK(store->change(gap).error().code == ErrorCode::invalid);
  CHECK_FALSE(store->fact("fact").value().has_value());
  CHECK(values(store->read(id, 0, SIZE_MAX).value()).size() == 10);
}

TEST_CASE("a gap over packs, gaps and acknowledged records is one gap of what was left") {
  Folder folder;
  auto store = open(folder);
  const StreamId id = store->stream("s", "t").value().id;
  for (Sequence n = 1; n <= 41; n += 10) REQUIRE(commit(*store, records(id, n, n + 9)));
  ForwardChange first = acknowledged(id, 3);
  first.gaps.push_back({id, 15, 16, "one", false});
  REQUIRE(store->change(first));
  ForwardChange second;
  second.gaps.push_back({id, 2, 35, "two", true});
  REQUIRE(store->change(second));
  const auto packs = store->read(id, 3, SIZE_MAX).value();
  REQUIRE(packs.size() == 3);
  CHECK(packs[0].gap);
  CHECK(packs[0].first == 4);
  CHECK(packs[0].last == 35);
  CHECK(packs[0].gap_reason == "two");
  CHECK(values(packs).front() == "value-36");
  CHECK(values(packs).size() == 15);
  const auto kept = store->quarantined(0, 100).value();
  CHECK(kept.size() == 30);
  CHECK(kept[0].value == "value-4");
  CHECK(kept[0].topic == "t");
}

TEST_CASE("a limit that is lower than the file leaves the forwarder the pages that it needs to make room") {
  Folder folder;
  Options options = tiny(WhenFull::refuse);
  options.max_bytes = 16ULL << 20;
  auto store = open(folder, options);
  const StreamId id = store->stream("s", "t").value().id;
  const Sequence next = fill(*store, id, 1, 500);
  options = tiny(WhenFull::refuse);
  REQUIRE(store->set_options(options));
  const auto prepare = [&](const std::string& what) {
    ForwardChange prepared;
    prepared.facts.emplace_back("prepared", std::string(100'000, what[0]));
    const auto done = store->change(prepared);
    INFO((done ? "" : done.error().message));
    CHECK(done.has_value());
    CHECK(store->fact("prepared").value() == std::string(100'000, what[0]));
  };
  prepare("a");
  store.reset();
  store = open(folder, options);
  CHECK_FALSE(store->has_room());
  for (const char* what : {"b", "c", "d"}) prepare(what);
  ForwardChange taken;
  taken.acknowledged.push_back({id, next - 1});
  REQUIRE(store->change(taken));
  CHECK(store->has_room());
}

TEST_CASE("nothing is dropped while a prepared transaction is not yet named") {
  Folder folder;
  auto store = open(folder, tiny(WhenFull::drop_oldest));
  const StreamId id = store->stream("s", "t").value().id;
  ForwardChange prepared;
  prepared.facts.emplace_back("prepared", "x");
  REQUIRE(store->change(prepared));
  const Sequence next = fill(*store, id, 1, 500);
  CHECK_FALSE(store->has_room());
  CHECK(store->stats().dropped_records == 0);
  CHECK(next < 500);
  store->protect({{id, 5}});
  CHECK(store->fact("prepared").value() == "x");
  CHECK(store->has_room());
  CHECK(store->stats().dropped_records > 0);
  const auto packs = store->read(id, 0, SIZE_MAX).value();
  for (std::size_t i = 0; i < 5; ++i) CHECK_FALSE(packs[i].gap);
  CHECK(packs[5].gap);
  CHECK(packs[5].first == 6);
}

TEST_CASE("dropped neighbours become one gap, over streams by age") {
  Folder folder;
  auto store = open(folder, tiny(WhenFull::drop_oldest));
  const StreamId old = store->stream("old", "t").value().id, young = store->stream("young", "t").value().id;
  fill(*store, old, 1, 20);
  fill(*store, young, 1, 150);
  const auto packs = store->read(old, 0, SIZE_MAX).value();
  REQUIRE(packs.size() == 1);
  CHECK(packs[0].gap);
  CHECK(packs[0].last == 20);
  CHECK_FALSE(store->read(young, 0, SIZE_MAX).value().back().gap);
}

TEST_CASE("records that were dropped do not wait, for whoever looks, before and after a start") {
  Folder folder;
  auto store = open(folder, tiny(WhenFull::drop_oldest));
  const StreamId topic = store->stream("s", "t").value().id, file = store->stream("s", "file:/f").value().id;
  const Sequence topics = fill(*store, topic, 1, 20) - 1, files = fill(*store, file, 1, 300) - 1;
  const auto dropped = store->stats().dropped_records;
  REQUIRE(dropped > 20);
  const auto check = [&](std::uint64_t for_topics, std::uint64_t for_files) {
    CHECK(store->streams().value().at(0).waiting() == for_topics);
    CHECK(store->stream_infos().at(1).waiting() == for_files);
    CHECK(store->stats().outbox_records == for_topics + for_files);
    CHECK(store->stats().local_records == for_files);
    const auto look = Inspect::open(folder.path).value().streams().value();
    CHECK(look.at(0).waiting() == for_topics);
    CHECK(look.at(1).waiting() == for_files);
  };
  CHECK(topics == 20);
  check(0, files - (dropped - 20));
  store.reset();
  store = open(folder, tiny(WhenFull::drop_oldest));
  check(0, files - (dropped - 20));
  REQUIRE(store->change(acknowledged(file, 10)));  // in the midst of the gap
  check(0, files - (dropped - 20));
  REQUIRE(store->change(acknowledged(file, files - 3)));
  REQUIRE(store->change(acknowledged(topic, topics)));
  check(0, 3);
}

namespace {

class SetClock final : public Clock {
 public:
  std::int64_t wall_ms() const override { return ms; }
  std::int64_t steady_ms() const override { return ms; }
  std::atomic<std::int64_t> ms{1'000'000};
};

}  // namespace

TEST_CASE("the log says how many records were dropped, once a minute and at the end") {
  Folder folder;
  const test::LogLines log;
  const auto said = [&] { return log.with("oldest records were dropped since the start"); };
  SetClock clock;
  Options options = tiny(WhenFull::drop_oldest);
  options.directory = folder.path;
  options.agent_id = "gateway-1";
  auto store = Store::open(options, clock).value();
  const StreamId id = store->stream("s", "t").value().id;
  Sequence next = fill(*store, id, 1, 300);
  REQUIRE(said().size() == 1);
  clock.ms += 60'000;
  next = fill(*store, id, next, 300);
  REQUIRE(said().size() == 2);
  fill(*store, id, next, 300);
  const auto stats = store->stats();
  CHECK(stats.last_drop_ms == clock.ms);
  store.reset();
  REQUIRE(said().size() == 3);
  CHECK_THAT(said().back(), ContainsSubstring(" " + std::to_string(stats.dropped_records) + " oldest"));
}

TEST_CASE("a store from before the index of gaps gets it") {
  Folder folder;
  {
    auto store = open(folder);
    const StreamId id = store->stream("s", "t").value().id;
    REQUIRE(commit(*store, records(id, 1, 10)));
    ForwardChange change;
    change.gaps.push_back({id, 3, 6, "a test", false});
    REQUIRE(store->change(change));
  }
  const auto execute = [&](const char* sql) { return Connection::open(database_path(folder.path), Connection::Mode::read_write, "").value().execute(sql); };
  REQUIRE(execute("DROP INDEX packs_gaps"));
  CHECK(Inspect::open(folder.path).value().stats().value().outbox_records == 6);
  CHECK(open(folder)->stats().outbox_records == 6);
  CHECK(execute("DROP INDEX packs_gaps"));
}

TEST_CASE("all files together stay below the storage limit, also when it is filled again") {
  Folder folder;
  auto store = open(folder, tiny(WhenFull::refuse));
  const StreamId id = store->stream("s", "t").value().id;
  Sequence next = 1;
  const auto grow = [&] {
    next = fill(*store, id, next, 500);
    CHECK_FALSE(store->has_room());
    std::uintmax_t all = 0;
    for (const auto& file : std::filesystem::directory_iterator(folder.path)) all += file.file_size();
    CHECK(all <= (8ULL << 20) + 100'000);  // the log's index and small files beside it
    REQUIRE(store->change(acknowledged(id, next - 1)));
    CHECK(store->has_room());
  };
  grow();
  grow();
  CHECK(store->stats().outbox_records == 0);
}

TEST_CASE("changes that ride write nothing of their own to the log") {
  Folder folder;
  auto store = open(folder);
  const StreamId id = store->stream("s", "t").value().id;
  REQUIRE(commit(*store, records(id, 1, 100)));
  const std::uint64_t before = store->stats().wal_bytes;
  for (Sequence n = 1; n <= 20; ++n) REQUIRE(store->change(acknowledged(id, n, false)));
  CHECK(store->stats().wal_bytes == before);
  REQUIRE(store->change(acknowledged(id, 21, true)));
  CHECK(store->stats().wal_bytes > before);
}

TEST_CASE("quarantine keeps the newest up to its bound and counts what it dropped") {
  Folder folder;
  Options options;
  options.quarantine.records = 10;
  const test::LogLines lines;
  auto store = open(folder, options);
  for (int i = 0; i < 5; ++i) {
    Epoch epoch;
    for (int n = 0; n < 5; ++n) epoch.quarantine({"s", "p", "where", std::to_string(i * 5 + n), std::nullopt, "x", 0, ""});
    REQUIRE(commit(*store, std::move(epoch)));
  }
  CHECK(store->stats().quarantine_records == 10);
  CHECK(store->stats().quarantine_dropped == 15);
  REQUIRE(lines.with("quarantine is full").size() == 1);  // the rest a minute later, in one line
  CHECK_THAT(lines.with("quarantine is full")[0], ContainsSubstring("(10 records): 5 oldest records were dropped from it since the start; look at what it holds (`rivulet quarantine list`)"));
  const auto kept = store->quarantined(0, 100).value();
  REQUIRE(kept.size() == 10);
  CHECK(kept.front().reason == "15");
  CHECK(store->drop_quarantined(kept[0].id, kept[3].id).value() == 4);
  CHECK(store->stats().quarantine_records == 6);
}

TEST_CASE("a stream is known by its name and its topic, and its number is not used again") {
  Folder folder;
  auto store = open(folder);
  const StreamId first = store->stream("p", "old").value().id;
  const StreamId renamed = store->stream("p", "new").value().id;
  CHECK(first != renamed);
  CHECK(store->stream("p", "old").value().id == first);
  store.reset();
  store = open(folder);
  CHECK(store->stream("p", "new").value().id == renamed);
  CHECK(store->stream("q", "new").value().id > renamed);
  CHECK(store->streams().value().size() == 3);
}
