#include "agent/app/changelog_writer.h"

#include <algorithm>

#include "agent/base/check.h"
#include "agent/base/log.h"

namespace rivulet::app {
namespace {

// "p", "p/step/late" and "s/undecodable" are outputs of pipeline p and of source s.
std::string owner_of(const pipeline::Output& output) { return output.stream.substr(0, output.stream.find('/')); }

bool has(const std::vector<std::string>& names, const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); }

std::string generation_blob(const store::Generation& generation, const store::ChangelogCatalogue& catalogue) {
  return store::changelog_value(generation, store::encode_body(catalogue));
}

}  // namespace

result<std::unique_ptr<ChangelogWriter>> ChangelogWriter::open(Parts parts) {
  std::unique_ptr<ChangelogWriter> writer(new ChangelogWriter(parts));
  for (const pipeline::ChangelogUnit& unit : pipeline::changelog_units(parts.config))
    if (auto added = writer->add(unit); !added) return added.error();
  const auto streams = parts.store.streams();
  if (!streams) return streams.error();
  for (const store::StreamInfo& stream : *streams)
    if (store::is_changelog(stream.name) && std::none_of(writer->units_.begin(), writer->units_.end(), [&](const Written& unit) { return unit.stream == stream.id; }))
      if (auto left = writer->leave(stream); !left) return left.error();
  if (writer->units_.empty() && writer->left_.empty() && writer->forgotten_.empty()) writer.reset();
  return writer;
}

result<void> ChangelogWriter::add(const pipeline::ChangelogUnit& unit) {
  const std::string name = store::changelog_name(unit.topic);
  const auto stream = parts_.store.stream(name, unit.topic);
  if (!stream) return stream.error();
  Written made;
  made.topic = unit.topic;
  made.stream = stream->id;
  made.last = stream->last;
  made.sources.insert(unit.sources.begin(), unit.sources.end());
  for (std::size_t output = 0; output < parts_.outputs.size(); ++output) {
    if (store::is_local(parts_.outputs[output].topic)) continue;  // what it has is not in Kafka
    const std::string owner = owner_of(parts_.outputs[output]);
    if (!has(unit.pipelines, owner) && !has(unit.sources, owner)) continue;
    const auto member = parts_.store.stream(parts_.outputs[output].stream, parts_.outputs[output].topic);
    if (!member) return member.error();
    made.members.push_back({output, member->id, member->last});
    made.may_be_named.push_back(member->id);
  }
  if (parts_.state != nullptr) {
    for (const pipeline::StateStore::Opened& step : parts_.state->opened()) {
      if (!has(unit.pipelines, step.pipeline)) continue;
      steps_[step.id] = {units_.size(), &step};
      made.catalogue.steps.push_back({step.pipeline, step.step, step.definition});
    }
  }
  made.catalogue.sources = unit.sources;
  std::sort(made.catalogue.sources.begin(), made.catalogue.sources.end());
  std::sort(made.catalogue.steps.begin(), made.catalogue.steps.end(),
            [](const store::ChangelogStep& a, const store::ChangelogStep& b) { return std::tie(a.pipeline, a.step) < std::tie(b.pipeline, b.step); });

  auto kept = parts_.store.positions(name);
  if (!kept) return kept.error();
  if (stream->acknowledged < stream->last)  // headers that wait may name streams that are no members now
    for (const StreamId before : store::decode_members((*kept)[store::kMembersKey]))
      if (std::find(made.may_be_named.begin(), made.may_be_named.end(), before) == made.may_be_named.end()) made.may_be_named.push_back(before);
  made.members_changed = (*kept)[store::kMembersKey] != store::encode_members(made.may_be_named);
  const auto known = store::decode_changelog_value((*kept)[store::kGenerationKey]);
  made.complete = known && known->body == store::encode_body(made.catalogue);
  made.generation = made.complete ? known->generation : store::random_generation();
  if (!made.complete) log::info("changelog {}: everything is written into it {}", unit.topic, known ? "anew: its steps or sources changed" : "at first");
  units_.push_back(std::move(made));
  return {};
}

// A changelog that is not configured: what waits still goes as a unit; it is not complete any more, should it come back.
result<void> ChangelogWriter::leave(const store::StreamInfo& stream) {
  auto kept = parts_.store.positions(stream.name);
  if (!kept) return kept.error();
  if (stream.acknowledged < stream.last) left_.push_back({stream.id, store::decode_members((*kept)[store::kMembersKey])});
  if (kept->contains(store::kGenerationKey) && !(*kept)[store::kGenerationKey].empty()) forgotten_.push_back(stream.name);
  return {};
}

std::vector<forward::Unit> ChangelogWriter::units() const {
  std::vector<forward::Unit> all = left_;
  for (const Written& unit : units_) all.push_back({unit.stream, unit.may_be_named});
  return all;
}

bool ChangelogWriter::writing_anew() const {
  return std::any_of(units_.begin(), units_.end(), [](const Written& unit) { return !unit.complete; });
}

result<void> ChangelogWriter::begin_anew(Written& unit) {
  const std::string& agent = parts_.config.agent.id;
  unit.begun = true;
  unit.chunk.push_back({store::changelog_key(agent, store::ChangelogKind::catalogue), generation_blob(unit.generation, unit.catalogue)});
  for (const std::string& source : unit.catalogue.sources) {
    const auto positions = parts_.store.positions(source);
    if (!positions) return positions.error();
    for (const auto& [key, value] : *positions)
      unit.chunk.push_back({store::changelog_position_key(agent, source, key), store::changelog_value(unit.generation, value)});
  }
  return {};
}

result<void> ChangelogWriter::next_chunk(std::size_t max_bytes) {
  const auto found = std::find_if(units_.begin(), units_.end(), [](const Written& unit) { return !unit.complete; });
  if (found == units_.end()) return {};
  Written& unit = *found;
  if (!unit.begun)
    if (auto begun = begin_anew(unit); !begun) return begun;
  std::vector<pipeline::StepState*> tables;
  std::vector<const pipeline::StateStore::Opened*> steps;
  for (const auto& [id, place] : steps_)
    if (&units_[place.unit] == &unit) steps.push_back(place.step);
  std::size_t bytes = 0;
  for (; unit.step < steps.size(); ++unit.step, unit.part = 0) {
    const pipeline::StateStore::Opened& step = *steps[unit.step];
    for (; unit.part < pipeline::StepState::kTables; ++unit.part, unit.from.clear()) {
      bool full = false;
      step.state->table(unit.part).scan(unit.from, {}, [&](std::string_view key, std::string_view value) {
        if (bytes >= max_bytes) {
          unit.from.assign(key);
          full = true;
          return false;
        }
        bytes += key.size() + value.size();
        unit.chunk.push_back({store::changelog_state_key(parts_.config.agent.id, step.pipeline, step.step, unit.part, key), store::changelog_value(unit.generation, value)});
        return true;
      });
      if (parts_.state->failure()) return *parts_.state->failure();
      if (full) return {};
    }
  }
  unit.ends = true;
  return {};
}

const ChangelogWriter::Place* ChangelogWriter::place_of(std::uint32_t table) const {
  const auto found = steps_.find(table / pipeline::StepState::kTables);
  return found == steps_.end() ? nullptr : &found->second;
}

void ChangelogWriter::end_epoch(store::Epoch& epoch, const store::StateChanges& changes, const std::function<Sequence(std::size_t)>& last_of) {
  for (const std::string& name : forgotten_) epoch.erase_position(name, store::kGenerationKey);
  forgotten_.clear();
  for (std::size_t i = 0; i < units_.size(); ++i) write(units_[i], i, epoch, changes, last_of);
}

// Twice over the changes: the header comes first and says how many they are.
void ChangelogWriter::write(Written& unit, std::size_t number, store::Epoch& epoch, const store::StateChanges& changes, const std::function<Sequence(std::size_t)>& last_of) {
  const std::string& agent = parts_.config.agent.id;
  store::ChangelogHeader header;
  header.records = 1 + unit.chunk.size();
  std::uint64_t results = 0;
  for (Member& member : unit.members) {
    const Sequence last = last_of(member.output);
    header.streams.push_back({member.id, parts_.outputs[member.output].stream, parts_.outputs[member.output].topic, last, last - member.last});
    results += last - member.last;
  }
  for (const Entry& entry : unit.chunk) header.bytes += entry.key.size() + entry.value->size();
  const auto each_change = [&](const auto& visit) {
    auto read = store::read_changes(changes.body, [&](std::uint32_t table, std::string_view key, std::optional<std::string_view> value) {
      const Place* place = place_of(table);
      if (place != nullptr && place->unit == number) visit(*place->step, table % pipeline::StepState::kTables, key, value);
    });
    RV_CHECK(read.has_value(), "an epoch's own changes can be read");
  };
  const auto position_of_ours = [&](const store::PositionChange& change) { return unit.sources.contains(change.source); };
  each_change([&](const auto&, std::uint32_t, std::string_view key, std::optional<std::string_view> value) {
    ++header.records;
    header.bytes += key.size() + (value ? value->size() : 0);
  });
  const std::size_t positions = epoch.positions().size();
  for (std::size_t i = 0; i < positions; ++i)
    if (position_of_ours(epoch.positions()[i])) ++header.records;
  if (header.records == 1 && results == 0) return;

  const Timestamp now_ms = parts_.clock.wall_ms();
  const auto append = [&](const std::string& key, std::optional<std::string_view> value) { epoch.append(unit.stream, ++unit.last, key, value, now_ms); };
  const bool completed = unit.ends && !unit.complete;
  if (completed) unit.complete = true;
  header.complete = unit.complete;
  header.own = unit.stream;
  header.incarnation = parts_.store.identity().incarnation;
  header.last = unit.last + header.records;
  header.bytes += epoch.size_bytes();
  append(store::changelog_key(agent, store::ChangelogKind::header), store::changelog_value(unit.generation, store::encode_body(header)));
  for (const Entry& entry : unit.chunk) append(entry.key, *entry.value);
  unit.chunk = {};
  for (std::size_t i = 0; i < positions; ++i) {
    const store::PositionChange& change = epoch.positions()[i];
    if (!position_of_ours(change)) continue;
    const std::string value = change.value ? store::changelog_value(unit.generation, *change.value) : std::string();
    append(store::changelog_position_key(agent, change.source, change.key), change.value ? std::optional<std::string_view>(value) : std::nullopt);
  }
  each_change([&](const auto& step, std::uint32_t part, std::string_view key, std::optional<std::string_view> value) {
    const std::string bytes = value ? store::changelog_value(unit.generation, *value) : std::string();
    append(store::changelog_state_key(agent, step.pipeline, step.step, part, key), value ? std::optional<std::string_view>(bytes) : std::nullopt);
  });
  RV_CHECK(unit.last == header.last, "the header counts the epoch's records");
  for (Member& member : unit.members) member.last = last_of(member.output);
  const std::string name = store::changelog_name(unit.topic);
  if (completed) epoch.set_position(name, store::kGenerationKey, generation_blob(unit.generation, unit.catalogue));
  if (std::exchange(unit.members_changed, false)) epoch.set_position(name, store::kMembersKey, store::encode_members(unit.may_be_named));
}

}  // namespace rivulet::app
