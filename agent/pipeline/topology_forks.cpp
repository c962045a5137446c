// Steps that give several records for one, or send one elsewhere; and what steps left out.
#include "agent/pipeline/topology_impl.h"

namespace rivulet::pipeline {

void Topology::Impl::drop(std::size_t number, std::size_t at, std::uint64_t records) {
  counts.dropped += records;
  pipelines[number].counts.dropped += records;
  pipelines[number].segments[at].dropped += records;
}

void Topology::Impl::pass(std::size_t number, std::size_t at, const Row& row, Outputs& to) {
  Row& next = pipelines[number].segments[at + 1].row;
  next = row;
  next.change = nullptr;
  const Arena::Mark mark = arena.mark();
  run(number, at + 1, {&row}, to);
  arena.release(mark);
}

// A record with an empty list gives none: it is counted as dropped.
void Topology::Impl::explode(std::size_t number, std::size_t at, const Came& came, Outputs& to) {
  Segment& segment = pipelines[number].segments[at];
  auto list = segment.explode->elements(segment.row, growth, elements);
  if (!list) return fail(number, at, {segment.step, list.error().message}, Place::At::steps, came, to);
  if (!*list) return pass(number, at, segment.row, to);
  if (elements.empty()) return drop(number, at, 1);
  const std::vector<std::string_view> all = std::move(elements);  // a step behind may explode, too
  ++exploding;
  for (const std::string_view element : all) {
    segment.row.set(segment.explode->field(), element);
    pass(number, at, segment.row, to);
  }
  --exploding;
}

void Topology::Impl::route(std::size_t number, std::size_t at, const Came& came, Outputs& to) {
  PipelineNode& node = pipelines[number];
  Segment& segment = node.segments[at];
  if (auto done = segment.route->run(segment.row, taken); !done) return fail(number, at, {segment.step, done.error().message}, Place::At::steps, came, to);
  for (const Route::Taken& one : taken) write(node, one.target->output, one.target->to.windowed_key, segment.row, one.key, to);
  if (!taken.empty()) return;
  const bool ends = at + 2 == node.segments.size() && node.segments.back().steps->empty() && node.outputs.empty() && node.readers.empty();
  if (ends) drop(number, at, 1);
  else pass(number, at, segment.row, to);
}

std::vector<StepCounts> Topology::step_counts() const {
  std::vector<StepCounts> all;
  const auto add = [&](const std::string& pipeline, const std::string& step, std::uint64_t dropped, std::uint64_t clamped) {
    for (StepCounts& known : all)
      if (known.pipeline == pipeline && known.step == step) return known.dropped += dropped, known.clamped += clamped, void();
    all.push_back({pipeline, step, dropped, clamped});
  };
  for (std::size_t i = 0; i < impl_->pipelines.size(); ++i) {
    const config::Pipeline& pipeline = impl_->config.pipelines[i];
    std::uint64_t clamped = 0;
    for (const auto& segment : impl_->pipelines[i].segments) {
      if (!segment.step.empty()) add(pipeline.name, segment.step, segment.dropped, 0);
      clamped += segment.steps->clamped();
    }
    for (const config::Step& step : pipeline.steps)
      if (std::holds_alternative<config::Clamp>(step.what)) {
        add(pipeline.name, step.kind, 0, clamped);
        break;
      }
  }
  return all;
}

}  // namespace rivulet::pipeline
