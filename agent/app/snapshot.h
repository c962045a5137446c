// Snapshot: what the agent knows about itself at one moment; what /metrics, /healthz, /status and `rivulet status` show.
//
// Plain data, taken on io. The text forms are pure functions of it. Thread: any.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/app/reload_status.h"
#include "agent/app/history.h"
#include "agent/app/last_errors.h"
#include "agent/forward/forwarder.h"
#include "agent/pipeline/topology.h"
#include "agent/sink/sinks.h"
#include "store/store.h"

namespace rivulet::app {

struct SourceSnapshot {
  std::string name, type, state;
  std::uint64_t records = 0, bytes = 0;
  std::map<std::string, std::uint64_t> events;  // what the source counts itself: "dropped_qos0", "client_errors", ...
  bool waiting = false;                         // it was refused for want of room and waits
  bool in_trouble = false;                      // `state` says why it cannot take in what it should
};

struct PipelineSnapshot {
  std::string name;
  pipeline::Counts counts;
};

struct StreamSnapshot {
  store::StreamInfo info;
  std::string held;  // why its topic takes nothing; empty: it does
};
// The store's streams, each with what holds it: names are not unique, name and topic are.
std::vector<StreamSnapshot> with_holds(std::vector<store::StreamInfo> streams, const std::vector<forward::HeldStream>& held);

struct Snapshot {
  std::string agent_id, incarnation;
  std::int64_t now_ms = 0;     // wall clock
  std::int64_t uptime_ms = 0;
  std::vector<SourceSnapshot> sources;
  std::vector<pipeline::Topology::TableState> tables;  // lookup tables
  std::vector<PipelineSnapshot> pipelines;
  std::vector<pipeline::StepCounts> steps;
  pipeline::Counts totals;
  std::uint64_t epochs = 0;           // committed since the start
  std::uint64_t stored = 0;           // records for topics in those epochs
  std::uint64_t filling_bytes = 0;    // of the epoch that fills
  bool closing = false;               // a window of many keys closes over several epochs: sources wait for its results
  std::int64_t committing_for_ms = 0;  // 0: none commits
  std::uint64_t quarantined = 0;      // records put there since the start, by decoding and pipelines
  store::StoreStats store;
  std::optional<std::int64_t> dropped_ago_ms;  // the last record at the storage limit; none since the start
  std::vector<StreamSnapshot> streams;
  std::string store_notice;  // not empty: a damaged store was set aside at this start
  std::optional<forward::Status> forward;  // absent: no kafka section
  std::vector<sink::Status> sinks;         // local outputs
  ReloadStatus reload;
  bool clock_plausible = true;  // set by a time service, and not behind what is stored
  std::vector<LastError> last_errors;
  std::uint64_t log_lines_suppressed = 0;
  std::uint64_t resident_bytes = 0;
  double cpu_seconds = 0;
};

// A commit that takes longer than this makes the agent unhealthy: the disk hangs or is full.
inline constexpr std::int64_t kSlowCommitMs = 30'000;
// A local output that has taken nothing for longer than this makes it unhealthy: a server that starts anew takes less.
inline constexpr std::int64_t kSinkTroubleMs = 10'000;

// At the storage limit records are dropped in lumps of a sixteenth of it: for so long after the last one it counts as going on.
inline constexpr std::int64_t kDroppingMs = 600'000;

// What makes /healthz red: the agent cannot do its work.
std::vector<std::string> health_problems(const Snapshot& snapshot);
// What an operator has to look at now; empty: healthy. The same, and what no probe shall start an agent anew or take it out of service for.
std::vector<std::string> problems_of(const Snapshot& snapshot);

std::string metrics_text(const Snapshot& snapshot);  // Prometheus text format 0.0.4
std::string status_json(const Snapshot& snapshot);   // one object; keys as in agent/app/README.md
std::string status_text(const Snapshot& snapshot);   // for a person
std::string history_json(const std::vector<History::Sample>& samples);

const char* name_of(forward::Link link);

}  // namespace rivulet::app
