#include "agent/pipeline/topology.h"

#include <fmt/format.h>

#include <map>

#include "agent/base/check.h"
#include "agent/codec/json.h"
#include "agent/pipeline/event_time.h"
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
  struct SourceNode {
    std::unique_ptr<Group> key;
    FieldName topic_field;
    std::size_t undecodable_output = kNoOutput;
    std::vector<std::size_t> readers;  // pipelines
  };
  struct PipelineNode {
    std::unique_ptr<Steps> steps;
    Row row;  // reused; a pipeline never runs inside itself
    std::size_t output = kNoOutput;
    std::vector<std::size_t> readers;
    Counts counts;
  };

  config::Config config;
  const Clock& clock;
  Evaluator evaluator;
  Arena arena;
  codec::JsonDocument json;
  std::string topic_token, buffer;
  std::vector<Output> outputs;
  std::vector<SourceNode> sources;
  std::vector<PipelineNode> pipelines;
  Counts counts;
  const FieldName value_field{"value"};
  Row arrived;    // reused
  Record record;  // reused for what is emitted

  Impl(const config::Config& wanted, const Clock& time) : config(wanted), clock(time), evaluator(time) {}

  void build(std::vector<config::Problem>& problems) {
    std::map<std::string, std::vector<std::size_t>*> readers_of;
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
        if (const auto it = readers_of.find(from); it != readers_of.end()) it->second->push_back(i);
      pipelines[i].steps = std::make_unique<Steps>(evaluator, arena, pipeline.name);
      pipelines[i].steps->compile(pipeline.steps, pipeline.to, problems);
      if (!pipeline.to) continue;
      pipelines[i].output = outputs.size();
      outputs.push_back({pipeline.name, pipeline.to->topic});
    }
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

  void quarantine(std::size_t source, const config::Pipeline* pipeline, StepFailure failure, const Row& row, Outputs& to) {
    ++counts.failed;
    store::QuarantineEntry entry;
    entry.source = config.sources[source].name;
    if (pipeline != nullptr) entry.pipeline = pipeline->name;
    entry.step = std::move(failure.step);
    if (row.key) entry.key = row.key->substr(0, kQuarantinedBytes);
    if (const auto value = row.value(buffer)) entry.value = cut(*value, failure.reason);
    entry.reason = std::move(failure.reason);
    entry.timestamp_ms = row.timestamp_ms;
    to.quarantine(std::move(entry));
  }

  void run(std::size_t source, std::size_t number, const Row& input, Outputs& to) {
    PipelineNode& node = pipelines[number];
    ++node.counts.in;
    node.row = input;
    StepFailure failure;
    StepResult result = node.steps->run(node.row, failure);
    const bool passed = result == StepResult::passed;
    if (passed && node.output != kNoOutput) result = emit(node, failure, to);
    if (result == StepResult::failed) {
      ++node.counts.failed;
      quarantine(source, &config.pipelines[number], std::move(failure), node.row, to);
    }
    if (passed)  // an output whose key fails keeps no one else from the record
      for (const std::size_t reader : node.readers) run(source, reader, node.row, to);
    node.row.clear();
  }

  StepResult emit(PipelineNode& node, StepFailure& failure, Outputs& to) {
    std::optional<std::string_view> key;
    const StepResult result = node.steps->output_key(node.row, key, failure);
    if (result != StepResult::passed) return result;
    ++node.counts.out;
    ++counts.out;
    assign(record.key, key);
    assign(record.value, node.row.value(buffer));
    record.timestamp_ms = node.row.timestamp_ms;
    to.emit(node.output, record);
    return result;
  }

  // Every call begins and ends with this: no view outlives its frame.
  void forget() {
    arrived.clear();
    arena.reset();
    if (buffer.capacity() > kKeptBytes) buffer = std::string();
  }

  void arrive(std::size_t source, std::string_view payload, std::string_view topic, Timestamp arrival_ms, Outputs& to) {
    forget();
    ++counts.in;
    arrived.timestamp_ms = arrival_ms;
    if (decoded(source, payload, arrival_ms, to) && timed(source, payload, arrival_ms, to) && keyed(source, topic, to))
      for (const std::size_t reader : sources[source].readers) run(source, reader, arrived, to);
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
      quarantine(source, nullptr, {"key", outcome.reason}, arrived, to);
      return false;
    }
    if (const auto& key = node.key->results()[0]; !key.null) arrived.key = arena.keep(key.text);
    return true;
  }

  void inject(std::size_t source, const Record& given, Outputs& to) {
    forget();
    ++counts.in;
    arrived.timestamp_ms = given.timestamp_ms;
    if (given.key) arrived.key = *given.key;
    if (given.timestamp_ms < 0) ++counts.dropped;
    else if (!given.value || decoded(source, *given.value, given.timestamp_ms, to))
      for (const std::size_t reader : sources[source].readers) run(source, reader, arrived, to);
    forget();
  }
};

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
const Counts& Topology::counts() const { return impl_->counts; }
const Counts& Topology::pipeline_counts(std::size_t pipeline) const { return impl_->pipelines[pipeline].counts; }

}  // namespace rivulet::pipeline
