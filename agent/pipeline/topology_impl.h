// What a Topology is made of; included by its .cpp files only.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/codec/decoder.h"
#include "agent/codec/json.h"
#include "agent/pipeline/flatten.h"
#include "agent/pipeline/lookup/lookup.h"
#include "agent/pipeline/place.h"
#include "agent/pipeline/route.h"
#include "agent/pipeline/stateful/operator.h"
#include "agent/pipeline/steps.h"
#include "agent/pipeline/topology.h"

namespace rivulet::pipeline {

inline constexpr std::size_t kNoOutput = SIZE_MAX;
inline constexpr std::size_t kKeptBytes = 64 * 1024;  // of each reused buffer
inline constexpr std::size_t kQuarantinedBytes = 64 * 1024;

// Key and value of a quarantined record; giant ones are cut, and the reason says so.
void keep_for_quarantine(store::QuarantineEntry& entry, const std::optional<std::string_view>& key, const std::optional<std::string_view>& value);
// Into a reused record.
void assign(std::optional<std::string>& to, const std::optional<std::string_view>& from);

struct Topology::Impl {
  struct Reader {
    std::size_t pipeline, segment, input;  // input 0: through the segment's steps; else the stateful step's other one
  };
  struct SourceNode {
    std::unique_ptr<codec::Decoder> decoder;  // null: json, or raw as it is
    std::unique_ptr<Group> key;
    FieldName topic_field;
    std::size_t undecodable_output = kNoOutput;
    std::vector<Reader> readers;
  };
  // A pipeline is a chain of these: steps that give one record for one, then one that is stateful, a list's explode, or a route; at the end none.
  struct Segment {
    std::unique_ptr<Steps> steps;
    std::unique_ptr<Operator> stateful;
    std::unique_ptr<Explode> explode;
    std::unique_ptr<Route> route;
    std::string step;  // its name
    std::string ends_with;  // its kind and name, for Place::after
    std::uint64_t dropped = 0;  // by that step
    std::string other_input;
    config::Time time;
    std::size_t late_output = kNoOutput;
    bool reads_fields = false;  // what comes after a result of the step before
    Row row;                    // reused; a segment never runs inside itself
    codec::JsonDocument json;   // of that result
  };
  struct PipelineNode {
    std::vector<Segment> segments;
    bool may_pause = false;  // nobody can tell whether its results come before or after those of others for the same record
    std::vector<std::size_t> outputs;  // as its `to`
    std::vector<Reader> readers;
    Counts counts;
  };
  class Results;
  // What came to a chain of steps, one of them: it stays as it is while the chain works on the segment's row.
  struct Came {
    const Row* row = nullptr;
    const Emitted* result = nullptr;
  };

  config::Config config;
  const Clock& clock;
  Evaluator evaluator;
  Arena arena;
  codec::JsonDocument json;
  codec::JsonObject object;  // what a decoder gave
  std::string topic_token, buffer;
  std::vector<Output> outputs;
  std::vector<SourceNode> sources;
  std::vector<std::unique_ptr<Lookup>> lookups;  // in the order of the configuration
  Tables tables;  // that joins look into
  std::vector<PipelineNode> pipelines;
  std::vector<std::string_view> elements;  // reused
  Growth growth;              // of what is under way
  std::size_t exploding = 0;  // lists, one inside the other
  std::vector<Route::Taken> taken;         // reused
  std::vector<Operator*> stateful;  // all of them, in topological order
  Counts counts;
  const FieldName value_field{"value"};
  Row arrived;    // reused
  Record record;  // reused for what is emitted
  const Arrival* frame_now = nullptr;  // which the record under way was a part of
  std::size_t set_aside_bytes = 0;  // of that frame, by the source
  std::size_t only_output = kNoOutput;  // of the pipeline under way, and no reader of it: a retry
  std::size_t source_now = kNoOutput;  // whose record is under way; none: a timer, an epoch's end
  std::optional<Timestamp> trusted_ms;  // the wall clock when it was last read
  bool clock_trusted = false;
  WallClock clamp_clock{clock};
  bool paused = false;  // an operator may be pending()

  // What the records go through at first (topology_intake.cpp), how it is put together (topology_build.cpp), the rest (topology.cpp).
  Impl(const config::Config& wanted, const Clock& time) : config(wanted), clock(time), evaluator(time) {}

  void build(std::vector<config::Problem>& problems);
  void build_route(std::size_t number, const config::Step& step, Segment& segment, std::vector<config::Problem>& problems);
  void build_segments(std::size_t number, std::vector<config::Problem>& problems);
  std::vector<std::size_t> outputs_of(std::size_t source) const;
  bool may_pause(std::size_t number) const;
  void go_on(Outputs& to);
  // Bytes into fields. Nothing: decoded. An error: why not.
  result<bool> decode(std::size_t source, std::string_view payload, Row& row);
  void undecodable(std::size_t source, std::string_view payload, Timestamp arrival_ms, std::string reason, Outputs& to);
  void set_aside(store::QuarantineEntry entry, Outputs& to);  // what no pipeline gets
  void tell(const std::vector<Reader>& readers, const Row& row, Outputs& to);
  // The segment's row through its steps, and on.
  void run(std::size_t number, std::size_t at, const Came& came, Outputs& to);
  // What comes after the segment's steps: to the next one.
  void pass(std::size_t number, std::size_t at, const Row& row, Outputs& to);
  void explode(std::size_t number, std::size_t at, const Came& came, Outputs& to);
  void route(std::size_t number, std::size_t at, const Came& came, Outputs& to);
  void drop(std::size_t number, std::size_t at, std::uint64_t records);
  void write(PipelineNode& node, std::size_t output, bool windowed_key, const Row& row, std::optional<std::string_view> key, Outputs& to);
  void process(std::size_t number, std::size_t at, std::size_t input, const Row& row, const Came& came, Outputs& to);
  template <class Body>
  void each_stateful(Outputs& to, const Body& body);  // in topological order

  // Whether the record lies too far ahead of a clock that can be trusted.
  bool from_the_future(const Segment& segment, Timestamp timestamp_ms);
  void emit(std::size_t number, std::size_t which, Segment& last, const Came& came, Outputs& to);  // to its output with that index
  // Every call begins and ends with this: no view outlives its frame.
  void forget();
  void arrive(std::size_t source, const Arrival& frame, Outputs& to);
  void take_in(std::size_t source, const Arrival& frame, Outputs& to);
  Checked check(std::size_t source, const Arrival& frame);
  // The event time of the record that arrived; an error: there is none to be had.
  result<Timestamp> time_of_arrived(std::size_t source) const;
  bool decoded(std::size_t source, std::string_view payload, Timestamp arrival_ms, Outputs& to);
  bool timed(std::size_t source, std::string_view payload, Timestamp arrival_ms, Outputs& to);
  bool keyed(std::size_t source, std::string_view topic, Outputs& to);
  void inject(std::size_t source, const Record& given, bool decoded_already, Outputs& to);
  // topology_retry.cpp
  std::string ends_before(std::size_t number, std::size_t at) const;  // Place::after of that chain
  store::QuarantineEntry entry_of(StepFailure failure);
  void keep(store::QuarantineEntry& entry, Place place, const Came& came);
  void fail(std::size_t number, std::size_t at, StepFailure failure, Place::At where, const Came& came, Outputs& to, std::string_view output = {});
  void fail_result(std::size_t number, std::size_t at, const Emitted& result, const std::string& reason, Outputs& to);
  result<void> take_up(const store::QuarantineEntry& entry, bool text);
  result<void> retry(const store::QuarantineEntry& entry, Outputs& to);
  result<void> retry_in_source(const store::QuarantineEntry& entry, const Place& place, const Arrival& frame, Outputs& to);
  result<void> retry_in_pipeline(const store::QuarantineEntry& entry, const Place& place, Outputs& to);
  // A frame's records by the source's decoder, which is there.
  template <class Body>
  void each_record(std::size_t source, const Arrival& frame, Outputs& to, const Body& body);
};

}  // namespace rivulet::pipeline
