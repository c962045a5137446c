// Stateful steps in the agent: their state is durable with the epoch that its records share, and silence is heard.
#include "tests/unit/app/agent_fixture.h"

using namespace rivulet;
using namespace rivulet::test;

namespace {

std::string pipelines(const std::string& emit, const std::string& time = "scope: stream") {
  return "pipelines:\n  p: {from: [a, b], time: {" + time + "}, steps: [{timestamp: ts}, {key: k}, {aggregate: {window: {tumbling: 10ms}, select: {n: count(*)}, emit: " + emit + "}}], to: out}\n";
}

std::string record(int ts, const std::string& key = "k") { return "{\"ts\":" + std::to_string(ts) + ",\"k\":\"" + key + "\"}"; }

std::string counted(int n, int start) { return "{\"n\":" + std::to_string(n) + ",\"window_start\":" + std::to_string(start) + ",\"window_end\":" + std::to_string(start + 10) + "}"; }

}  // namespace

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
