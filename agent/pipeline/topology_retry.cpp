// A record of the quarantine goes on from where it failed.
#include <fmt/format.h>

#include <algorithm>

#include "agent/pipeline/topology_impl.h"

namespace rivulet::pipeline {
namespace {

Error no(std::string why) { return {ErrorCode::invalid, std::move(why)}; }

template <class List>
std::size_t named(const List& list, const std::string& name) {
  return static_cast<std::size_t>(std::find_if(list.begin(), list.end(), [&](const auto& one) { return one.name == name; }) - list.begin());
}

}  // namespace

// The record as it was when it failed, in `arrived`.
result<void> Topology::Impl::take_up(const store::QuarantineEntry& entry, bool text) {
  forget();
  ++counts.in;
  if (const std::size_t source = named(config.sources, entry.source); source < sources.size()) source_now = source;
  arrived.timestamp_ms = entry.timestamp_ms;
  arrived.window = entry.window;
  if (entry.key) arrived.key = *entry.key;
  if (!entry.value) return {};
  arrived.bytes = *entry.value;
  if (text) {
    arrived.fields.push_back({value_field.name, value_field.quoted, *entry.value, true});
    return {};
  }
  const auto kind = json.parse(*entry.value);
  if (!kind) return no("its value is not read: " + kind.error().message);
  if (*kind == codec::JsonKind::other) arrived.fields.push_back({value_field.name, value_field.quoted, json.token(), false});
  for (const codec::JsonField& field : json.fields()) arrived.fields.push_back({field.name, field.quoted, field.token, false});
  return {};
}

result<void> Topology::Impl::retry_in_source(const store::QuarantineEntry& entry, const Place& place, Outputs& to) {
  const std::size_t source = named(config.sources, entry.source);
  if (source == sources.size()) return no("there is no source " + entry.source + " in the configuration");
  Arrival frame{entry.value ? std::string_view(*entry.value) : std::string_view(), entry.topic, entry.timestamp_ms};
  if (entry.key) frame.key = *entry.key;
  if (entry.first_line) frame.first_line = *entry.first_line;
  if (place.at == Place::At::arrival) {
    if (const Checked now = check(source, frame); !now.reason && now.records == 0) return no("nothing in it is a record, as its source is configured now");
    arrive(source, frame, to);
    return {};
  }
  if (auto done = take_up(entry, place.text); !done) return done;
  frame_now = &frame;
  if (keyed(source, entry.topic, to)) tell(sources[source].readers, arrived, to);
  frame_now = nullptr;
  return {};
}

// In the segment that has the step: through what is left of its stateless steps, or at its end.
result<void> Topology::Impl::retry_at_step(std::size_t number, const Place& place, Outputs& to) {
  const config::Pipeline& pipeline = config.pipelines[number];
  std::vector<Segment>& segments = pipelines[number].segments;
  for (std::size_t at = 0; at < segments.size(); ++at) {
    Segment& segment = segments[at];
    const bool last = at + 1 == segments.size();
    if (const auto first = std::find(segment.numbers.begin(), segment.numbers.end(), place.index); place.at == Place::At::step && first != segment.numbers.end()) {
      std::vector<config::Step> left;
      for (auto step = first; step != segment.numbers.end(); ++step) left.push_back(pipeline.steps[*step]);
      auto steps = std::make_unique<Steps>(evaluator, arena, clamp_clock, pipeline.name);
      std::vector<config::Problem> problems;
      steps->compile(left, last ? pipeline.to : std::vector<config::Output>(), problems);
      if (!problems.empty()) return no(problems.front().text());
      const std::vector<std::size_t> numbers(first, segment.numbers.end());
      const std::vector<std::size_t> all = std::exchange(segment.numbers, numbers);
      std::swap(segment.steps, steps);
      segment.row = arrived;
      run(number, at, to);
      std::swap(segment.steps, steps);
      segment.numbers = all;
      return {};
    }
    if (last || segment.number != place.index) continue;
    segment.row = arrived;
    if (place.at == Place::At::list && segment.explode != nullptr) return explode(number, at, to), result<void>();
    if (place.at == Place::At::step && segment.route != nullptr) return route(number, at, to), result<void>();
    const bool other = place.at == Place::At::other;
    if (segment.stateful != nullptr && (other ? !segment.other_input.empty() : place.at == Place::At::step)) return process(number, at, other ? 1 : 0, arrived, to), result<void>();
  }
  return no(fmt::format("pipeline {} has no such place any more: {}", pipeline.name, text_of(place)));
}

result<void> Topology::Impl::retry(const store::QuarantineEntry& entry, Outputs& to) {
  if (entry.place.starts_with(store::kNoPlace)) return no(entry.place.substr(store::kNoPlace.size()));
  if (entry.place.starts_with(store::kStreamPlace)) {
    const std::string_view name = std::string_view(entry.place).substr(store::kStreamPlace.size());
    const auto output = std::find_if(outputs.begin(), outputs.end(), [&](const Output& one) { return one.stream == name && one.topic == entry.topic; });
    if (output == outputs.end()) return no(fmt::format("the configuration has no output {} to {} any more, or it is a changelog, whose later records stand in for it", name, entry.topic));
    const Record again{entry.key, entry.value, entry.timestamp_ms, entry.window};
    to.emit(static_cast<std::size_t>(output - outputs.begin()), again);
    return {};
  }
  const auto place = place_of(entry.place);
  if (!place) return no(entry.place.empty() ? "an earlier version put it there, which did not keep where it failed" : "its place is not known to this version: " + entry.place);
  if (place->at == Place::At::arrival || place->at == Place::At::key) return retry_in_source(entry, *place, to);
  const std::size_t number = named(config.pipelines, entry.pipeline);
  if (number == pipelines.size()) return no("there is no pipeline " + entry.pipeline + " in the configuration");
  if (const std::string kinds = kinds_before(config.pipelines[number], *place); kinds != place->before)
    return no(fmt::format("pipeline {} has other steps before it now ({}) than those it went through ({})", entry.pipeline, kinds.empty() ? "none" : kinds, place->before.empty() ? "none" : place->before));
  if (auto done = take_up(entry, place->text); !done) return done;
  if (place->at != Place::At::output) return retry_at_step(number, *place, to);
  if (place->index >= pipelines[number].outputs.size()) return no(fmt::format("pipeline {} has no output number {} any more", entry.pipeline, place->index + 1));
  Segment& segment = pipelines[number].segments.back();
  segment.row = arrived;
  emit(number, place->index, segment, to);
  return {};
}

result<void> Topology::retry(const store::QuarantineEntry& entry, Outputs& outputs) {
  auto done = impl_->retry(entry, outputs);
  impl_->forget();
  return done;
}

}  // namespace rivulet::pipeline
