// A Service whose file changes. Its sources of type stdin are in the test's hand, others are real.
#pragma once
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "agent/app/checked_config.h"
#include "agent/app/service.h"
#include "agent/source/factory.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/app/agent_fixture.h"

namespace rivulet::test {

inline const std::string kSources = "sources:\n  a: {stdin: {}}\n";
inline const std::string kCopy = "pipelines:\n  copy: {from: a, to: out}\n";

class ReloadFixture {
 public:
  explicit ReloadFixture(const std::string& sources_text = kSources, const std::string& pipelines = kCopy) {
    write(sources_text, pipelines);
    app::CheckedConfig checked = app::check_config(file(), clock);
    for (const auto& problem : checked.problems)
      if (!problem.warning) FAIL(problem.text());
    app::Service::Options options;
    options.handle_signals = false;
    options.make_source = [this](boost::asio::io_context& io, const config::Source& source, const std::string& agent_id, source::Intake& intake) -> std::unique_ptr<source::Source> {
      if (!std::holds_alternative<config::StdinSource>(source.type)) return source::make_source(io, source, agent_id, intake);
      if (source.name == "broken") throw std::runtime_error("no such device");
      auto made = std::make_unique<HandSource>(intake);
      ++times_made[source.name];
      sources[source.name] = made.get();
      return made;
    };
    auto opened = app::Service::open(std::move(checked.config), std::move(checked.topology), clock, std::move(options));
    if (!opened) FAIL(opened.error().message);
    service = std::move(*opened);
    service->start();
  }
  ~ReloadFixture() { Pulse::end(); }

  std::string file() const { return folder / "rivulet.yaml"; }
  void write(const std::string& sources_text, const std::string& pipelines, const std::string& more = "") const {
    overwrite(file(), "agent: {id: test, state: " + (folder / "state") + ", commit_interval: 20ms, memory: 4MiB, storage: {max: 64MiB}}\n" + more + sources_text + pipelines);
  }
  void write_agent(const std::string& agent) const { overwrite(file(), "agent: {" + agent + "}\n" + kSources + kCopy); }
  HandSource& source(const std::string& name) { return *sources.at(name); }
  bool until(const std::function<bool()>& condition) { return run_until(service->io(), condition); }
  app::ReloadStatus reload() {
    service->reload();
    REQUIRE(until([&] { return service->look().reload.under_way.empty(); }));
    return service->look().reload;
  }
  void send(const std::string& name, const std::string& payload) {
    REQUIRE(until([&] { return source(name).intake.can_accept(); }));
    const EpochNumber epoch = source(name).send(payload);
    REQUIRE(until([&] { return source(name).durable_up_to() >= epoch; }));
  }
  // "stream value", what is durable.
  std::vector<std::string> stored() {
    std::vector<std::string> values;
    const auto streams = service->store().streams();
    REQUIRE(streams);
    for (const auto& stream : *streams) {
      const auto packs = service->store().read(stream.id, 0, SIZE_MAX);
      REQUIRE(packs);
      for (const auto& pack : *packs)
        for (const auto& record : pack.records) values.push_back(stream.name + " " + std::string(record.value.value_or("null")));
    }
    return values;
  }

  SystemClock clock;
  TempFolder folder;
  std::map<std::string, HandSource*> sources;  // the last one made of that name; it may be gone
  std::map<std::string, int> times_made;
  std::unique_ptr<app::Service> service;
};

}  // namespace rivulet::test
