// What is wrong with the expressions of a configuration whose structure has problems, so that no Topology can be built.
//
// Each that could be read is compiled by itself: sources' keys and patterns, stateless steps, routes, outputs' keys, `by` and `on` of stateful
// steps. Not an aggregate's and a join's select: what is allowed there depends on the rest of the step. Takes any half-read
// configuration. Thread: any, its own. Errors: problems, as Topology::build() words them.
#pragma once
#include <vector>

#include "agent/base/clock.h"
#include "agent/config/config.h"

namespace rivulet::pipeline {

// `problems` are added to; those that are there may explain others (an extension that is missing and its functions).
void check_expressions(const config::Config& config, const Clock& clock, std::vector<config::Problem>& problems);

}  // namespace rivulet::pipeline
