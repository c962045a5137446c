// The changelog's streams as the agent writes them: headers, what is written anew and when, and nothing when nothing changed.
#include "agent/forward/restore.h"
#include "tests/unit/app/agent_fixture.h"

using namespace rivulet;
using namespace rivulet::test;

namespace {

std::string pipelines(const std::string& changelog, const std::string& more = "") {
  return "pipelines:\n  p: {from: a, steps: [{timestamp: ts}, {key: k}, {aggregate: {select: {n: count(*)}}}], to: out" + changelog + "}\n" + more;
}
const std::string kWith = ", changelog: c";

std::string record(int n) { return "{\"ts\":" + std::to_string(n) + ",\"k\":\"k" + std::to_string(n) + "\"}"; }

void take(AgentFixture& agent, int from, int to) {
  REQUIRE(agent.until([&] { return agent.a().started; }));
  EpochNumber epoch = 0;
  for (int n = from; n < to; ++n) epoch = agent.a().send(record(n));
  agent.a().intake.set_position("at", std::to_string(to));
  REQUIRE(agent.until([&] { return agent.a().durable_up_to() >= epoch; }));
}

struct Read {
  std::vector<store::ChangelogHeader> headers;
  std::vector<store::Generation> generations;  // of the headers
  std::map<std::string, std::optional<std::string>> latest;
};

// The changelog as it is in the outbox.
Read read(store::Store& store) {
  Read read;
  const auto stream = store.stream("@c", "c").value();
  const auto packs = store.read(stream.id, 0, SIZE_MAX).value();
  for (const auto& pack : packs)
    for (const auto& one : pack.records) {
      const auto key = store::decode_changelog_key(*one.key).value();
      CHECK(key.agent == "test");
      if (key.kind == store::ChangelogKind::header) {
        const auto value = store::decode_changelog_value(*one.value).value();
        read.headers.push_back(store::decode_header(value.body).value());
        read.generations.push_back(value.generation);
      }
      read.latest[std::string(*one.key)] = one.value ? std::optional<std::string>(*one.value) : std::nullopt;
    }
  return read;
}

// Rows of state (a key each, without the steps' times) and positions that a restore would find.
std::pair<std::size_t, std::size_t> restored(const Read& read) {
  forward::ChangelogReplay replay("test", read.generations.back());
  const auto catalogue = store::changelog_key("test", store::ChangelogKind::catalogue);
  REQUIRE(replay.take(catalogue, read.latest.at(catalogue)));
  for (const auto& [key, value] : read.latest) REQUIRE(replay.take(key, value ? std::optional<std::string_view>(*value) : std::nullopt));
  const auto batch = replay.take_batch();
  std::size_t rows = 0, positions = 0;
  for (const auto& row : batch.rows) rows += row.value && row.part != 0 ? 1 : 0;
  for (const auto& position : batch.positions) positions += position.value ? 1 : 0;
  return {rows, positions};
}

}  // namespace

TEST_CASE("an epoch's header counts its records, of the changelog and of each stream, and epochs follow each other") {
  Folder folder;
  AgentFixture agent(folder.path(), 5, pipelines(kWith));
  take(agent, 0, 10);
  take(agent, 10, 15);
  const Read seen = read(*agent.store);
  REQUIRE(seen.headers.size() >= 3);  // the first begins the changelog
  Sequence last = 0, results = 0;
  for (const auto& header : seen.headers) {
    CHECK(header.last == last + header.records);
    CHECK(header.complete);
    REQUIRE(header.streams.size() == 1);
    CHECK(header.streams[0].before() == results);
    last = header.last;
    results = header.streams[0].last;
  }
  CHECK(results == 15);
  CHECK(restored(seen).second == 1);
  CHECK(agent.agent->units().size() == 1);
}

TEST_CASE("an epoch that changes nothing of a unit writes nothing into its changelog") {
  Folder folder;
  AgentFixture agent(folder.path(), 5, pipelines(kWith, "  q: {from: b, to: other}\n"));
  take(agent, 0, 3);
  const auto before = read(*agent.store).headers.size();
  const EpochNumber epoch = agent.b().send("{\"x\":1}");
  agent.b().intake.set_position("at", "1");
  REQUIRE(agent.until([&] { return agent.b().durable_up_to() >= epoch; }));
  CHECK(read(*agent.store).headers.size() == before);
}

TEST_CASE("a restart goes on with the same generation and writes nothing anew") {
  Folder folder;
  {
    AgentFixture agent(folder.path(), 5, pipelines(kWith));
    take(agent, 0, 10);
  }
  AgentFixture agent(folder.path(), 5, pipelines(kWith));
  CHECK(agent.a().started);  // at once
  const auto before = read(*agent.store);
  take(agent, 10, 20);
  const auto after = read(*agent.store);
  CHECK(after.generations.back() == before.generations.front());
  CHECK(after.headers.size() > before.headers.size());
}

TEST_CASE("a changelog that is switched on later begins with everything that there is, in chunks", "[slow]") {
  Folder folder;
  constexpr int kKeys = 6'000;  // more than one chunk
  {
    AgentFixture agent(folder.path(), 5, pipelines(""));
    take(agent, 0, kKeys);
    CHECK(agent.agent->units().empty());
  }
  AgentFixture agent(folder.path(), 5, pipelines(kWith));
  CHECK_FALSE(agent.a().started);
  REQUIRE(agent.until([&] { return agent.a().started; }));
  const Read seen = read(*agent.store);
  CHECK(seen.headers.size() >= 1);
  for (std::size_t i = 0; i + 1 < seen.headers.size(); ++i) CHECK_FALSE(seen.headers[i].complete);
  CHECK(seen.headers.back().complete);
  CHECK(seen.headers.front().streams[0].before() == kKeys);  // what was there before goes by itself
  const auto [rows, positions] = restored(seen);
  CHECK(rows == static_cast<std::size_t>(kKeys));
  CHECK(positions == 1);
}

TEST_CASE("a changelog that the agent ran without is written anew under another generation") {
  Folder folder;
  {
    AgentFixture agent(folder.path(), 5, pipelines(kWith));
    take(agent, 0, 5);
  }
  store::Generation before;
  {
    AgentFixture agent(folder.path(), 5, pipelines(""));
    before = read(*agent.store).generations.back();
    REQUIRE(agent.agent->units().size() == 1);  // what waits still goes together
    CHECK(agent.agent->units()[0].members.size() == 1);
    take(agent, 5, 9);
  }
  AgentFixture agent(folder.path(), 5, pipelines(kWith));
  REQUIRE(agent.until([&] { return agent.a().started; }));
  const Read seen = read(*agent.store);
  CHECK(seen.generations.back() != before);
  CHECK(seen.headers.back().streams[0].last == 9);
  CHECK(restored(seen).first == 9);
}

TEST_CASE("another step in the unit has everything written anew") {
  Folder folder;
  {
    AgentFixture agent(folder.path(), 5, pipelines(kWith));
    take(agent, 0, 5);
  }
  AgentFixture agent(folder.path(), 5, pipelines(kWith, "  q: {from: p, steps: [{aggregate: {select: {m: count(*)}}}], to: more, changelog: c}\n"));
  REQUIRE(agent.until([&] { return agent.a().started; }));
  const Read seen = read(*agent.store);
  CHECK(seen.generations.back() != seen.generations.front());
  CHECK(restored(seen).first == 5);
}

TEST_CASE("a changelog is written anew under another agent id") {
  Folder folder;
  {
    AgentFixture agent(folder.path(), 5, pipelines(kWith));
    take(agent, 0, 5);
  }
  {
    const SystemClock clock;
    store::Options options;
    options.directory = folder.path();
    options.agent_id = "another";
    REQUIRE(store::Store::open(options, clock));
  }
  AgentFixture agent(folder.path(), 5, pipelines(kWith));
  REQUIRE(agent.until([&] { return agent.a().started; }));
  const Read seen = read(*agent.store);
  CHECK(seen.generations.back() != seen.generations.front());
  CHECK(seen.headers.back().complete);
  CHECK(restored(seen) == std::pair<std::size_t, std::size_t>{5, 1});
}

TEST_CASE("silence closes nothing while a changelog is written anew", "[slow]") {
  Folder folder;
  constexpr int kKeys = 20'000;  // many chunks
  const auto windows = [](const std::string& time, const std::string& changelog) {
    return "pipelines:\n  p: {from: a, time: {idle: " + time + "}, steps: [{timestamp: ts}, {key: k}, {aggregate: {window: {tumbling: 10ms}, select: {n: count(*)}, emit: closed}}], to: out" + changelog + "}\n";
  };
  {
    AgentFixture agent(folder.path(), 5, windows("never", ""));
    int sent = 0;
    EpochNumber last = 0;
    REQUIRE(agent.until([&] {
      while (sent < kKeys && agent.a().intake.can_accept()) last = agent.a().send("{\"ts\":1,\"k\":\"a-key-of-a-machine-with-a-rather-long-name-" + std::to_string(sent++) + "\"}");
      return sent == kKeys && agent.a().durable_up_to() >= last;
    }));
  }
  AgentFixture agent(folder.path(), 5, windows("1ms", kWith));
  CHECK_FALSE(agent.a().started);
  REQUIRE(agent.until([&] { return agent.a().started; }));
  const Read seen = read(*agent.store);
  CHECK(seen.headers.size() > 1);
  CHECK(restored(seen).first == static_cast<std::size_t>(kKeys));
  const auto results = agent.store->stream("p", "out").value();
  CHECK(results.last == 0);
  CHECK(agent.until([&] { return agent.store->stream("p", "out").value().last == kKeys; }));
}
