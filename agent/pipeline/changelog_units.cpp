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

std::set<std::string> output_topics(const config::Config& config) {
  std::set<std::string> topics;
  for (const config::Source& source : config.sources)
    if (source.undecodable) topics.insert(*source.undecodable);
  for (const config::Pipeline& pipeline : config.pipelines) {
    for (const config::Output* output : config::outputs_of(pipeline))
      if (!output->local) topics.insert(output->topic);
    for (const config::Step& step : pipeline.steps)
      if (const auto late = late_topic(step)) topics.insert(*late);
  }
  return topics;
}

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
  const std::set<std::string> outputs = output_topics(config);
  std::map<std::string, const config::Pipeline*> first_with;  // by what stands for the connected ones
  for (const config::Pipeline& pipeline : config.pipelines) {
    if (!pipeline.changelog) continue;
    first_with.emplace(connected.of(pipeline.name), &pipeline);
    const auto problem = [&](std::string message) { problems.push_back({pipeline.at, "pipelines." + pipeline.name + ".changelog", std::move(message), false}); };
    if (outputs.contains(*pipeline.changelog)) problem("'" + *pipeline.changelog + "' takes records as well, expected a topic of its own");
    if (!config.kafka) problem("there is no kafka section, expected one: the changelog lives in Kafka");
    else if (!config.kafka->exactly_once) problem("needs kafka.delivery: exactly-once, because state and results go in one transaction");
    else if (*pipeline.changelog == config.kafka->progress_topic) problem("'" + *pipeline.changelog + "' is the progress topic, expected a topic of its own");
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

}  // namespace rivulet::pipeline
