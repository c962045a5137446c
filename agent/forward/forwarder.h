// Forwarder: moves the outbox to Kafka, exactly once (or at least once), on its own thread.
//
// It runs the pure state machine of protocol.h against an Uplink (kafka/) and the Store, and never gives up: a dead link, a
// missing topic or a fenced producer are states, not ends. Threads: start()/stop() on io; status() on any; the rest on its
// own. stop() returns within `stop_within_ms`, also with a dead link; a transaction under way is then left to Resolve.
// Bounds: the uplink's queue, and 8 bytes for each record of a transaction; one transaction at a time.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/ids.h"
#include "agent/base/pulse.h"
#include "agent/forward/units.h"
#include "store/store.h"

namespace rivulet::forward {

class Uplink;  // uplink.h: what forward/ needs of Kafka; a seam

struct Options {
  std::string agent_id;
  Uuid incarnation;
  std::vector<Uuid> history;
  bool exactly_once = true;
  bool headers = true;
  std::string progress_topic = "rivulet-progress";
  std::vector<Unit> units;  // changelogs, and what goes together with each
  std::int64_t transaction_interval_ms = 1000;
  std::uint64_t transaction_max_bytes = 32ULL << 20;
  std::int64_t transaction_timeout_ms = 60'000;
  std::int64_t idle_close_ms = 5 * 60'000;  // nothing to send for so long: the producer is destroyed
  std::int64_t stop_within_ms = 3'000;
  std::function<void()> on_up;  // the link came up; called on the forward thread
};

// idle: nothing to send for idle_close_ms, so no connection is kept; stopped: an operator must decide, see Status::alarm.
enum class Link { offline, connecting, up, idle, stopped };
inline bool is_well(Link link) { return link == Link::up || link == Link::idle; }  // as far as is known

struct HeldStream {
  std::string stream, topic, reason;
};
struct Status {
  Link link = Link::offline;
  bool connected = false;   // at least once since the start
  std::string phase;        // the protocol's state in a word, for people
  std::string alarm;        // not empty: forwarding stopped; says what happened and what to do
  std::string last_error;   // last passing trouble
  std::vector<HeldStream> held;
  std::uint64_t forwarded_records = 0;  // settled, since start
  std::uint64_t transactions = 0;       // settled
  std::uint64_t recoveries = 0;
  std::int64_t last_settled_ms = 0;     // wall clock; 0: none yet
};

class Forwarder {
 public:
  Forwarder(Options options, store::Store& store, std::unique_ptr<Uplink> uplink, const Clock& clock);
  ~Forwarder();
  void start();
  void wake();  // any thread: the outbox has something new
  void stop();
  void ask_to_stop();     // io: as stop(), without waiting for it
  bool ended() const;     // any thread: it has stopped, stop() would not wait
  Status status() const;  // any thread; a copy
  std::shared_ptr<const Pulse> pulse() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rivulet::forward
