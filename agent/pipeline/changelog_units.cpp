#include "agent/pipeline/changelog_units.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "agent/pipeline/stateful/operator.h"

namespace rivulet::pipeline {
namespace {

// Sources and pipelines that are connected, whichever way the records run: name -> one name that stands for all of them.
class Connected {
 public:
  explicit Connected(const config::Config& config) {
    for (const config::Pipeline& pipeline : config.pipelines) {
      for (const std::string& from : pipeline.from) join(pipeline.name, from);
      for (const config::Step& step : pipeline.steps)
        if (const std::string other = joined_with(step); !other.empty()) join(pipeline.name, other);
    }
  }
  std::string of(const std::string& name) const {
    std::string at = name;
    for (auto it = parent_.find(at); it != parent_.end(); it = parent_.find(at)) at = it->second;
    return at;
  }

 private:
  void join(const std::string& a, const std::string& b) {
    const std::string one = of(a), other = of(b);
    if (one != other) parent_[one] = other;
  }
  std::map<std::string, std::string> parent_;
};

struct Written {
  std::string topic;
  config::Location at;
  std::string path;
};

std::vector<Written> output_topics(const config::Config& config) {
  std::vector<Written> topics;
  for (const config::Source& source : config.sources)
    if (source.undecodable) topics.push_back({*source.undecodable, source.at, "sources." + source.name + ".undecodable"});
  for (const config::Pipeline& pipeline : config.pipelines) {
    for (const config::Output* output : config::outputs_of(pipeline))
      if (!output->local) topics.push_back({output->topic, output->at, "pipelines." + pipeline.name + ".to"});
    for (const config::Step& step : pipeline.steps)
      if (const auto late = late_topic(step)) topics.push_back({*late, step.at, step.path + ".late.topic"});
  }
  return topics;
}

bool is_kafkas_own(const std::string& topic) { return topic == "__consumer_offsets" || topic == "__transaction_state"; }

}  // namespace

std::vector<ChangelogUnit> changelog_units(const config::Config& config) {
  const Connected connected(config);
  std::vector<ChangelogUnit> units;
  std::map<std::string, std::size_t> unit_of;  // what stands for the connected ones -> index
  for (const config::Pipeline& pipeline : config.pipelines) {
    if (!pipeline.changelog) continue;
    auto unit = std::find_if(units.begin(), units.end(), [&](const ChangelogUnit& one) { return one.topic == *pipeline.changelog; });
    if (unit == units.end()) unit = units.insert(unit, {*pipeline.changelog, {}, {}});
    unit->pipelines.push_back(pipeline.name);
    unit_of[connected.of(pipeline.name)] = static_cast<std::size_t>(unit - units.begin());
  }
  for (const config::Source& source : config.sources)
    if (const auto found = unit_of.find(connected.of(source.name)); found != unit_of.end()) units[found->second].sources.push_back(source.name);
  return units;
}

void check_changelogs(const config::Config& config, std::vector<config::Problem>& problems) {
  const Connected connected(config);
  std::set<std::string> outputs;
  for (Written& written : output_topics(config)) outputs.insert(std::move(written.topic));
  std::map<std::string, const config::Pipeline*> first_with;  // by what stands for the connected ones
  for (const config::Pipeline& pipeline : config.pipelines) {
    if (!pipeline.changelog) continue;
    first_with.emplace(connected.of(pipeline.name), &pipeline);
    const auto problem = [&](std::string message) { problems.push_back({pipeline.at, "pipelines." + pipeline.name + ".changelog", std::move(message), false}); };
    if (outputs.contains(*pipeline.changelog)) problem("'" + *pipeline.changelog + "' takes records as well, expected a topic of its own");
    if (!config.kafka) problem("there is no kafka section, expected one: the changelog lives in Kafka");
    else if (!config.kafka->exactly_once) problem("needs kafka.delivery: exactly-once, because state and results go in one transaction");
    else if (*pipeline.changelog == config.kafka->progress_topic) problem("'" + *pipeline.changelog + "' is the progress topic, expected a topic of its own");
    else if (is_kafkas_own(*pipeline.changelog)) problem("'" + *pipeline.changelog + "' is Kafka's own, expected a topic of its own");
  }
  for (const config::Pipeline& pipeline : config.pipelines) {
    const auto found = first_with.find(connected.of(pipeline.name));
    if (found == first_with.end() || pipeline.changelog == found->second->changelog) continue;
    problems.push_back({pipeline.at, "pipelines." + pipeline.name + ".changelog",
                        "shares a source with the pipeline '" + found->second->name + "', directly or through others; a source has one position, so expected the same changelog: " +
                            *found->second->changelog + " (or none in all of them)",
                        false});
  }
}

void check_topics(const config::Config& config, std::vector<config::Problem>& problems) {
  if (!config.kafka) return;
  const std::string& progress = config.kafka->progress_topic;
  for (const Written& written : output_topics(config)) {
    if (written.topic == progress) problems.push_back({written.at, written.path, "'" + progress + "' is the progress topic, which takes no records; expected another one", false});
    else if (is_kafkas_own(written.topic)) problems.push_back({written.at, written.path, "'" + written.topic + "' is Kafka's own; expected another one", false});
  }
  for (const config::Source& source : config.sources) {
    const auto* kafka = std::get_if<config::KafkaSource>(&source.type);
    if (kafka == nullptr) continue;
    const auto refuse = [&](const std::string& what) { problems.push_back({kafka->topic_at, "sources." + source.name + ".kafka.topic", "'" + kafka->topic + "' is " + what + ", which has no records to read; expected another one", false}); };
    const auto keeps = [&](const config::Pipeline& pipeline) { return pipeline.changelog == kafka->topic; };
    if (kafka->topic == progress) refuse("the progress topic");
    else if (const auto pipeline = std::find_if(config.pipelines.begin(), config.pipelines.end(), keeps); pipeline != config.pipelines.end())
      refuse("the changelog of the pipeline '" + pipeline->name + "'");
  }
}

}  // namespace rivulet::pipeline
