// Topology: the sources' decoders and the pipelines of one configuration, compiled and ready to run.
//
// A frame goes through decode, the source's key and timestamp, and every pipeline that reads from it, synchronously and
// deterministically: the same input and Clock give the same output in the same order.
// Thread: io. Lifetime: the Config is copied; Clock and Outputs outlive the calls. Bounds: nothing is kept between records
// (stateful steps will keep state in the store). Errors: configuration problems at build() only; a record that fails at run
// time goes to Outputs::quarantine and never stops others.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/result.h"
#include "agent/config/config.h"
#include "agent/record/record.h"
#include "store/epoch.h"

namespace rivulet::pipeline {

// One place where records leave: a pipeline's `to`, or a source's `undecodable` topic.
struct Output {
  std::string stream;  // the stream's name in the store: "<pipeline>" or "<source>/undecodable"
  std::string topic;
};

class Outputs {
 public:
  virtual ~Outputs() = default;
  virtual void emit(std::size_t output, const Record& record) = 0;  // index into Topology::outputs()
  virtual void quarantine(store::QuarantineEntry entry) = 0;
};

struct Counts {  // since build()
  std::uint64_t in = 0, out = 0, late = 0, dropped = 0, undecodable = 0, failed = 0;
};

class Topology {
 public:
  // Compiles everything; on failure every problem, each with its place in the configuration.
  static std::unique_ptr<Topology> build(const config::Config& config, const Clock& clock,
                                         std::vector<config::Problem>& problems);
  ~Topology();

  const std::vector<Output>& outputs() const;

  // A frame of source number `source` (index into Config::sources) that arrived at `arrival_ms`.
  void arrive(std::size_t source, std::string_view payload, std::string_view topic, Timestamp arrival_ms, Outputs& outputs);
  // A record that is already decoded (replay): key, value and timestamp are given; the source's own `key:` and
  // `timestamp:` are not applied.
  void inject(std::size_t source, Record record, Outputs& outputs);

  const Counts& counts() const;
  const Counts& pipeline_counts(std::size_t pipeline) const;  // index into Config::pipelines

 private:
  struct Impl;
  explicit Topology(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace rivulet::pipeline
