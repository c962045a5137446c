// A configuration's pipelines on records as `rivulet replay` takes them; what comes out, one line each, in short:
// "key value @ts" and for what replay says was dropped or late "dropped n". Each case runs three times: as it is, with a restart after
// every record, and with an epoch over all; the results must be the same.
#pragma once
#include <sstream>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/codec/json.h"
#include "agent/pipeline/replay.h"
#include "tests/support/catch.h"

namespace rivulet::pipeline {

inline std::string problems_of(const std::string& yaml) {
  config::Loaded loaded = config::load_text("agent: {id: g}\n" + yaml, "r.yaml");
  ManualClock clock{1'700'000'000'000};
  std::string text;
  if (loaded.ok()) Topology::build(loaded.config, clock, loaded.problems);
  for (const auto& problem : loaded.problems)
    if (!problem.warning) text += problem.text() + "\n";
  return text;
}

class Replayed {
 public:
  explicit Replayed(std::string yaml) : yaml_("agent: {id: g}\n" + std::move(yaml)) {}

  // {"a", key, value, ts}: key and value are JSON.
  Replayed& in(const std::string& source, const std::string& key, const std::string& value, std::int64_t ts) {
    lines_ += "{\"source\":\"" + source + "\",\"key\":" + (key == "null" ? key : "\"" + key + "\"") + ",\"value\":" + value + ",\"ts\":" + std::to_string(ts) + "}\n";
    return *this;
  }
  Replayed& advance(std::int64_t ms) {
    lines_ += "{\"advance\":" + std::to_string(ms) + "}\n";
    return *this;
  }

  // With one epoch over all: what `emit: updates` says at its end.
  std::vector<std::string> last() const {
    ReplayOptions whole;
    whole.epoch_lines = 1'000'000;
    return run(whole);
  }

  std::vector<std::string> out() const {
    const auto plain = run({});
    ReplayOptions restarts;
    restarts.restart_every = 1;
    if (lines_.find("advance") == std::string::npos) CHECK(run(restarts) == plain);
    ReplayOptions whole;
    whole.epoch_lines = 1'000'000;
    CHECK(run(whole) == plain);
    return plain;
  }

 private:
  std::vector<std::string> run(ReplayOptions options) const {
    options.drops = true;
    config::Loaded loaded = config::load_text(yaml_, "r.yaml");
    ManualClock clock{1'700'000'000'000};
    std::vector<config::Problem> problems = loaded.problems;
    std::unique_ptr<Topology> topology;
    if (loaded.ok()) topology = Topology::build(loaded.config, clock, problems);
    for (const auto& problem : problems) UNSCOPED_INFO(problem.text());
    REQUIRE(topology != nullptr);
    std::istringstream in(lines_);
    std::ostringstream out;
    REQUIRE(replay(loaded.config, *topology, clock, in, out, options));
    std::vector<std::string> found;
    std::istringstream printed(out.str());
    codec::JsonDocument json;
    for (std::string line; std::getline(printed, line);) {
      REQUIRE(json.parse(line));
      std::string key, value, ts;
      for (const codec::JsonField& field : json.fields()) {
        if (field.name == "key") key = field.token;
        if (field.name == "value") value = field.token;
        if (field.name == "ts") ts = field.token;
        if (field.name == "drop") found.push_back("dropped " + std::string(field.token.substr(5, field.token.size() - 6)));
      }
      if (!ts.empty()) found.push_back((key == "null" ? key : key.substr(1, key.size() - 2)) + " " + value + " @" + ts);
    }
    return found;
  }

  const std::string yaml_;
  std::string lines_;
};

using Lines = std::vector<std::string>;

}  // namespace rivulet::pipeline
