// Sinks: the door of the room: every local output of a configuration, each with a worker and a writer of its own.
//
// The stream of a local output bears its destination (config::Output::topic) in the place of a topic. Records keep the destination that they were made
// for, whatever the configuration says now: those for a file go there as it was written last, those for an MQTT server go through an output to the
// same server, or wait (status() says so, and they are held in the store) until there is one again.
// Thread: io; wake() from any. Lifetime: the store and the clock outlive it. Bounds: a thread a destination (config: 64 outputs), worker.h.
#pragma once
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/config/config.h"
#include "agent/sink/worker.h"
#include "store/store.h"

namespace rivulet::sink {

class Sinks {
 public:
  // Start-up (blocks), after the streams of the configuration were made. None: nothing is local, and nothing waits.
  static result<std::unique_ptr<Sinks>> open(const config::Config& config, store::Store& store, const Clock& clock);
  ~Sinks();
  void start();
  void wake();
  void ask_to_stop();  // does not wait
  void stop();
  std::vector<Status> status() const;

 private:
  explicit Sinks(store::Store& store) : store_(store) {}
  void wait_for_a_way(const store::StreamInfo& stream, const std::string& why);

  store::Store& store_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<Status> waiting_;  // streams whose destination nobody knows how to reach
  std::set<StreamId> waiting_ids_;  // of those
};

// What `rivulet explain` says of an output: where to, and what it guarantees. One or more lines.
std::string describe(const config::LocalOutput& output);

}  // namespace rivulet::sink
