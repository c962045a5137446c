// A configuration into decoders, segments and who reads from whom.
#include <algorithm>
#include <map>
#include <set>

#include "agent/pipeline/decoding.h"
#include "agent/pipeline/topology_impl.h"

namespace rivulet::pipeline {

void Topology::Impl::build(std::vector<config::Problem>& problems) {
  for (const auto& extension : config.extensions)
    if (auto loaded = evaluator.load_extension(extension.path); !loaded) problems.push_back({extension.at, "extensions", loaded.error().message, false});
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
    if (auto decoder = make_decoder(source.decode)) sources[i].decoder = std::move(*decoder);
    else problems.push_back({source.decode.pattern_at, "sources." + source.name + ".decode.raw.pattern", decoder.error().message, false});
    if (source.key.empty()) continue;
    sources[i].key = std::make_unique<Group>(evaluator);
    auto added = sources[i].key->add(ItemKind::text, source.key);
    if (added) added = sources[i].key->prepare();
    if (!added) problems.push_back({source.key_at, "sources." + source.name + ".key", added.error().message, false});
  }
  for (const config::LookupTable& table : config.tables) {
    lookups.push_back(Lookup::make(table));
    tables[table.name] = lookups.back().get();
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
    for (const config::Output& to : pipeline.to) {
      pipelines[i].outputs.push_back(outputs.size());
      outputs.push_back({pipeline.name, to.topic});
    }
  }
  for (std::size_t i = 0; i < pipelines.size(); ++i) pipelines[i].may_pause = may_pause(i);
  for (PipelineNode& node : pipelines)
    for (Segment& segment : node.segments) segment.reads_fields = !segment.step.empty() || !segment.steps->empty() || !node.readers.empty();
}

void Topology::Impl::build_segments(std::size_t number, std::vector<config::Problem>& problems) {
  const config::Pipeline& pipeline = config.pipelines[number];
  std::vector<Segment>& segments = pipelines[number].segments;
  const config::Time time = time_of(config, pipeline, problems);
  std::vector<config::Step> stateless;
  const auto close = [&](const std::vector<config::Output>& to) {
    segments.emplace_back();
    segments.back().steps = std::make_unique<Steps>(evaluator, arena, clamp_clock, pipeline.name);
    segments.back().steps->compile(stateless, to, problems);
    stateless.clear();
  };
  for (const config::Step& step : pipeline.steps) {
    if (std::holds_alternative<config::Route>(step.what)) {
      close({});
      build_route(number, step, segments.back(), problems);
      continue;
    }
    if (const auto* flatten = std::get_if<config::Flatten>(&step.what); flatten != nullptr && flatten->explode) {
      close({});
      segments.back().step = segments.back().ends_with = step.kind;
      segments.back().explode = std::make_unique<Explode>(*flatten->explode);
    }
    if (!config::is_stateful(step)) {
      stateless.push_back(step);
      continue;
    }
    if (part_of_the_step_before(step)) continue;
    close({});
    Segment& segment = segments.back();
    segment.step = step.name;
    segment.ends_with = step.kind + " " + step.name;
    segment.time = time;
    segment.other_input = other_input(step);
    segment.stateful = make_operator({evaluator, clock, config, pipeline, step, time, problems, tables});
    if (TableView* table = segment.stateful->table()) tables[pipeline.name + "/" + step.name] = table;
    stateful.push_back(segment.stateful.get());
    if (const auto topic = late_topic(step)) {
      segment.late_output = outputs.size();
      outputs.push_back({pipeline.name + "/" + step.name + "/late", *topic});
    }
  }
  close(pipeline.to);
}

// Cases with the same topic are one stream.
void Topology::Impl::build_route(std::size_t number, const config::Step& step, Segment& segment, std::vector<config::Problem>& problems) {
  segment.step = step.name;
  segment.ends_with = step.kind + " " + step.name;
  segment.route = std::make_unique<Route>(evaluator, arena, step, problems);
  std::map<std::string, std::size_t> output_of;
  for (Route::Target& target : segment.route->targets()) {
    const auto [known, first] = output_of.emplace(target.to.topic, outputs.size());
    if (first) outputs.push_back({config.pipelines[number].name + "/" + step.name + "/" + target.to.topic, target.to.topic});
    target.output = known->second;
  }
}

std::vector<std::size_t> Topology::Impl::outputs_of(std::size_t source) const {
  std::vector<std::size_t> found;
  const auto add = [&](std::size_t output) {
    if (output != kNoOutput) found.push_back(output);
  };
  add(sources[source].undecodable_output);
  std::vector<bool> seen(pipelines.size(), false);
  std::vector<Reader> next = sources[source].readers;
  while (!next.empty()) {
    const std::size_t number = next.back().pipeline;
    next.pop_back();
    if (seen[number]) continue;
    seen[number] = true;
    const PipelineNode& node = pipelines[number];
    for (const Segment& segment : node.segments) {
      add(segment.late_output);
      if (segment.route == nullptr) continue;
      for (const Route::Target& target : segment.route->targets()) add(target.output);
    }
    for (const std::size_t output : node.outputs) add(output);
    next.insert(next.end(), node.readers.begin(), node.readers.end());
  }
  return found;
}

// A pipeline's results may wait while the record that made them goes on elsewhere, if nothing else flows into what they flow into, and
// no join looks from the one into the other.
bool Topology::Impl::may_pause(std::size_t number) const {
  std::vector<bool> mine(pipelines.size(), false);
  std::vector<std::size_t> next{number};
  std::set<std::string, std::less<>> names;
  while (!next.empty()) {
    const std::size_t one = next.back();
    next.pop_back();
    if (mine[one]) continue;
    mine[one] = true;
    names.insert(config.pipelines[one].name);
    for (const Reader& reader : pipelines[one].readers) next.push_back(reader.pipeline);
  }
  for (std::size_t i = 0; i < pipelines.size(); ++i) {
    const config::Pipeline& pipeline = config.pipelines[i];
    if (mine[i] && i != number && !std::all_of(pipeline.from.begin(), pipeline.from.end(), [&](const auto& from) { return names.count(from) != 0; })) return false;
    for (const config::Step& step : pipeline.steps)
      if (const std::string with = joined_with(step); !with.empty() && mine[i] != (names.count(with) != 0)) return false;
  }
  return true;
}

}  // namespace rivulet::pipeline
