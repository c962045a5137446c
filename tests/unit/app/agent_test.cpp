#include "store/pack.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/app/agent_fixture.h"

using namespace rivulet;
using namespace rivulet::test;

TEST_CASE("a record is in the store before its source hears that it is durable") {
  Folder folder;
  AgentFixture fixture(folder.path());
  bool there = false;
  const EpochNumber epoch = fixture.a().send(R"({"n":1})");
  fixture.a().when_durable = [&](EpochNumber) { there = fixture.stored() == std::vector<std::string>{R"({"n":1})"}; };
  REQUIRE(fixture.until([&] { return fixture.a().durable_up_to() >= epoch; }));
  CHECK(there);
}

TEST_CASE("nothing is called durable before its epoch has ended") {
  Folder folder;
  AgentFixture fixture(folder.path(), 60'000);
  fixture.a().send(R"({"n":1})");
  run_ready(fixture.io);
  CHECK(fixture.a().durable.empty());
  CHECK(fixture.stored().empty());
}

TEST_CASE("commit_soon ends the epoch long before the commit interval") {
  Folder folder;
  AgentFixture fixture(folder.path(), 60'000);
  const EpochNumber epoch = fixture.a().send(R"({"n":1})");
  fixture.a().intake.commit_soon();
  REQUIRE(fixture.until([&] { return fixture.a().durable_up_to() >= epoch; }));
  CHECK(fixture.stored().size() == 1);
}

TEST_CASE("a record and its position are in one epoch, however soon that ends") {
  Folder folder;
  AgentFixture fixture(folder.path(), 60'000);
  const std::string large = R"({"n":1,"text":")" + std::string(300'000, 'x') + R"("})";
  fixture.a().intake.commit_soon();
  for (int i = 0; i < 3; ++i) {
    const EpochNumber before = fixture.a().intake.epoch();
    fixture.a().intake.accept({large, {}});  // above the bound of an epoch by itself
    fixture.a().intake.set_position("at", std::to_string(i));
    CHECK(fixture.a().intake.epoch() == before);
  }
  REQUIRE(fixture.until([&] { return fixture.a().durable_up_to() >= 1; }));
  const auto positions = fixture.store->positions("a");
  REQUIRE(positions);
  CHECK(positions->at("at") == "2");
  CHECK(fixture.stored().size() == 3);
}

TEST_CASE("an epoch that holds only a position commits") {
  Folder folder;
  AgentFixture fixture(folder.path());
  fixture.b().intake.set_position("offset", "17");
  const EpochNumber epoch = fixture.b().intake.epoch();
  REQUIRE(fixture.until([&] { return fixture.b().durable_up_to() >= epoch; }));
  const auto positions = fixture.store->positions("b");
  REQUIRE(positions);
  CHECK(positions->at("offset") == "17");
}

TEST_CASE("a record that every pipeline filters out is durable without a commit") {
  Folder folder;
  AgentFixture fixture(folder.path());
  const EpochNumber epoch = fixture.a().send(R"({"n":0})");
  REQUIRE(fixture.until([&] { return fixture.a().durable_up_to() >= epoch; }));
  app::Snapshot now;
  fixture.agent->describe(now);
  CHECK(now.epochs == 0);
  CHECK(now.sources[0].records == 1);
}

TEST_CASE("epochs become durable in their order, with empty ones among them") {
  Folder folder;
  AgentFixture fixture(folder.path(), 1);
  EpochNumber last = 0;
  for (int i = 0; i < 40; ++i) {
    last = fixture.a().send(i % 3 == 0 ? R"({"n":0})" : R"({"n":1})");
    fixture.a().intake.commit_soon();
    run_ready(fixture.io);
  }
  REQUIRE(fixture.until([&] { return fixture.a().durable_up_to() >= last; }));
  CHECK(std::is_sorted(fixture.a().durable.begin(), fixture.a().durable.end()));
  CHECK(fixture.stored().size() == 26);
}

TEST_CASE("a source that fills the epoch is refused and asked to go on when there is room") {
  Folder folder;
  AgentFixture fixture(folder.path(), 60'000);
  const std::string record = R"({"n":1,"text":")" + std::string(10'000, 'x') + R"("})";
  std::size_t sent = 0;
  while (fixture.a().intake.can_accept()) {
    fixture.a().send(record);
    REQUIRE(++sent < 1000);
  }
  const std::size_t bound = app::epoch_bytes_for(fixture.config.agent);
  CHECK(sent * record.size() >= bound);
  CHECK(sent * record.size() <= bound + bound / 2);
  CHECK(fixture.b().room == 0);
  REQUIRE(fixture.until([&] { return fixture.a().room > 0; }));
  CHECK(fixture.a().intake.can_accept());
  CHECK(fixture.b().room == 0);  // it was never refused
}

// 20 KB of noise, so that the packs do not shrink.
std::string noise(std::uint64_t& state) {
  std::string text = R"({"n":1,"text":")";
  for (int i = 0; i < 20'000; ++i) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    text += static_cast<char>('!' + 2 + state % 55);
  }
  text.erase(std::remove(text.begin() + 15, text.end(), '\\'), text.end());
  return text + R"("})";
}

TEST_CASE("at a full outbox sources are refused, and what is stored stays", "[deadline]") {
  Folder folder;
  AgentFixture fixture(folder.path(), 5);
  std::uint64_t state = 88172645463325252ULL;
  std::size_t sent = 0;
  EpochNumber last = 0;
  const auto full = [&] {
    while (fixture.a().intake.can_accept() && sent < 10'000) {
      last = fixture.a().send(noise(state));
      ++sent;
    }
    return !fixture.store->has_room() && fixture.a().durable_up_to() >= last;
  };
  REQUIRE(fixture.until(full));
  CHECK(fixture.stored().size() == sent);
  CHECK_FALSE(fixture.b().intake.can_accept());
  store::ForwardChange change;  // Kafka takes everything
  const auto streams = fixture.store->streams();
  REQUIRE(streams);
  for (const auto& stream : *streams) change.acknowledged.push_back({stream.id, stream.last});
  REQUIRE(fixture.store->change(change));
  REQUIRE(fixture.until([&] { return fixture.b().room > 0; }));
  CHECK(fixture.b().intake.can_accept());
}

TEST_CASE("streams that nobody takes may fill half of the outbox, then the sources that lead to them are refused and only they", "[deadline]") {
  Folder folder;
  AgentFixture fixture(folder.path(), 5, "pipelines:\n  first: {from: a}\n  second: {from: first, to: missing}\n  good: {from: b, to: good}\n");
  const auto streams = fixture.store->streams();
  REQUIRE(streams);
  REQUIRE(streams->size() == 2);
  const StreamId bad = (*streams)[0].topic == "missing" ? (*streams)[0].id : (*streams)[1].id;
  std::uint64_t state = 88172645463325252ULL;
  fixture.store->hold("test", {bad});
  std::size_t sent = 0;
  EpochNumber last = 0;
  const auto send_while_taken = [&] {
    while (fixture.a().intake.can_accept() && sent < 10'000) {
      last = fixture.a().send(noise(state));
      ++sent;
    }
    return !fixture.store->has_room_for(bad) && fixture.a().durable_up_to() >= last;
  };
  REQUIRE(fixture.until(send_while_taken));
  const store::StoreStats stats = fixture.store->stats();
  CHECK(stats.held_full);
  CHECK(stats.held_bytes > stats.outbox_max_bytes / 2);
  CHECK(stats.held_bytes < stats.outbox_max_bytes / 2 + stats.outbox_max_bytes / 8);
  CHECK_FALSE(fixture.a().intake.can_accept());
  const int asked = fixture.a().room;
  REQUIRE(fixture.b().intake.can_accept());
  const EpochNumber other = fixture.b().send(R"({"n":1})");
  REQUIRE(fixture.until([&] { return fixture.b().durable_up_to() >= other; }));
  CHECK(fixture.a().room == asked);
  fixture.store->hold("test", {});  // the topic was made
  REQUIRE(fixture.until([&] { return fixture.a().room > asked; }));
  CHECK(fixture.a().intake.can_accept());
  CHECK(fixture.stored().size() == sent + 1);
}

TEST_CASE("stop commits what was accepted and acknowledges it") {
  Folder folder;
  AgentFixture fixture(folder.path(), 60'000);
  const EpochNumber epoch = fixture.a().send(R"({"n":1})");
  REQUIRE(fixture.stop());
  CHECK(fixture.a().stopped);
  CHECK(fixture.a().durable_up_to() >= epoch);
  CHECK(fixture.stored().size() == 1);
  CHECK_FALSE(fixture.a().intake.can_accept());
}

TEST_CASE("sequence numbers and positions go on after a restart") {
  Folder folder;
  {
    AgentFixture fixture(folder.path());
    fixture.a().send(R"({"n":1})");
    fixture.a().intake.set_position("at", "1");
    REQUIRE(fixture.stop());
  }
  AgentFixture again(folder.path());
  CHECK(again.a().intake.positions_at_start().at("at") == "1");
  again.a().send(R"({"n":2})");
  REQUIRE(again.stop());
  const auto streams = again.store->streams();
  REQUIRE(streams);
  REQUIRE(streams->size() == 1);
  CHECK(streams->front().last == 2);
  CHECK(again.stored() == std::vector<std::string>{R"({"n":1})", R"({"n":2})"});
}

TEST_CASE("an undecodable record is in quarantine when its source hears that it is durable") {
  Folder folder;
  AgentFixture fixture(folder.path());
  const EpochNumber epoch = fixture.a().send("{broken");
  REQUIRE(fixture.until([&] { return fixture.a().durable_up_to() >= epoch; }));
  const auto held = fixture.store->quarantined(0, 10);
  REQUIRE(held);
  REQUIRE(held->size() == 1);
  CHECK(held->front().value == "{broken");
  CHECK(held->front().source == "a");
}

TEST_CASE("raw bytes that are no UTF-8 are counted; an untouched record keeps them, in a text each is U+FFFD") {
  Folder folder;
  AgentFixture fixture(folder.path(), 20, "  c: {stdin: {}, decode: raw}\n  d: {stdin: {}, decode: {raw: {pattern: \"(?<v>.*)\"}}}\npipelines:\n  as_is: {from: c, to: out}\n"
                                          "  text: {from: c, steps: [{set: {n: 1}}], to: texts}\n  parts: {from: d, to: parts}\n");
  HandSource& raw = *fixture.sources[2];
  raw.send("21.5 \xb0" "C");
  const EpochNumber epoch = raw.send("21.5 \xc2\xb0" "C");
  const EpochNumber of_pattern = fixture.sources[3]->send("\xb0");
  REQUIRE(fixture.until([&] { return raw.durable_up_to() >= epoch && fixture.sources[3]->durable_up_to() >= of_pattern; }));
  CHECK(fixture.stored() == std::vector<std::string>{"21.5 \xb0" "C", "21.5 \xc2\xb0" "C", "{\"value\":\"21.5 \xef\xbf\xbd" "C\",\"n\":1}", "{\"value\":\"21.5 \xc2\xb0" "C\",\"n\":1}"});
  CHECK(fixture.store->quarantined(0, 10).value().size() == 1);  // the pattern's
  app::Snapshot snapshot;
  fixture.agent->describe(snapshot);
  CHECK(snapshot.sources[2].events["not_utf8"] == 1);
  CHECK(snapshot.sources[3].events.count("not_utf8") == 0);
}

TEST_CASE("a record of the quarantine goes on in the epoch that takes it out of there, also when it fails again") {
  Folder folder;
  {
    AgentFixture before(folder.path(), 20, "pipelines:\n  p: {from: a, steps: [{where: \"json_extract(n || '{', '$.a')\"}], to: out}\n");
    before.a().send(R"({"n":1})");
    before.a().send(R"({"n":"x"})");
    const EpochNumber epoch = before.a().send("{broken");
    REQUIRE(before.until([&] { return before.a().durable_up_to() >= epoch; }));
    REQUIRE(before.stop());
    CHECK(before.stored().empty());
  }
  AgentFixture after(folder.path(), 60'000);
  const auto held = after.store->quarantined(0, 10).value();
  REQUIRE(held.size() == 3);
  for (const auto& record : held) {
    const auto done = after.agent->retry(record);
    REQUIRE(done);
    CHECK(*done);
  }
  CHECK(after.store->quarantined(0, 10).value().size() == 3);  // not before it is durable
  CHECK(after.stored().empty());
  REQUIRE(after.stop());
  CHECK_FALSE(after.agent->retry(held[0]).value());
  CHECK(after.stored() == std::vector<std::string>{R"({"n":1})", R"({"n":"x"})"});
  const auto left = after.store->quarantined(0, 10).value();
  REQUIRE(left.size() == 1);
  CHECK(left[0].id > held[2].id);
  CHECK(left[0].value == "{broken");
}

TEST_CASE("what a source counts is bounded in names and lost in none") {
  Folder folder;
  AgentFixture fixture(folder.path());
  for (int i = 0; i < 200; ++i) fixture.a().intake.count("event" + std::to_string(i));
  fixture.a().intake.count("event3", 5);
  app::Snapshot now;
  fixture.agent->describe(now);
  std::uint64_t sum = 0;
  for (const auto& [name, count] : now.sources[0].events) sum += count;
  CHECK(sum == 205);
  CHECK(now.sources[0].events.at("event3") == 6);
  CHECK(now.sources[0].events.size() <= app::AgentIntake::kMaxEvents + 1);
}

TEST_CASE("an epoch is small beside the memory and the storage that the agent may use") {
  config::Agent agent;
  agent.memory_bytes = 8 << 20;
  CHECK(app::epoch_bytes_for(agent) == 1 << 20);
  agent.memory_bytes = 1ULL << 32;
  CHECK(app::epoch_bytes_for(agent) == 8 << 20);
  agent.storage_max_bytes = 16 << 20;
  CHECK(app::epoch_bytes_for(agent) == 512 << 10);
}

TEST_CASE("an agent whose sources wait for a full store is unhealthy, and says what to do") {
  app::Snapshot now;
  now.store.outbox_max_bytes = 100;
  now.store.used_bytes = 100;
  now.sources.emplace_back();
  CHECK(app::health_problems(now).empty());  // full, but nobody wants more
  now.sources[0].waiting = true;
  REQUIRE(app::health_problems(now).size() == 1);
  CHECK_THAT(app::health_problems(now)[0], ContainsSubstring("agent.storage.max"));
  now.store.used_bytes = 99;
  CHECK(app::health_problems(now).empty());  // it waits for its epoch only
  now.store.outbox_max_bytes = 0;  // the ballast was given back
  REQUIRE(app::health_problems(now).size() == 1);
  CHECK_THAT(app::health_problems(now)[0], ContainsSubstring("the disk of agent.state"));
}

TEST_CASE("sources wait until a lookup table is there, and results have its rows") {
  Folder folder;
  const std::string path = folder.path() + "/sites.csv";
  const std::string joined = "tables: {sites: {file: {path: " + path + ", key: id}}}\npipelines:\n  p: {from: [a, b], steps: [{key: id}, {join: {with: sites, kind: left, select: {site: right.name}}}], to: out}\n";
  AgentFixture at(folder.path() + "/state", 20, joined);
  CHECK_FALSE(at.a().intake.can_accept());
  app::Snapshot snapshot;
  at.agent->describe(snapshot);
  REQUIRE(app::health_problems(snapshot).size() == 1);
  CHECK(app::health_problems(snapshot)[0].find("sources wait for the table sites: " + path + " cannot be read") == 0);
  overwrite(path, "id,name\nx,Halle\n");
  REQUIRE(at.until([&] { return at.a().room == 1; }));
  const auto epoch = at.a().send(R"({"id":"x"})");
  REQUIRE(at.until([&] { return at.a().durable_up_to() >= epoch; }));
  CHECK(at.stored() == std::vector<std::string>{R"({"site":"Halle"})"});
  overwrite(path, "id,name\nx,Jena\n");
  REQUIRE(at.until([&] {
    at.a().send(R"({"id":"x"})");
    const auto stored = at.stored();
    return stored.back() == R"({"site":"Jena"})";
  }));
  for (const std::string& value : at.stored()) CHECK((value == R"({"site":"Halle"})" || value == R"({"site":"Jena"})"));
  CHECK(at.stop());
}

TEST_CASE("clamp holds timestamps against a clock that was set, from the first record on and without any stateful step") {
  Folder folder;
  AgentFixture at(folder.path(), 5, "pipelines:\n  p: {from: a, steps: [{timestamp: ts}, {clamp: {future: 10s}}], to: out}\n");
  const Timestamp start_ms = at.clock.wall_ms();
  for (int i = 0; i < 2; ++i) {  // an epoch each
    const EpochNumber epoch = at.a().send("{\"ts\":" + std::to_string(start_ms + 864'000'000) + "}");
    REQUIRE(at.until([&] { return at.a().durable_up_to() >= epoch; }));
  }
  const auto streams = at.store->streams().value();
  REQUIRE(streams.size() == 1);
  const auto packs = at.store->read(streams[0].id, 0, SIZE_MAX).value();
  std::vector<Timestamp> timestamps;
  for (const auto& pack : packs)
    for (const auto& record : pack.records) timestamps.push_back(record.timestamp_ms);
  REQUIRE(timestamps.size() == 2);
  for (const Timestamp timestamp_ms : timestamps) {
    CHECK(timestamp_ms >= start_ms);
    CHECK(timestamp_ms <= at.clock.wall_ms());
  }
}

TEST_CASE("what one epoch changes of the state fits into a row of the log, however much memory there is") {
  config::Agent agent;
  for (const std::uint64_t memory_bytes : {4ULL << 20, 256ULL << 20, 1ULL << 30, 64ULL << 30}) {
    agent.memory_bytes = memory_bytes;
    CHECK(app::state_bytes_for(agent) <= memory_bytes / 2);
    CHECK(2 * (app::state_bytes_for(agent) / 8 * 5) < store::kMaxBodyBytes);  // changed, and held until the epoch's end
  }
}
