// A record's way: from what gives it to its readers, through their steps, and out. For each record; optimised for speed (CMakeLists.txt).
#include "agent/pipeline/stateful/windowed_key.h"
#include "agent/pipeline/topology_impl.h"

namespace rivulet::pipeline {

void assign(std::optional<std::string>& to, const std::optional<std::string_view>& from) {
  if (!from) return to.reset();
  if (!to || to->capacity() > kKeptBytes) to.emplace();  // a giant one gives its memory back
  to->assign(*from);
}

void Topology::Impl::tell(const std::vector<Reader>& readers, const Row& row, Outputs& to) {
  for (const Reader& reader : readers) {
    PipelineNode& node = pipelines[reader.pipeline];
    ++node.counts.in;
    Segment& segment = node.segments[reader.segment];
    if (reader.input != 0) {
      process(reader.pipeline, reader.segment, reader.input, row, {&row}, to);
      continue;
    }
    segment.row = row;
    run(reader.pipeline, reader.segment, {&row}, to);
  }
}

void Topology::Impl::run(std::size_t number, std::size_t at, const Came& came, Outputs& to) {
  PipelineNode& node = pipelines[number];
  Segment& segment = node.segments[at];
  StepFailure failure;
  const StepResult result = segment.steps->run(segment.row, failure);
  const bool passed = result == StepResult::passed;
  if (passed && at + 1 < node.segments.size()) {
    if (segment.stateful != nullptr) process(number, at, 0, segment.row, came, to);
    else if (segment.explode != nullptr) explode(number, at, came, to);
    else route(number, at, came, to);
    return segment.row.clear();
  }
  if (result == StepResult::failed) fail(number, at, std::move(failure), Place::At::steps, came, to);
  if (passed && only_output != kNoOutput) {
    emit(number, only_output, segment, came, to);
  } else if (passed) {
    for (std::size_t which = 0; which < node.outputs.size(); ++which) emit(number, which, segment, came, to);
    tell(node.readers, segment.row, to);  // an output whose key fails keeps no one else from the record
  }
  segment.row.clear();
}

void Topology::Impl::emit(std::size_t number, std::size_t which, Segment& last, const Came& came, Outputs& to) {
  PipelineNode& node = pipelines[number];
  std::optional<std::string_view> key;
  StepFailure failure;
  if (last.steps->output_key(which, last.row, key, failure) == StepResult::passed) return write(node, node.outputs[which], config.pipelines[number].to[which].windowed_key, last.row, key, to);
  fail(number, node.segments.size() - 1, std::move(failure), Place::At::to, came, to, config.pipelines[number].to[which].topic);
}

void Topology::Impl::write(PipelineNode& node, std::size_t output, bool windowed_key, const Row& row, std::optional<std::string_view> key, Outputs& to) {
  ++node.counts.out;
  ++counts.out;
  assign(record.key, key);
  assign(record.value, row.value(buffer));
  record.timestamp_ms = row.timestamp_ms;
  record.window = row.window;
  if (record.key && record.window && windowed_key) append_window(*record.key, *record.window);
  to.emit(output, record);
}

}  // namespace rivulet::pipeline
