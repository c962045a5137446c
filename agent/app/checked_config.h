// CheckedConfig: a configuration that was read and compiled, with every problem of both in the order of the files.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/config/config.h"
#include "agent/pipeline/topology.h"

namespace rivulet::app {

struct CheckedConfig {
  config::Config config;
  std::unique_ptr<pipeline::Topology> topology;  // absent when there is an error
  std::vector<config::Problem> problems;         // errors and warnings
  bool ok() const { return topology != nullptr; }
};

CheckedConfig check_config(const std::string& file, const Clock& clock, config::Secrets secrets = config::Secrets::needed);
// One problem a line to standard error; false: there is an error among them.
bool print_problems(const CheckedConfig& checked);

}  // namespace rivulet::app
