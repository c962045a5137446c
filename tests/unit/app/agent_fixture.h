// An Agent on a real store in a folder of its own, with sources in the test's hand.
#pragma once
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "agent/app/agent.h"
#include "tests/support/catch.h"
#include "tests/support/run_until.h"

namespace rivulet::test {

// A source that does nothing by itself and writes down what it is told.
class HandSource final : public source::Source {
 public:
  explicit HandSource(source::Intake& to) : intake(to) {}
  void start() override { started = true; }
  void stop() override { stopped = true; }
  void on_durable(EpochNumber up_to) override {
    durable.push_back(up_to);
    if (when_durable) when_durable(up_to);
  }
  void on_room() override { ++room; }
  bool finished() const override { return at_end; }
  bool ended() const override { return has_ended; }
  std::string state() const override { return "by hand"; }

  EpochNumber send(const std::string& payload) {
    intake.accept({payload, {}});
    return intake.epoch();
  }
  EpochNumber durable_up_to() const { return durable.empty() ? 0 : durable.back(); }

  source::Intake& intake;
  std::vector<EpochNumber> durable;
  std::function<void(EpochNumber)> when_durable;
  int room = 0;
  bool started = false, stopped = false, at_end = false, has_ended = true;
  std::shared_ptr<char> alive = std::make_shared<char>();
};

class Folder {
 public:
  Folder() : path_((std::filesystem::temp_directory_path() / "rivulet-app-XXXXXX").string()) {
    REQUIRE(::mkdtemp(path_.data()) != nullptr);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline const char* const kPositive = "pipelines:\n  p: {from: [a, b], steps: [{where: \"n > 0\"}], to: out}\n";

inline config::Config config_of(const std::string& state, const std::string& more = "", const std::string& pipelines = kPositive) {
  config::Loaded loaded = config::load_text(
      "agent: {id: test, state: " + state + ", commit_interval: 20ms, memory: 4MiB, storage: {max: 64MiB}}\n" + more +
          "sources:\n  a: {stdin: {}}\n  b: {stdin: {}}\n" +
          pipelines,
      "test.yaml");
  for (const auto& problem : loaded.problems)
    if (!problem.warning) FAIL(problem.text());
  return loaded.config;
}

inline std::unique_ptr<pipeline::Topology> topology_of(const config::Config& config, const Clock& clock) {
  std::vector<config::Problem> problems;
  auto topology = pipeline::Topology::build(config, clock, problems);
  for (const auto& problem : problems) FAIL(problem.text());
  return topology;
}

struct AgentFixture {
  explicit AgentFixture(const std::string& state, std::int64_t commit_interval_ms = 20, const std::string& pipelines = kPositive) : config(config_of(state, "", pipelines)) {
    config.agent.commit_interval_ms = commit_interval_ms;
    store::Options options;
    options.directory = config.agent.state;
    options.agent_id = config.agent.id;
    options.max_bytes = config.agent.storage_max_bytes;
    options.epoch_max_bytes = app::epoch_bytes_for(config.agent);
    auto opened = store::Store::open(options, clock);
    if (!opened) FAIL(opened.error().message);
    store = std::move(*opened);
    const app::SourceMaker make = [this](boost::asio::io_context&, const config::Source&, const std::string&, source::Intake& intake) {
      auto made = std::make_unique<HandSource>(intake);
      sources.push_back(made.get());
      return made;
    };
    auto created = app::Agent::create({io, config, *store, clock, topology_of(config, clock), make, [this](const Error& error) { lost = error.message; }, nullptr, {}, {[](timex*) { return TIME_OK; }, ""}});
    if (!created) FAIL(created.error().message);
    agent = std::move(*created);
    agent->start();
  }
  HandSource& a() { return *sources[0]; }
  HandSource& b() { return *sources[1]; }
  bool until(const std::function<bool()>& condition) { return run_until(io, condition); }
  bool stop() {
    bool stopped = false;
    agent->stop([&stopped] { stopped = true; });
    return until([&] { return stopped; });
  }
  // What is durable, as the forwarder would read it.
  std::vector<std::string> stored() {
    std::vector<std::string> values;
    const auto streams = store->streams();
    REQUIRE(streams);
    for (const auto& stream : *streams) {
      const auto packs = store->read(stream.id, 0, SIZE_MAX);
      REQUIRE(packs);
      for (const auto& pack : *packs)
        for (const auto& record : pack.records) values.emplace_back(record.value.value_or("null"));
    }
    return values;
  }

  SystemClock clock;
  boost::asio::io_context io;
  config::Config config;
  std::unique_ptr<store::Store> store;
  std::vector<HandSource*> sources;
  std::unique_ptr<app::Agent> agent;
  std::string lost;
};

}  // namespace rivulet::test
