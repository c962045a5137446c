#include "agent/pipeline/topology.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "agent/base/check.h"
#include "agent/codec/json.h"
#include "agent/pipeline/event_time.h"
#include "agent/pipeline/stateful/operator.h"
#include "agent/pipeline/stateful/windowed_key.h"
#include "agent/pipeline/steps.h"

namespace rivulet::pipeline {
namespace {

constexpr std::size_t kQuarantinedBytes = 64 * 1024;
constexpr std::size_t kKeptBytes = 64 * 1024;  // of each reused buffer
constexpr std::size_t kNoOutput = SIZE_MAX;

// A quarantined value is for a person; a giant one is cut, and the reason says so.
std::string cut(std::string_view text, std::string& reason) {
  if (text.size() > kQuarantinedBytes) reason += fmt::format(" (the first {} of {} bytes are kept)", kQuarantinedBytes, text.size());
  return std::string(text.substr(0, kQuarantinedBytes));
}

void assign(std::optional<std::string>& to, const std::optional<std::string_view>& from) {
  if (!from) return to.reset();
  if (!to || to->capacity() > kKeptBytes) to.emplace();  // a giant one gives its memory back
  to->assign(*from);
}

}  // namespace

struct Topology::Impl {
  struct Reader {
    std::size_t pipeline, segment, input;  // input 0: through the segment's steps; else the stateful step's other one
  };
  struct SourceNode {
    std::unique_ptr<Group> key;
    FieldName topic_field;
    std::size_t undecodable_output = kNoOutput;
    std::vector<Reader> readers;
  };
  // A pipeline is a chain of these: stateless steps, then a stateful one, or at the end none.
  struct Segment {
    std::unique_ptr<Steps> steps;
    std::unique_ptr<Operator> stateful;
    std::string step;  // its name
    std::string other_input;
    config::Time time;
    std::size_t late_output = kNoOutput;
    bool reads_fields = false;  // what comes after a result of the step before
    Row row;                    // reused; a segment never runs inside itself
    codec::JsonDocument json;   // of that result
  };
  struct PipelineNode {
    std::vector<Segment> segments;
    std::size_t output = kNoOutput;
    std::vector<Reader> readers;
    Counts counts;
  };
  class Results;

  config::Config config;
  const Clock& clock;
  Evaluator evaluator;
  Arena arena;
  codec::JsonDocument json;
  std::string topic_token, buffer;
  std::vector<Output> outputs;
  std::vector<SourceNode> sources;
  std::vector<PipelineNode> pipelines;
  std::vector<Operator*> stateful;  // all of them, in topological order
  Counts counts;
  const FieldName value_field{"value"};
  Row arrived;    // reused
  Record record;  // reused for what is emitted
  std::size_t source_now = kNoOutput;  // whose record is under way; none: a timer, an epoch's end
  std::optional<Timestamp> trusted_ms;  // the wall clock when it was last read
  bool clock_trusted = false;

  Impl(const config::Config& wanted, const Clock& time) : config(wanted), clock(time), evaluator(time) {}

  void build(std::vector<config::Problem>& problems) {
    std::map<std::string, std::vector<Reader>*> readers_of;
    sources.resize(config.sources.size());
    for (std::size_t i = 0; i < sources.size(); ++i) {
      const config::Source& source = config.sources[i];
      readers_of[source.name] = &sources[i].readers;
      sources[i].topic_field = FieldName(source.topic_field);
      if (source.undecodable) {
        sources[i].undecodable_output = outputs.size();
        outputs.push_back({source.name + "/undecodable", *source.undecodable});
      }
      if (source.key.empty()) continue;
      sources[i].key = std::make_unique<Group>(evaluator);
      auto added = sources[i].key->add(ItemKind::text, source.key);
      if (added) added = sources[i].key->prepare();
      if (!added) problems.push_back({source.key_at, "sources." + source.name + ".key", added.error().message, false});
    }
    pipelines.resize(config.pipelines.size());
    for (std::size_t i = 0; i < pipelines.size(); ++i) {
      const config::Pipeline& pipeline = config.pipelines[i];
      readers_of[pipeline.name] = &pipelines[i].readers;
      for (const std::string& from : pipeline.from)
        if (const auto it = readers_of.find(from); it != readers_of.end()) it->second->push_back({i, 0, 0});
      build_segments(i, problems);
      for (std::size_t s = 0; s < pipelines[i].segments.size(); ++s)
        if (const auto it = readers_of.find(pipelines[i].segments[s].other_input); it != readers_of.end()) it->second->push_back({i, s, 1});
      if (!pipeline.to) continue;
      pipelines[i].output = outputs.size();
      outputs.push_back({pipeline.name, pipeline.to->topic});
    }
    for (PipelineNode& node : pipelines)
      for (Segment& segment : node.segments) segment.reads_fields = segment.stateful != nullptr || !segment.steps->empty() || !node.readers.empty();
  }

  void build_segments(std::size_t number, std::vector<config::Problem>& problems) {
    const config::Pipeline& pipeline = config.pipelines[number];
    std::vector<Segment>& segments = pipelines[number].segments;
    const config::Time time = time_of(config, pipeline, problems);
    std::vector<config::Step> stateless;
    const auto close = [&](const std::optional<config::Output>& to) {
      segments.emplace_back();
      segments.back().steps = std::make_unique<Steps>(evaluator, arena, pipeline.name);
      segments.back().steps->compile(stateless, to, problems);
      stateless.clear();
    };
    for (const config::Step& step : pipeline.steps) {
      if (!config::is_stateful(step)) {
        stateless.push_back(step);
        continue;
      }
      if (part_of_the_step_before(step)) continue;
      close(std::nullopt);
      Segment& segment = segments.back();
      segment.step = step.name;
      segment.time = time;
      segment.other_input = other_input(step);
      segment.stateful = make_operator({evaluator, clock, config, pipeline, step, time, problems});
      stateful.push_back(segment.stateful.get());
      if (const auto topic = late_topic(step)) {
        segment.late_output = outputs.size();
        outputs.push_back({pipeline.name + "/" + step.name + "/late", *topic});
      }
    }
    close(pipeline.to);
  }

  // Bytes into fields. Nothing: decoded. An error: why not.
  result<bool> decode(std::size_t source, std::string_view payload, Row& row) {
    row.bytes = payload;
    if (config.sources[source].decode.kind == config::Decode::Kind::raw) {
      row.fields.push_back({value_field.name, value_field.quoted, payload, true});
      return true;
    }
    auto kind = json.parse(payload);
    if (!kind) return kind.error();
    if (*kind == codec::JsonKind::empty) return false;
    if (*kind == codec::JsonKind::other) row.fields.push_back({value_field.name, value_field.quoted, json.token(), false});
    for (const codec::JsonField& field : json.fields()) row.fields.push_back({field.name, field.quoted, field.token, false});
    return true;
  }

  void undecodable(std::size_t source, std::string_view payload, Timestamp arrival_ms, std::string reason, Outputs& to) {
    ++counts.undecodable;
    if (const std::size_t output = sources[source].undecodable_output; output != kNoOutput) {
      record.key.reset();
      record.window.reset();
      assign(record.value, payload);
      record.timestamp_ms = arrival_ms;
      return to.emit(output, record);
    }
    store::QuarantineEntry entry;
    entry.source = config.sources[source].name;
    entry.step = "decode";
    entry.value = cut(payload, reason);
    entry.reason = std::move(reason);
    entry.timestamp_ms = arrival_ms;
    to.quarantine(std::move(entry));
  }

  void quarantine(const config::Pipeline* pipeline, StepFailure failure, const Row& row, Outputs& to) {
    ++counts.failed;
    store::QuarantineEntry entry;
    if (source_now != kNoOutput) entry.source = config.sources[source_now].name;
    if (pipeline != nullptr) entry.pipeline = pipeline->name;
    entry.step = std::move(failure.step);
    if (row.key) entry.key = row.key->substr(0, kQuarantinedBytes);
    if (const auto value = row.value(buffer)) entry.value = cut(*value, failure.reason);
    entry.reason = std::move(failure.reason);
    entry.timestamp_ms = row.timestamp_ms;
    to.quarantine(std::move(entry));
  }

  void tell(const std::vector<Reader>& readers, const Row& row, Outputs& to) {
    for (const Reader& reader : readers) {
      PipelineNode& node = pipelines[reader.pipeline];
      ++node.counts.in;
      Segment& segment = node.segments[reader.segment];
      if (reader.input != 0) {
        process(reader.pipeline, reader.segment, reader.input, row, to);
        continue;
      }
      segment.row = row;
      run(reader.pipeline, reader.segment, to);
    }
  }

  // The segment's row through its steps, and on.
  void run(std::size_t number, std::size_t at, Outputs& to) {
    PipelineNode& node = pipelines[number];
    Segment& segment = node.segments[at];
    StepFailure failure;
    StepResult result = segment.steps->run(segment.row, failure);
    const bool passed = result == StepResult::passed;
    if (passed && segment.stateful != nullptr) {
      process(number, at, 0, segment.row, to);
      return segment.row.clear();
    }
    if (passed && node.output != kNoOutput) result = emit(node, segment, failure, to);
    if (result == StepResult::failed) fail(number, std::move(failure), segment.row, to);
    if (passed) tell(node.readers, segment.row, to);  // an output whose key fails keeps no one else from the record
    segment.row.clear();
  }

  void fail(std::size_t number, StepFailure failure, const Row& row, Outputs& to) {
    ++pipelines[number].counts.failed;
    quarantine(&config.pipelines[number], std::move(failure), row, to);
  }

  void process(std::size_t number, std::size_t at, std::size_t input, const Row& row, Outputs& to);
  template <class Body>
  void each_stateful(Outputs& to, const Body& body);  // in topological order

  // Whether the record lies too far ahead of a clock that can be trusted.
  bool from_the_future(const Segment& segment, Timestamp timestamp_ms) {
    if (!clock_trusted || segment.time.future_ms == 0) return false;
    const auto beyond = [&] { return timestamp_ms - *trusted_ms > segment.time.future_ms; };
    if (trusted_ms && !beyond()) return false;
    trusted_ms = clock.wall_ms();
    return beyond();
  }

  StepResult emit(PipelineNode& node, Segment& last, StepFailure& failure, Outputs& to) {
    std::optional<std::string_view> key;
    const StepResult result = last.steps->output_key(last.row, key, failure);
    if (result != StepResult::passed) return result;
    ++node.counts.out;
    ++counts.out;
    assign(record.key, key);
    assign(record.value, last.row.value(buffer));
    record.timestamp_ms = last.row.timestamp_ms;
    record.window = last.row.window;
    if (record.key && record.window && config.pipelines[static_cast<std::size_t>(&node - pipelines.data())].to->windowed_key) append_window(*record.key, *record.window);
    to.emit(node.output, record);
    return result;
  }

  // Every call begins and ends with this: no view outlives its frame.
  void forget() {
    arrived.clear();
    arena.reset();
    source_now = kNoOutput;
    if (buffer.capacity() > kKeptBytes) buffer = std::string();
  }

  void arrive(std::size_t source, std::string_view payload, std::string_view topic, Timestamp arrival_ms, Outputs& to) {
    forget();
    ++counts.in;
    source_now = source;
    arrived.timestamp_ms = arrival_ms;
    if (decoded(source, payload, arrival_ms, to) && timed(source, payload, arrival_ms, to) && keyed(source, topic, to))
      tell(sources[source].readers, arrived, to);
    forget();
  }

  bool decoded(std::size_t source, std::string_view payload, Timestamp arrival_ms, Outputs& to) {
    auto done = decode(source, payload, arrived);
    if (done && *done) return true;
    if (!done) undecodable(source, payload, arrival_ms, done.error().message, to);
    else ++counts.dropped;  // an empty line is no record
    return false;
  }

  bool timed(std::size_t source, std::string_view payload, Timestamp arrival_ms, Outputs& to) {
    if (const auto& from = config.sources[source].timestamp) {
      const Field* field = arrived.find(from->field);
      auto time = field == nullptr ? result<Timestamp>(Error{ErrorCode::invalid, "there is no such field"}) : event_time(field->token, from->unit);
      if (!time) {
        undecodable(source, payload, arrival_ms, "timestamp field '" + from->field + "': " + time.error().message, to);
        return false;
      }
      arrived.timestamp_ms = *time;
    }
    if (arrived.timestamp_ms >= 0) return true;
    ++counts.dropped;  // as Kafka Streams does
    return false;
  }

  bool keyed(std::size_t source, std::string_view topic, Outputs& to) {
    SourceNode& node = sources[source];
    if (!node.topic_field.name.empty()) {
      topic_token.clear();
      codec::append_json_string(topic_token, topic);
      arrived.set(node.topic_field, topic_token);
    }
    if (node.key == nullptr) return true;
    const Outcome outcome = node.key->run(arrived);
    if (outcome.kind == Outcome::Kind::failed) {
      quarantine(nullptr, {"key", outcome.reason}, arrived, to);
      return false;
    }
    if (const auto& key = node.key->results()[0]; !key.null) arrived.key = arena.keep(key.text);
    return true;
  }

  void inject(std::size_t source, const Record& given, Outputs& to) {
    forget();
    ++counts.in;
    source_now = source;
    arrived.timestamp_ms = given.timestamp_ms;
    if (given.key) arrived.key = *given.key;
    if (given.timestamp_ms < 0) ++counts.dropped;
    else if (!given.value || decoded(source, *given.value, given.timestamp_ms, to))
      tell(sources[source].readers, arrived, to);
    forget();
  }
};

// What a stateful step gives, on its way through the rest of its pipeline.
class Topology::Impl::Results final : public Emit {
 public:
  Results(Impl& impl, std::size_t pipeline, std::size_t segment, Outputs& to) : impl_(impl), pipeline_(pipeline), segment_(segment), to_(to) {}

  void emit(const Emitted& result) override {
    Segment& next = impl_.pipelines[pipeline_].segments[segment_ + 1];
    next.row.clear();
    next.row.key = result.key;
    next.row.bytes = result.value;
    next.row.timestamp_ms = result.timestamp_ms;
    next.row.window = result.window;
    if (next.reads_fields && result.value) {
      const auto parsed = next.json.parse(*result.value);
      RV_CHECK(parsed.has_value(), "a stateful step's results are JSON");
      for (const codec::JsonField& field : next.json.fields()) next.row.fields.push_back({field.name, field.quoted, field.token, false});
    }
    const Arena::Mark mark = impl_.arena.mark();
    impl_.run(pipeline_, segment_ + 1, to_);
    impl_.arena.release(mark);
  }
  void late(const Row& row, std::uint64_t windows) override {
    count(&Counts::late, windows);
    const std::size_t output = impl_.pipelines[pipeline_].segments[segment_].late_output;
    if (output == kNoOutput) return;
    assign(impl_.record.key, row.key);
    assign(impl_.record.value, row.value(impl_.buffer));
    impl_.record.timestamp_ms = row.timestamp_ms;
    impl_.record.window = row.window;
    to_.emit(output, impl_.record);
  }
  void dropped(std::uint64_t number) override { count(&Counts::dropped, number); }
  void failed(std::string_view key, const std::string& reason) override {
    Row row;
    row.key = key;
    impl_.fail(pipeline_, {impl_.pipelines[pipeline_].segments[segment_].step, reason}, row, to_);
  }

 private:
  void count(std::uint64_t Counts::*which, std::uint64_t number) {
    impl_.counts.*which += number;
    impl_.pipelines[pipeline_].counts.*which += number;
  }
  Impl& impl_;
  const std::size_t pipeline_, segment_;
  Outputs& to_;
};

void Topology::Impl::process(std::size_t number, std::size_t at, std::size_t input, const Row& row, Outputs& to) {
  Segment& segment = pipelines[number].segments[at];
  if (from_the_future(segment, row.timestamp_ms))
    return fail(number, {segment.step, fmt::format("its timestamp lies {} ms ahead of the clock, more than time.future allows ({} ms)", row.timestamp_ms - *trusted_ms, segment.time.future_ms)}, row, to);
  Results results(*this, number, at, to);
  if (auto done = segment.stateful->process(input, row, results); !done) fail(number, {segment.step, done.error().message}, row, to);
}

template <class Body>
void Topology::Impl::each_stateful(Outputs& to, const Body& body) {
  forget();
  for (std::size_t i = 0; i < pipelines.size(); ++i)
    for (std::size_t at = 0; at < pipelines[i].segments.size(); ++at) {
      if (pipelines[i].segments[at].stateful == nullptr) continue;
      Results results(*this, i, at, to);
      body(*pipelines[i].segments[at].stateful, results);
    }
  forget();
}

std::unique_ptr<Topology> Topology::build(const config::Config& config, const Clock& clock, std::vector<config::Problem>& problems) {
  auto impl = std::make_unique<Impl>(config, clock);
  const std::size_t before = problems.size();
  impl->build(problems);
  if (problems.size() != before) return nullptr;
  return std::unique_ptr<Topology>(new Topology(std::move(impl)));
}

Topology::Topology(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Topology::~Topology() = default;

const std::vector<Output>& Topology::outputs() const { return impl_->outputs; }
void Topology::arrive(std::size_t source, std::string_view payload, std::string_view topic, Timestamp arrival_ms, Outputs& outputs) {
  impl_->arrive(source, payload, topic, arrival_ms, outputs);
}
void Topology::inject(std::size_t source, Record record, Outputs& outputs) { impl_->inject(source, record, outputs); }

bool Topology::stateful() const { return !impl_->stateful.empty(); }

result<void> Topology::attach(StateStore& state) {
  std::vector<std::pair<Operator*, StepState*>> opened;
  for (std::size_t i = 0; i < impl_->pipelines.size(); ++i)
    for (auto& segment : impl_->pipelines[i].segments) {
      if (segment.stateful == nullptr) continue;
      auto step = state.open(impl_->config.pipelines[i].name, segment.step, segment.stateful->definition());
      if (!step) return step.error();
      opened.emplace_back(segment.stateful.get(), *step);
    }
  if (auto loaded = state.load(); !loaded) return loaded;
  for (const auto& [stateful, step] : opened) stateful->attach(*step);
  return {};
}

std::size_t Topology::held_bytes() const {
  std::size_t bytes = 0;
  for (const Operator* stateful : impl_->stateful) bytes += stateful->held_bytes();
  return bytes;
}

void Topology::end_epoch(Outputs& outputs) {
  impl_->each_stateful(outputs, [](Operator& stateful, Emit& results) { stateful.flush(results); });
  impl_->each_stateful(outputs, [](Operator& stateful, Emit&) { stateful.save(); });
}

std::optional<Timestamp> Topology::next_wall_ms() const {
  std::optional<Timestamp> next;
  for (const Operator* stateful : impl_->stateful)
    if (const auto one = stateful->next_wall_ms(); one && (!next || *one < *next)) next = one;
  return next;
}

void Topology::advance_wall(Outputs& outputs) {
  const Timestamp now_ms = impl_->clock.wall_ms();
  impl_->each_stateful(outputs, [&](Operator& stateful, Emit& results) { stateful.advance_wall(now_ms, results); });
}

void Topology::trust_clock(bool yes) { impl_->clock_trusted = yes; }

const Counts& Topology::counts() const { return impl_->counts; }
const Counts& Topology::pipeline_counts(std::size_t pipeline) const { return impl_->pipelines[pipeline].counts; }

}  // namespace rivulet::pipeline
