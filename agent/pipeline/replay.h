// Replay: records from a text through the pipelines to a text, without broker, store or clock: how a user tests a pipeline.
//
// The format of both texts is in this folder's README. Thread: one. Errors: a line that is no input ends it with its number.
#pragma once
#include <cstdint>
#include <iosfwd>

#include "agent/base/clock.h"
#include "agent/base/result.h"
#include "agent/pipeline/topology.h"

namespace rivulet::pipeline {

struct ReplayOptions {
  std::uint64_t epoch_lines = 1;  // an epoch ends, and its output is flushed, after so many input lines (blank ones do not count); at least 1
};

// `clock` must be the one that the topology was built with; {"advance":ms} moves it.
result<void> replay(const config::Config& config, Topology& topology, ManualClock& clock, std::istream& in, std::ostream& out, const ReplayOptions& options = {});

}  // namespace rivulet::pipeline
