// Replay: records from a text through the pipelines to a text, without broker, store or clock: how a user tests a pipeline.
//
// The format of both texts is in this folder's README. Thread: one. Errors: a line that is no input ends it with its number, output that cannot be written with the reason.
#pragma once
#include <cstdint>
#include <iosfwd>

#include "agent/base/clock.h"
#include "agent/base/result.h"
#include "agent/pipeline/topology.h"

namespace rivulet::pipeline {

struct ReplayOptions {
  std::uint64_t epoch_lines = 1;    // an epoch ends, and its output is flushed, after so many lines of input (blank ones do not count); at least 1
  bool drops = false;               // also {"drop":{"n":k},"after":i} for records that were late or dropped
  std::uint64_t restart_every = 0;  // lines; the state is written out and read back by a new topology, as by a restart; 0: never
  std::size_t state_bytes = 1 << 30;  // of memory for state; beyond it goes to a file in memory
};

// `topology` must be new, `clock` the one that it was built with; {"advance":ms} moves it.
result<void> replay(const config::Config& config, Topology& topology, ManualClock& clock, std::istream& in, std::ostream& out, const ReplayOptions& options = {});

}  // namespace rivulet::pipeline
