// Stateful steps in the agent: their state is durable with the epoch that its records share, and silence is heard.
#include <algorithm>

#include "tests/unit/app/agent_fixture.h"

using namespace rivulet;
using namespace rivulet::test;

namespace {

std::string pipelines(const std::string& emit, const std::string& time = "scope: stream", const std::string& window = "tumbling: 10ms") {
  return "pipelines:\n  p: {from: [a, b], time: {" + time + "}, steps: [{timestamp: ts}, {key: k}, {aggregate: {window: {" + window + "}, select: {n: count(*)}, emit: " + emit + "}}], to: out}\n";
}

std::string record(int ts, const std::string& key = "k") { return "{\"ts\":" + std::to_string(ts) + ",\"k\":\"" + key + "\"}"; }

std::string counted(int n, int start) { return "{\"n\":" + std::to_string(n) + ",\"window_start\":" + std::to_string(start) + ",\"window_end\":" + std::to_string(start + 10) + "}"; }

}  // namespace

TEST_CASE("what one epoch changes in the state is bounded, also while it cannot end") {
  Folder folder;
  AgentFixture at(folder.path(), 60'000, "pipelines:\n  p: {from: a, steps: [{key: k}, {aggregate: {select: {n: count(*)}, emit: updates}}], to: out}\n  q: {from: b, to: other}\n");
  int sent = 0;
  const auto send = [&] { at.a().send("{\"k\":" + std::to_string(sent++) + "}"); };
  while (sent < 100'000 && at.a().intake.can_accept()) send();  // io does not run: no epoch ends
  CHECK(sent > 1'000);
  REQUIRE(sent < 20'000);
  CHECK_FALSE(at.b().intake.can_accept());
  const int room = at.a().room;
  REQUIRE(at.until([&] { return at.a().room > room; }));
  CHECK(at.a().intake.can_accept());
  send();
  CHECK(at.stop());
  CHECK(at.stored().size() == static_cast<std::size_t>(sent));
}

TEST_CASE("the lists of all frames that are taken in at once, as the lines of a POST, have one bound on what they become") {
  Folder folder;
  AgentFixture at(folder.path(), 5, "pipelines:\n  p: {from: a, steps: [flatten: {explode: l}], to: out}\n  q: {from: b, to: other}\n");
  std::string line = "{\"pad\":\"" + std::string(5'000, 'x') + "\",\"l\":[1";
  for (int i = 1; i < 500; ++i) line += ",1";
  line += "]}";  // 2.5 MB of records
  REQUIRE(at.a().intake.can_accept());
  for (int i = 0; i < 10; ++i) at.a().send(line);
  REQUIRE(at.until([&] { return at.a().intake.can_accept(); }));
  const EpochNumber epoch = at.a().send(line);
  REQUIRE(at.until([&] { return at.a().durable_up_to() >= epoch; }));
  CHECK(at.stored().size() == 4 * 500);
}

TEST_CASE("a window goes on after a restart where the last durable epoch left it") {
  Folder folder;
  for (int i = 0; i < 9; ++i) {
    AgentFixture agent(folder.path(), 5, pipelines("closed"));
    const EpochNumber epoch = agent.a().send(record(i));
    REQUIRE(agent.until([&] { return agent.a().durable_up_to() >= epoch; }));
  }
  AgentFixture agent(folder.path(), 5, pipelines("closed"));
  CHECK(agent.stored().empty());
  const EpochNumber epoch = agent.a().send(record(10));
  REQUIRE(agent.until([&] { return agent.a().durable_up_to() >= epoch; }));
  CHECK(agent.stored() == std::vector<std::string>{counted(9, 0)});
}

TEST_CASE("what was taken in and is not durable changes no state") {
  Folder folder;
  {
    AgentFixture agent(folder.path(), 60'000, pipelines("closed"));
    agent.a().send(record(1));
    agent.a().send(record(2));
  }
  AgentFixture agent(folder.path(), 5, pipelines("closed"));
  agent.a().send(record(3));
  const EpochNumber epoch = agent.a().send(record(10));
  REQUIRE(agent.until([&] { return agent.a().durable_up_to() >= epoch; }));
  CHECK(agent.stored() == std::vector<std::string>{counted(1, 0)});
}

TEST_CASE("updates go out once an epoch, in the epoch of the records that made them") {
  Folder folder;
  AgentFixture agent(folder.path(), 20, pipelines("updates"));
  agent.a().send(record(1));
  agent.a().send(record(2));
  const EpochNumber epoch = agent.a().send(record(3));
  REQUIRE(agent.until([&] { return agent.a().durable_up_to() >= epoch; }));
  CHECK(agent.stored() == std::vector<std::string>{counted(3, 0)});
}

TEST_CASE("a window closes by the wall clock when its input falls silent") {
  Folder folder;
  AgentFixture agent(folder.path(), 5, pipelines("closed", "idle: 30ms"));
  agent.a().send(record(1));
  CHECK(agent.until([&] { return agent.stored() == std::vector<std::string>{counted(1, 0)}; }));
}

namespace {

constexpr int kKeys = 20'000;
const char* const kLong = "a-key-of-a-machine-with-a-rather-long-name-in-hall-7-of-plant-3-";

std::vector<std::string> stored_keys(store::Store& store) {
  std::vector<std::string> keys;
  const auto streams = store.streams().value();
  for (const auto& stream : streams) {
    const auto packs = store.read(stream.id, 0, SIZE_MAX).value();
    for (const auto& pack : packs)
      for (const auto& one : pack.records) keys.emplace_back(*one.key);
  }
  return keys;
}

std::vector<std::string> all_keys() {
  std::vector<std::string> keys;
  for (int i = 0; i < kKeys; ++i) keys.push_back(kLong + std::to_string(i));
  std::sort(keys.begin(), keys.end());
  return keys;
}

// A record for each key, all in one window.
void fill(AgentFixture& agent) {
  int sent = 0;
  EpochNumber last = 0;
  REQUIRE(agent.until([&] {
    while (sent < kKeys && agent.a().intake.can_accept()) last = agent.a().send(record(1, kLong + std::to_string(sent++)));
    return sent == kKeys && agent.a().durable_up_to() >= last;
  }));
}

}  // namespace

TEST_CASE("a window of many keys closes over several epochs, and no record is taken in meanwhile", "[slow]") {
  const std::string window = GENERATE("tumbling: 10ms", "session: 10ms", "sliding: 10ms");
  INFO(window);
  Folder folder;
  AgentFixture agent(folder.path(), 5, pipelines("closed", "scope: stream", window));
  fill(agent);
  const auto commits = agent.store->stats().commits;
  const EpochNumber epoch = agent.a().send(record(20, "z"));
  CHECK_FALSE(agent.a().intake.can_accept());
  CHECK_FALSE(agent.b().intake.can_accept());
  REQUIRE(agent.until([&] { return agent.a().durable_up_to() >= epoch; }));
  const auto first = stored_keys(*agent.store);
  CHECK(first.size() < kKeys);
  REQUIRE(agent.until([&] { return agent.b().intake.can_accept(); }));
  CHECK(agent.stop());
  CHECK(agent.store->stats().commits - commits >= 4);
  CHECK(stored_keys(*agent.store) == all_keys());
}

TEST_CASE("a window that was closing when the agent was killed goes on where the last durable epoch left it", "[slow]") {
  Folder folder;
  {
    AgentFixture agent(folder.path(), 5, pipelines("closed"));
    fill(agent);
    agent.a().send(record(10, "z"));
  }
  for (std::size_t had = 0, lives = 0; had < kKeys; ++lives) {
    REQUIRE(lives < 20);
    AgentFixture agent(folder.path(), 5, pipelines("closed"));
    if (lives == 0) agent.a().send(record(10, "z"));  // its epoch was not durable, so it comes again
    const auto more = [&] { return stored_keys(*agent.store).size() > had; };
    REQUIRE(agent.until(more));
    had = stored_keys(*agent.store).size();
  }
  AgentFixture agent(folder.path(), 5, pipelines("closed"));
  CHECK(agent.until([&] { return agent.a().intake.can_accept(); }));
  CHECK(stored_keys(*agent.store) == all_keys());
}

TEST_CASE("results that flow together with others of the same record all come with it", "[slow]") {
  Folder folder;
  const std::string both = pipelines("closed") + "  q: {from: a}\n  both: {from: [p, q], to: both}\n";
  AgentFixture agent(folder.path(), 5, both);
  fill(agent);
  agent.a().send(record(10, "z"));
  CHECK(agent.until([&] { return agent.b().intake.can_accept(); }));
  CHECK(agent.stop());
  std::vector<std::string> values;
  const auto streams = agent.store->streams().value();
  for (const auto& stream : streams) {
    if (stream.topic != "both") continue;
    const auto packs = agent.store->read(stream.id, 0, SIZE_MAX).value();
    for (const auto& pack : packs)
      for (const auto& one : pack.records) values.emplace_back(*one.value);
  }
  REQUIRE(values.size() == 2 * kKeys + 1);
  CHECK(values.back() == record(10, "z"));  // after the results of the window that it closed
}

TEST_CASE("with scope key a silent key is noticed while another one sends all the time") {
  Folder folder;
  AgentFixture agent(folder.path(), 5, pipelines("closed", "scope: key, idle: 200ms"));
  agent.a().send(record(1, "silent"));
  CHECK(agent.until([&] {
    if (agent.b().intake.can_accept()) agent.b().send(record(1, "busy"));
    const auto keys = stored_keys(*agent.store);
    return std::find(keys.begin(), keys.end(), "silent") != keys.end();
  }));
}

TEST_CASE("a key that falls silent across restarts is told once, and once when it comes back") {
  Folder folder;
  const auto absence = [](const std::string& idle) {  // which lets time go on by the clock, from the second life alone
    return "pipelines:\n  p: {from: [a, b], time: {idle: " + idle + "}, steps: [{timestamp: ts}, {key: k}, {absence: {after: 60ms}}], to: out}\n";
  };
  const auto send = [](AgentFixture& agent, int ts) {
    const EpochNumber epoch = agent.a().send(record(ts));
    REQUIRE(agent.until([&] { return agent.a().durable_up_to() >= epoch; }));
  };
  {
    AgentFixture agent(folder.path(), 5, absence("1h"));
    send(agent, 1000);
  }
  const std::string silent = R"({"absent":true,"last":1000})", back = R"({"absent":false,"last":1000})";
  {
    AgentFixture agent(folder.path(), 5, absence("20ms"));
    CHECK(agent.until([&] { return !agent.stored().empty(); }));
    CHECK(agent.stored() == std::vector<std::string>{silent});
  }
  AgentFixture agent(folder.path(), 5, absence("1h"));
  send(agent, 100'000);
  CHECK(agent.stored() == std::vector<std::string>{silent, back});
}

TEST_CASE("a join goes on after a restart with the rows and records that were durable") {
  Folder folder;
  const std::string joins = "pipelines:\n"
                            "  t: {from: b, steps: [{timestamp: ts}, {key: k}, {table: {history: 1h}}]}\n"
                            "  l: {from: a, steps: [{timestamp: ts}, {key: k}]}\n"
                            "  j: {from: l, steps: [{join: {with: t, select: {l: left.ts, r: right.ts}}}], to: out}\n";
  {
    AgentFixture agent(folder.path(), 5, joins);
    const EpochNumber epoch = agent.b().send(record(7));
    REQUIRE(agent.until([&] { return agent.b().durable_up_to() >= epoch; }));
  }
  AgentFixture agent(folder.path(), 5, joins);
  agent.b().send(record(20));
  agent.a().send(record(8));
  const EpochNumber epoch = agent.a().send(record(21));
  REQUIRE(agent.until([&] { return agent.a().durable_up_to() >= epoch; }));
  CHECK(agent.stored() == std::vector<std::string>{R"({"l":8,"r":7})", R"({"l":21,"r":20})"});
}

TEST_CASE("a step whose definition has changed is refused at the start with the way out") {
  Folder folder;
  { const AgentFixture agent(folder.path(), 5, pipelines("closed")); }
  std::string changed = pipelines("closed");
  changed.replace(changed.find("tumbling: 10ms"), 14, "tumbling: 20ms");
  const config::Config config = config_of(folder.path(), "", changed);
  SystemClock clock;
  store::Options options;
  options.directory = folder.path();
  options.agent_id = "test";
  options.max_bytes = 64 << 20;
  auto store = store::Store::open(options, clock).value();
  boost::asio::io_context io;
  const app::SourceMaker make = [](boost::asio::io_context&, const config::Source&, const std::string&, source::Intake& intake) { return std::make_unique<HandSource>(intake); };
  const auto refused = app::Agent::create({io, config, *store, clock, topology_of(config, clock), make, [](const Error&) {}});
  REQUIRE(refused.has_error());
  CHECK_THAT(refused.error().message, ContainsSubstring("rivulet state reset p aggregate"));
}
