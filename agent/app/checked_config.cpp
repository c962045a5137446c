#include "agent/app/checked_config.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <tuple>

#include "agent/kafka/connection.h"
#include "agent/pipeline/changelog_units.h"
#include "agent/pipeline/expressions_check.h"
#include "agent/pipeline/stateful/operator.h"

namespace rivulet::app {

namespace {

// Else the forwarder would be the first to find out, and forward nothing.
void check_librdkafka(const config::Config& config, std::vector<config::Problem>& problems) {
  if (!config.kafka) return;
  for (auto& [key, why] : kafka::refused_settings(config.kafka->librdkafka))
    problems.push_back({config.kafka->librdkafka_at.at(key), "kafka.librdkafka." + key, why, false});
}

}  // namespace

CheckedConfig check_config(const std::string& file, const Clock& clock, config::Secrets secrets) {
  config::Loaded loaded = config::load(file, secrets);
  CheckedConfig checked;
  checked.problems = std::move(loaded.problems);
  const auto is_error = [](const config::Problem& problem) { return !problem.warning; };
  auto& problems = checked.problems;
  if (std::any_of(problems.begin(), problems.end(), is_error)) {
    pipeline::check_expressions(loaded.config, clock, problems);
  } else {
    std::vector<config::Problem> more;
    checked.topology = pipeline::Topology::build(loaded.config, clock, more);
    pipeline::check_changelogs(loaded.config, more);
    pipeline::check_topics(loaded.config, more);
    pipeline::check_idle(loaded.config, more);
    problems.insert(problems.end(), more.begin(), more.end());
    if (const auto& kafka = loaded.config.kafka; kafka && kafka->sasl)
      if (auto why = kafka::login_problem(kafka->sasl->mechanism); !why.empty())
        problems.push_back({kafka->sasl->mechanism_at, "kafka.sasl.mechanism", std::move(why), true});
    check_librdkafka(loaded.config, problems);
    if (std::any_of(problems.begin(), problems.end(), is_error)) checked.topology.reset();
  }
  std::stable_sort(problems.begin(), problems.end(), [](const config::Problem& a, const config::Problem& b) {
    return std::tie(a.at.file, a.at.line, a.at.column) < std::tie(b.at.file, b.at.line, b.at.column);
  });
  checked.config = std::move(loaded.config);
  return checked;
}

bool print_problems(const CheckedConfig& checked) {
  for (const auto& problem : checked.problems) fmt::print(stderr, "{}\n", problem.text());
  return checked.ok();
}

}  // namespace rivulet::app
