#include "store/changelog.h"
#include "tests/unit/store/store_fixture.h"

using namespace rivulet;
using namespace rivulet::store;

TEST_CASE("what an epoch holds is there after the store was opened again, all of it") {
  Folder folder;
  Uuid incarnation;
  {
    auto store = open(folder);
    incarnation = store->identity().incarnation;
    const StreamInfo stream = store->stream("machines", "topic").value();
    Epoch epoch = records(stream.id, 1, 5000);
    epoch.set_position("file", "a", "17");
    epoch.quarantine({"file", "p", "where", "bad", std::nullopt, "x", 5, ""});
    REQUIRE(commit(*store, std::move(epoch)));
  }
  auto store = open(folder);
  CHECK(store->identity().incarnation == incarnation);
  const StreamInfo stream = store->stream("machines", "topic").value();
  CHECK(stream.last == 5000);
  const auto packs = store->read(stream.id, 0, SIZE_MAX).value();
  const auto found = values(packs);
  REQUIRE(found.size() == 5000);
  CHECK(found.front() == "value-1");
  CHECK(found.back() == "value-5000");
  CHECK(packs.front().records[0].timestamp_ms == 1);
  CHECK(store->positions("file").value().at("a") == "17");
  CHECK(store->quarantined(0, 10).value().at(0).reason == "bad");
}

TEST_CASE("an acknowledgement trims whole packs and cuts the one that it ends in") {
  Folder folder;
  auto store = open(folder);
  const StreamId id = store->stream("s", "t").value().id;
  REQUIRE(commit(*store, records(id, 1, 10)));
  REQUIRE(commit(*store, records(id, 11, 20)));
  ForwardChange change;
  change.acknowledged.push_back({id, 14});
  change.facts.emplace_back("witness", "17");
  REQUIRE(store->change(change));
  CHECK(store->streams().value().at(0).acknowledged == 14);
  CHECK(store->fact("witness").value().value() == "17");
  const auto packs = store->read(id, 14, SIZE_MAX).value();
  REQUIRE(packs.size() == 1);
  CHECK(packs[0].first == 15);
  CHECK(values(packs).front() == "value-15");
  CHECK(store->stats().outbox_records == 6);
}

TEST_CASE("a gap takes the place of a record in the middle of a pack and its content goes to quarantine") {
  Folder folder;
  auto store = open(folder);
  const StreamId id = store->stream("s", "t").value().id;
  REQUIRE(commit(*store, records(id, 1, 10)));
  ForwardChange change;
  change.gaps.push_back({id, 4, 5, "too large", true});
  REQUIRE(store->change(change));
  const auto packs = store->read(id, 0, SIZE_MAX).value();
  REQUIRE(packs.size() == 3);
  CHECK(packs[0].last == 3);
  CHECK(packs[1].gap);
  CHECK(packs[1].first == 4);
  CHECK(packs[1].last == 5);
  CHECK(packs[2].first == 6);
  CHECK(values(packs).size() == 8);
  const auto kept = store->quarantined(0, 10).value();
  REQUIRE(kept.size() == 2);
  CHECK(kept[0].place == "stream s");
  CHECK(kept[0].topic == "t");
}

TEST_CASE("what an epoch did not collect for the quarantine counts as dropped, once") {
  Folder folder;
  auto store = open(folder);
  Epoch epoch;
  for (int n = 1; n <= 10'003; ++n) epoch.quarantine({"s", "p", "where", "bad", std::nullopt, std::to_string(n), 0, ""});
  REQUIRE(commit(*store, std::move(epoch)));
  CHECK(store->stats().quarantine_records == 10'000);
  CHECK(store->stats().quarantine_dropped == 3);
  CHECK(store->quarantined(0, 1).value().at(0).value == "4");
  Epoch one;
  one.quarantine({"s", "p", "where", "bad", std::nullopt, "last", 0, ""});
  REQUIRE(commit(*store, std::move(one)));
  CHECK(store->stats().quarantine_dropped == 4);
}

TEST_CASE("a record leaves the quarantine with what comes of it, and its room is free again") {
  Folder folder;
  Options options;
  options.quarantine.records = 3;
  auto store = open(folder, options);
  const StreamId id = store->stream("s", "t").value().id;
  Epoch bad;
  for (int n = 1; n <= 3; ++n) bad.quarantine({"s", "p", "where", "bad", std::nullopt, std::to_string(n), 0, ""});
  REQUIRE(commit(*store, std::move(bad)));
  Epoch again = records(id, 1, 1);
  again.release(2);
  again.quarantine({"s", "p", "where", "worse", std::nullopt, "3 again", 0, ""});
  again.release(3);
  again.release(99);  // the bound had taken it
  REQUIRE(commit(*store, std::move(again)));
  const auto kept = store->quarantined(0, 10).value();
  REQUIRE(kept.size() == 2);
  CHECK(kept[0].value == "1");
  CHECK(kept[1].value == "3 again");
  CHECK(store->stats().quarantine_records == 2);
  CHECK(store->stats().quarantine_dropped == 0);
  CHECK(values(store->read(id, 0, SIZE_MAX).value()).size() == 1);
}

TEST_CASE("drop-oldest leaves a gap for what it drops and spares what is being sent") {
  Folder folder;
  Options options;
  options.max_bytes = 8ULL << 20;
  options.when_full = WhenFull::drop_oldest;
  options.compression = Compression::none;
  auto store = open(folder, options);
  const StreamId id = store->stream("s", "t").value().id;
  REQUIRE(commit(*store, records(id, 1, 10)));
  store->protect({{id, 10}});
  Sequence next = 11;
  const std::string large(60'000, 'x');
  for (int i = 0; i < 100; ++i) {
    Epoch epoch;
    epoch.append(id, next++, std::nullopt, large, 1);
    REQUIRE(commit(*store, std::move(epoch)));
  }
  CHECK(store->stats().dropped_records > 0);
  CHECK(store->stats().used_bytes <= store->stats().outbox_max_bytes);
  const auto packs = store->read(id, 0, SIZE_MAX).value();
  CHECK_FALSE(packs[0].gap);
  CHECK(packs[0].last == 10);
  Sequence expected = 1;
  for (const Pack& pack : packs) {
    CHECK(pack.first == expected);
    expected = pack.last + 1;
  }
  CHECK(expected == next);
}

TEST_CASE("a full outbox has no room, and room comes back with acknowledgements") {
  Folder folder;
  Options options;
  options.max_bytes = 8ULL << 20;
  options.compression = Compression::none;
  auto store = open(folder, options);
  const StreamId id = store->stream("s", "t").value().id;
  Sequence next = 1;
  const std::string large(60'000, 'x');
  while (store->has_room() && next < 1000) {
    Epoch epoch;
    epoch.append(id, next++, std::nullopt, large, 1);
    REQUIRE(commit(*store, std::move(epoch)));
  }
  CHECK(next < 1000);
  ForwardChange change;
  change.acknowledged.push_back({id, next - 1});
  REQUIRE(store->change(change));
  CHECK(store->has_room());
}

TEST_CASE("an agent without a name for itself gets no store, and hears what to set") {
  Folder folder;
  const SystemClock clock;
  Options options;
  options.directory = folder.path;
  const auto opened = Store::open(options, clock);
  REQUIRE_FALSE(opened);
  CHECK_THAT(opened.error().message, ContainsSubstring("agent.id"));
  CHECK(folder.files("rivulet.db").empty());
}

TEST_CASE("a second process is refused the same folder") {
  Folder folder;
  auto store = open(folder);
  static const SystemClock clock;
  Options options;
  options.directory = folder.path;
  options.agent_id = "gateway-1";
  const auto second = Store::open(options, clock);
  REQUIRE(second.has_error());
  CHECK_THAT(second.error().message, ContainsSubstring("in use by another rivulet"));
}

TEST_CASE("another agent id is refused while a transaction is under way, and taken otherwise") {
  Folder folder;
  static const SystemClock clock;
  {
    auto store = open(folder);
    ForwardChange change;
    change.facts.emplace_back("prepared", "x");
    REQUIRE(store->change(change));
  }
  Options other;
  other.directory = folder.path;
  other.agent_id = "gateway-2";
  const auto refused = Store::open(other, clock);
  REQUIRE(refused.has_error());
  CHECK_THAT(refused.error().message, ContainsSubstring("gateway-1"));
  {
    auto store = open(folder);
    ForwardChange change;
    change.facts.emplace_back("prepared", std::nullopt);
    REQUIRE(store->change(change));
  }
  CHECK(Store::open(other, clock).has_value());
}

TEST_CASE("a changelog does not hold everything any more under another agent id") {
  Folder folder;
  const auto generation = [&](const std::string& agent) {
    Options options;
    options.agent_id = agent;
    const auto store = open(folder, options);
    const auto own = store->positions("@c").value();
    CHECK(own.contains(kMembersKey));  // headers that wait still name them
    CHECK(store->positions("source").value().contains(kGenerationKey));
    return own.contains(kGenerationKey);
  };
  {
    auto store = open(folder);
    Epoch epoch;
    epoch.set_position("@c", kGenerationKey, "g");
    epoch.set_position("@c", kMembersKey, "m");
    epoch.set_position("source", kGenerationKey, "a file of this name");
    REQUIRE(commit(*store, std::move(epoch)));
  }
  CHECK(generation("gateway-1"));
  CHECK_FALSE(generation("gateway-2"));
  CHECK_FALSE(generation("gateway-1"));
}

TEST_CASE("a damaged file is set aside whole and its incarnation stays in the history") {
  Folder folder;
  Uuid first;
  {
    auto store = open(folder);
    first = store->identity().incarnation;
    const StreamId id = store->stream("s", "t").value().id;
    REQUIRE(commit(*store, records(id, 1, 1000)));
  }
  std::filesystem::resize_file(folder.path + "/rivulet.db", 6000);
  auto store = open(folder);
  CHECK(store->identity().incarnation != first);
  CHECK(store->identity().history == std::vector<Uuid>{first});
  CHECK(store->identity().adopted_after_damage);
  bool kept = false;
  for (const auto& file : std::filesystem::directory_iterator(folder.path))
    if (file.path().filename().string().rfind("rivulet.db.damaged-", 0) == 0) kept = true;
  CHECK(kept);
}
