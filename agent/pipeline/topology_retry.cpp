// Into quarantine, and on from there.
#include <fmt/core.h>

#include <algorithm>

#include "agent/pipeline/topology_impl.h"

namespace rivulet::pipeline {
namespace {

Error no(std::string why) { return {ErrorCode::invalid, std::move(why)}; }

template <class List>
std::size_t named(const List& list, const std::string& name) {
  return static_cast<std::size_t>(std::find_if(list.begin(), list.end(), [&](const auto& one) { return one.name == name; }) - list.begin());
}

std::string in_words(const std::string& steps) { return steps.empty() ? "none" : steps; }

}  // namespace

void keep_for_quarantine(store::QuarantineEntry& entry, const std::optional<std::string_view>& key, const std::optional<std::string_view>& value) {
  const auto keep = [&](std::optional<std::string>& to, const std::optional<std::string_view>& from, const char* what) {
    if (!from) return;
    to = from->substr(0, kQuarantinedBytes);
    if (from->size() <= kQuarantinedBytes) return;
    entry.reason += fmt::format(" (the first {} of {} bytes{} are kept)", kQuarantinedBytes, from->size(), what);
    entry.place = std::string(store::kNoPlace) + "only its first bytes were kept";
  };
  keep(entry.key, key, " of the key");
  keep(entry.value, value, "");
}

std::string Topology::Impl::ends_before(std::size_t number, std::size_t at) const {
  const std::vector<Segment>& segments = pipelines[number].segments;
  std::string ends;
  for (std::size_t i = 0; i < at; ++i) ends += (i == 0 ? "" : ", ") + segments[i].ends_with;
  return ends;
}

store::QuarantineEntry Topology::Impl::entry_of(StepFailure failure) {
  ++counts.failed;
  store::QuarantineEntry entry;
  if (source_now != kNoOutput) entry.source = config.sources[source_now].name;
  if (frame_now != nullptr) entry.topic = frame_now->topic;
  entry.step = std::move(failure.step);
  entry.reason = std::move(failure.reason);
  return entry;
}

// A change of a table means something only together with the row before it, which others may have replaced when it is tried again.
void Topology::Impl::keep(store::QuarantineEntry& entry, Place place, const Came& came) {
  const bool change = came.row != nullptr ? came.row->change != nullptr : came.result->change != nullptr;
  entry.timestamp_ms = came.row != nullptr ? came.row->timestamp_ms : came.result->timestamp_ms;
  entry.window = came.row != nullptr ? came.row->window : came.result->window;
  place.text = came.row != nullptr ? !came.row->changed && !came.row->fields.empty() && came.row->fields.front().text : came.result->text;
  entry.place = change ? std::string(store::kNoPlace) + "it was a change of a table" : text_of(place);
  keep_for_quarantine(entry, came.row != nullptr ? came.row->key : came.result->key, came.row != nullptr ? came.row->value(buffer) : came.result->value);
}

void Topology::Impl::fail(std::size_t number, std::size_t at, StepFailure failure, Place::At where, const Came& came, Outputs& to, std::string_view output) {
  ++pipelines[number].counts.failed;
  store::QuarantineEntry entry = entry_of(std::move(failure));
  entry.pipeline = config.pipelines[number].name;
  if (!output.empty()) entry.topic = output;
  keep(entry, {where, false, ends_before(number, at)}, came);
  to.quarantine(std::move(entry));
}

// What is known of it is for a person.
void Topology::Impl::fail_result(std::size_t number, std::size_t at, const Emitted& result, const std::string& reason, Outputs& to) {
  ++pipelines[number].counts.failed;
  store::QuarantineEntry entry = entry_of({pipelines[number].segments[at].step, reason});
  entry.pipeline = config.pipelines[number].name;
  entry.timestamp_ms = result.timestamp_ms;
  entry.window = result.window;
  entry.place = std::string(store::kNoPlace) + "it is a result that could not be computed, and no record";
  keep_for_quarantine(entry, result.key, result.value);
  to.quarantine(std::move(entry));
}

// The record as it was, in `arrived`.
result<void> Topology::Impl::take_up(const store::QuarantineEntry& entry, bool text) {
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

result<void> Topology::Impl::retry_in_source(const store::QuarantineEntry& entry, const Place& place, const Arrival& frame, Outputs& to) {
  const std::size_t source = named(config.sources, entry.source);
  if (source == sources.size()) return no("there is no source " + entry.source + " in the configuration");
  if (sources[source].readers.empty()) return no("no pipeline reads from source " + entry.source);
  if (place.at == Place::At::arrival) {
    if (const Checked now = check(source, frame); !now.reason && now.records == 0) return no("nothing in it is a record, as source " + entry.source + " is configured now");
    arrive(source, frame, to);
    return {};
  }
  if (auto done = take_up(entry, place.text); !done) return done;
  ++counts.in;
  source_now = source;
  if (keyed(source, entry.topic, to)) tell(sources[source].readers, arrived, to);
  return {};
}

result<void> Topology::Impl::retry_in_pipeline(const store::QuarantineEntry& entry, const Place& place, Outputs& to) {
  const std::size_t number = named(config.pipelines, entry.pipeline);
  if (number == pipelines.size()) return no("there is no pipeline " + entry.pipeline + " in the configuration");
  std::vector<Segment>& segments = pipelines[number].segments;
  std::size_t at = 0;
  while (at < segments.size() && ends_before(number, at) != place.after) ++at;
  if (at == segments.size())
    return no(fmt::format("it had come through these steps of pipeline {}: {}; now they are: {}", entry.pipeline, in_words(place.after), in_words(ends_before(number, segments.size() - 1))));
  std::size_t output = kNoOutput;
  if (place.at == Place::At::to) {
    const auto& all = config.pipelines[number].to;  // no two go to the same topic
    const auto found = std::find_if(all.begin(), all.end(), [&](const config::Output& one) { return one.topic == entry.topic; });
    if (at + 1 != segments.size() || found == all.end()) return no(fmt::format("pipeline {} has no output {} directly behind those steps any more", entry.pipeline, entry.topic));
    output = static_cast<std::size_t>(found - all.begin());
  }
  if (place.at == Place::At::other && segments[at].other_input.empty()) return no(fmt::format("pipeline {} has no join there any more", entry.pipeline));
  if (auto done = take_up(entry, place.text); !done) return done;
  ++counts.in;
  ++pipelines[number].counts.in;
  if (const std::size_t source = named(config.sources, entry.source); source < sources.size()) source_now = source;
  if (place.at == Place::At::other) {
    process(number, at, 1, arrived, {&arrived}, to);
    return {};
  }
  only_output = output;
  segments[at].row = arrived;
  run(number, at, {&arrived}, to);
  only_output = kNoOutput;
  return {};
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
  Arrival frame{entry.value ? std::string_view(*entry.value) : std::string_view(), place->at == Place::At::to ? std::string_view() : std::string_view(entry.topic), entry.timestamp_ms};
  if (entry.key) frame.key = *entry.key;
  if (entry.first_line) frame.first_line = *entry.first_line;
  forget();
  growth = {frame.payload.size(), 0};
  frame_now = &frame;
  auto done = place->at == Place::At::arrival || place->at == Place::At::key ? retry_in_source(entry, *place, frame, to) : retry_in_pipeline(entry, *place, to);
  frame_now = nullptr;
  forget();
  return done;
}

result<void> Topology::retry(const store::QuarantineEntry& entry, Outputs& outputs) { return impl_->retry(entry, outputs); }

}  // namespace rivulet::pipeline
