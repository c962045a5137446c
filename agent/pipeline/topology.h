// Topology: the sources' decoders and the pipelines of one configuration, compiled and ready to run.
//
// A frame goes through decode, the source's key and timestamp, and every pipeline that reads from it, synchronously and
// deterministically: the same input and Clock give the same output in the same order.
// Stateful steps get their tables by attach(); end_epoch() brings what they hold into them. Without any, none of it is needed.
// Thread: io. Lifetime: the Config is copied; Clock and Outputs outlive the calls, the StateStore the Topology. Bounds: nothing is
// kept between records but in the StateStore. Errors: configuration problems at build() only; a record that fails at run
// time goes to Outputs::quarantine and never stops others.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/result.h"
#include "agent/config/config.h"
#include "agent/record/record.h"
#include "agent/pipeline/state/state.h"
#include "store/epoch.h"

namespace rivulet::pipeline {

class Operator;

// One place where records leave: a pipeline's `to`, or a source's `undecodable` topic.
struct Output {
  std::string stream;  // the stream's name in the store: "<pipeline>", "<source>/undecodable" "<pipeline>/<step>/late", or of a route "<pipeline>/<step>/<topic>"
  std::string topic;   // or a local destination (config::Output)
};

class Outputs {
 public:
  virtual ~Outputs() = default;
  virtual void emit(std::size_t output, const Record& record) = 0;  // index into Topology::outputs()
  virtual void quarantine(store::QuarantineEntry entry) = 0;
  // The epoch has enough: what need not come now waits for go_on().
  virtual bool full() const { return false; }
};

// What a source brings, before decoding. Views are valid during the call only.
struct Arrival {
  std::string_view payload, topic;
  Timestamp timestamp_ms = 0;           // of the arrival, or what came with it
  std::optional<std::string_view> key = std::nullopt;  // that came with it
  bool null = false;                    // a tombstone: no payload
  // Of the file or connection that the payload is a later line of (what names the fields of CSV); none: the payload stands for itself.
  std::optional<std::string_view> first_line = std::nullopt;
};

// What check() finds in a frame.
struct Checked {
  std::uint64_t records = 0;          // that arrive() would make of it
  std::optional<std::string> reason;  // why the first piece that is no record is none
  std::size_t at = 0;                 // where in the payload that piece begins
};

struct Counts {  // since build()
  std::uint64_t in = 0, out = 0, late = 0, dropped = 0, undecodable = 0, failed = 0;
  Counts& operator+=(const Counts& more) {
    in += more.in, out += more.out, late += more.late, dropped += more.dropped, undecodable += more.undecodable, failed += more.failed;
    return *this;
  }
};

// What one step did to records on purpose, since build().
struct StepCounts {
  std::string pipeline, step;  // its name, or its kind
  std::uint64_t dropped = 0, clamped = 0;
};

class Topology {
 public:
  // Compiles everything; on failure every problem, each with its place in the configuration.
  static std::unique_ptr<Topology> build(const config::Config& config, const Clock& clock,
                                         std::vector<config::Problem>& problems);
  ~Topology();

  const std::vector<Output>& outputs() const;
  // The outputs that records of source number `source` may lead to, by whatever way.
  std::vector<std::size_t> outputs_of(std::size_t source) const;

  // The frames from here on are one message's (the lines of a POST): what their lists become has one bound (flatten.h).
  void begin_message();
  // A frame of source number `source` (index into Config::sources).
  void arrive(std::size_t source, const Arrival& frame, Outputs& outputs);
  // Decodes a frame as arrive() would, and its timestamp, without any effect. After `reason` nothing more is looked at.
  Checked check(std::size_t source, const Arrival& frame);
  // Replay: key, value and timestamp are given; the source's own `key:` and `timestamp:` are not applied. The value is JSON where it is
  // decoded already, else what the source's codec decodes.
  void inject(std::size_t source, Record record, Outputs& outputs, bool decoded_already = false);

  // A record of the quarantine goes on from where it failed (place.h): through the step again and what comes after it, as it is configured
  // now; or it comes back to Outputs::quarantine. Error: it cannot go on and stays where it is; why. Between two records only.
  result<void> retry(const store::QuarantineEntry& entry, Outputs& outputs);

  // Steps whose state can be read as a table (query), in topological order; they live as long as the Topology.
  struct ShownStep {
    std::string pipeline, step, definition;
    Operator* stateful = nullptr;
  };
  std::vector<ShownStep> shown_steps() const;
  // Every stateful step, shown or not (`stateful` is not set): what attach() will ask the store for.
  std::vector<ShownStep> stateful_steps() const;

  // Lookup tables: to be looked at about once a second, and again at once while the answer is true; `folder` is the agent's. Before all are ready no
  // record may come, nor go_on() or advance_idle().
  bool look_at_tables(const std::string& folder);
  bool tables_ready() const;
  struct TableState {
    std::string name, text;
    bool ready = false;
  };
  std::vector<TableState> tables() const;

  bool stateful() const;
  // Once, before the first record, when stateful(). Error: state was written under another definition of a step.
  result<void> attach(StateStore& state);
  std::size_t held_bytes() const;  // about what end_epoch() would bring into the tables
  // A window of many keys may close over several epochs: results of the records so far still wait. Until it is false go_on() comes before
  // the next record (one that comes earlier finds them all gone out, in whatever epoch). Also after attach().
  bool pending() const;
  void go_on(Outputs& outputs);
  // Results that wait for the epoch's end go out, and everything is in the tables afterwards.
  void end_epoch(Outputs& outputs);
  // Silence: when advance_idle() is wanted next, by Clock::steady_ms(); none: nobody waits.
  std::optional<Timestamp> next_idle_ms() const;
  void advance_idle(Outputs& outputs);
  // Whether the clock may be trusted to tell that a record comes from the future; at first it may not.
  void trust_clock(bool yes);
  // A replay's clock was moved by its input: `clamp` steps go by it from now on.
  void clock_moved();

  const Counts& counts() const;
  std::vector<StepCounts> step_counts() const;  // of steps that can drop or clamp; each name once
  const Counts& pipeline_counts(std::size_t pipeline) const;  // index into Config::pipelines

 private:
  struct Impl;
  explicit Topology(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace rivulet::pipeline
