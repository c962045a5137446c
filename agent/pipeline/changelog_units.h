// Changelog units: what has to travel together because it shares positions and state.
//
// A source has one position for all who read from it, and a pipeline's state belongs to the results that it made. So everything that a
// source feeds, directly or through other pipelines, has one changelog or none: otherwise a restore would read records again whose
// results are in Kafka already, or pass over others. A unit is all that has the same changelog topic.
// Thread: any (pure).
#pragma once
#include <string>
#include <vector>

#include "agent/config/config.h"

namespace rivulet::pipeline {

struct ChangelogUnit {
  std::string topic;
  std::vector<std::string> pipelines;  // in the order of the configuration
  std::vector<std::string> sources;    // all that feed them, and nothing else
};

std::vector<ChangelogUnit> changelog_units(const config::Config& config);  // of a configuration without problems
void check_changelogs(const config::Config& config, std::vector<config::Problem>& problems);
// Topics that are not for records: no output goes to the progress topic or one of Kafka's own, no source reads the progress topic or a changelog.
void check_topics(const config::Config& config, std::vector<config::Problem>& problems);

}  // namespace rivulet::pipeline
