// The topology in words: what comes from where, what happens to it, where it goes, and what each part guarantees.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "agent/app/agent.h"
#include "agent/app/checked_config.h"
#include "agent/app/commands.h"
#include "agent/app/topology_picture.h"
#include "agent/pipeline/changelog_units.h"
#include "agent/pipeline/decoding.h"
#include "agent/pipeline/stateful/operator.h"
#include "agent/pipeline/steps.h"
#include "agent/sink/sinks.h"
#include "agent/source/factory.h"

namespace rivulet::app {
namespace {

std::string duration(std::int64_t ms) {
  if (ms % 60'000 == 0 && ms > 0) return fmt::format("{}m", ms / 60'000);
  if (ms % 1000 == 0) return fmt::format("{}s", ms / 1000);
  return fmt::format("{}ms", ms);
}

std::string size(std::uint64_t bytes) {
  if (bytes % (1ULL << 30) == 0) return fmt::format("{}GiB", bytes >> 30);
  if (bytes % (1ULL << 20) == 0) return fmt::format("{}MiB", bytes >> 20);
  return fmt::format("{}KiB", bytes >> 10);
}

std::string list(const std::vector<std::string>& names) { return fmt::format("{}", fmt::join(names, ", ")); }

void explain_agent(const config::Config& config) {
  const config::Agent& agent = config.agent;
  fmt::print("agent {}\n  state in {}, at most {}; when full: {}\n", agent.id, agent.state, size(agent.storage_max_bytes),
             agent.drop_oldest ? "the oldest records are dropped, counted, and a gap record stands in their place"
                               : "sources are not acknowledged and wait; what cannot wait is dropped and counted");
  fmt::print("  an epoch commits after {} at most, or at {}: an acknowledged record is on disk; the window is what a source that cannot\n"
             "  send again can lose\n", duration(agent.commit_interval_ms), size(epoch_bytes_for(agent)));
  if (!config.kafka) {
    fmt::print("kafka\n  none: records for topics are stored and not forwarded\n\n");
    return;
  }
  const config::Kafka& kafka = *config.kafka;
  fmt::print("kafka\n  brokers {}{}{}\n", list(kafka.brokers), kafka.tls ? ", TLS" : "", kafka.sasl ? ", SASL " + kafka.sasl->mechanism : "");
  if (kafka.exactly_once)
    fmt::print("  exactly once, in order within a partition, for read_committed consumers: a transaction each {}; transactional id rivulet-{},\n"
               "  progress topic {}\n\n", duration(kafka.transaction_interval_ms), agent.id, kafka.progress_topic);
  else
    fmt::print("  at least once: after a crash or a lost reply records can come twice{}\n\n",
               kafka.headers ? "; readers can tell by the rv header" : " (and headers are off, so readers cannot tell)");
}

void explain_source(const config::Config& config, const config::Source& source) {
  fmt::print("source {} ({})\n  {}\n", source.name, type_name(source), source::guarantee(source));
  fmt::print("  decode {}; key {}; timestamp {}\n", pipeline::describe(source.decode),
             source.key.empty() ? "none" : source.key, source.timestamp ? "from " + source.timestamp->field : "at arrival");
  fmt::print("  undecodable records go to {}\n", source.undecodable ? "the topic " + *source.undecodable : "quarantine (`rivulet quarantine list`)");
  std::vector<std::string> readers;
  for (const auto& pipeline : config.pipelines) {
    const bool joins = std::any_of(pipeline.steps.begin(), pipeline.steps.end(), [&](const config::Step& step) { return pipeline::joined_with(step) == source.name; });
    if (joins || std::find(pipeline.from.begin(), pipeline.from.end(), source.name) != pipeline.from.end()) readers.push_back(pipeline.name);
  }
  fmt::print("  read by {}\n\n", readers.empty() ? "no pipeline: its records go nowhere" : list(readers));
}

void explain_table(const config::LookupTable& table) {
  if (table.kind == config::LookupTable::Kind::file)
    fmt::print("table {}\n  {}, by {}; loaded anew about a second after it changed, whole or not at all: write another file and rename it over this one\n", table.name, table.path, table.key);
  else
    fmt::print("table {}\n  {} in {}, by {}; read as it is: all lookups of an epoch see one commit of it\n", table.name, table.query, table.path, table.key);
  fmt::print("  a result has the row as it was when its record came; after a crash, what was not yet stored is joined with the row as it is then\n"
             "  sources wait until the table can be read\n\n");
}

void explain_pipeline(const config::Pipeline& pipeline) {
  fmt::print("pipeline {}\n  from {}\n", pipeline.name, list(pipeline.from));
  for (const auto& step : pipeline.steps) fmt::print("  {}\n", pipeline::describe(step));
  for (const auto& to : pipeline.to) {
    if (to.local) fmt::print("  {}\n", sink::describe(*to.local));
    else fmt::print("  to topic {}, key {}\n", to.topic, to.key ? to.key->sql : "as the record's");
  }
  const bool routes = config::outputs_of(pipeline).size() > pipeline.to.size();
  fmt::print("{}\n", !pipeline.to.empty() ? "" : routes ? "  to the topics of its route, and other pipelines\n" : "  to other pipelines only\n");
}

void explain_reload(const config::Config& config) {
  std::vector<std::string> cannot_repeat;
  for (const auto& source : config.sources)
    if (source::guarantee(source).rfind("at most once", 0) == 0) cannot_repeat.push_back(source.name);
  fmt::print("reload (SIGHUP, systemctl reload)\n  takes the file anew, as a whole or not at all; what is refused leaves the one before at work, and `rivulet status` says so. All but agent.id,\n"
             "  agent.state and outputs to file, mqtt and stdout (with the name of their pipeline) may change; these need a restart. Sources wait while\n"
             "  the last epoch commits, and go on with their connections; one whose own settings changed is closed and opened anew, from its durable position{}.\n"
             "  A stateful step goes on with its state; one whose definition changed is refused, as at a start\n\n",
             cannot_repeat.empty() ? "" : "; for those that cannot send again (" + list(cannot_repeat) + ") what comes meanwhile is lost");
}

void explain_changelog(const config::Config& config, const pipeline::ChangelogUnit& unit) {
  fmt::print("changelog {}\n  of {}; read from {}\n", unit.topic, list(unit.pipelines), list(unit.sources));
  fmt::print("  state, positions and sequence numbers go there in the transaction of the results that they belong to; these streams are held and sent\n"
             "  together, whole epochs at a time; storage limits never drop it. `rivulet restore`{} on a replaced device goes on where the\n"
             "  results in Kafka end, nothing missing and nothing twice, as far as sources can send again what was not forwarded:\n", config.agent.restore ? " (agent.restore: at the first start)" : "");
  for (const auto& source : config.sources) {
    if (std::find(unit.sources.begin(), unit.sources.end(), source.name) == unit.sources.end()) continue;
    const bool kafka = std::holds_alternative<config::KafkaSource>(source.type);
    const bool file = std::holds_alternative<config::FileSource>(source.type), mqtt = std::holds_alternative<config::MqttSource>(source.type);
    fmt::print("    {}: {}\n", source.name,
               kafka  ? "read on from the offsets in the changelog"
               : file ? "files that survive the device are read on from there; one that does not is gone with it"
               : mqtt ? "what was acknowledged to the server and not yet forwarded is lost with the device; what was not acknowledged comes again and is recognised by "
                        "packet id, topic and payload (an id that the lost device had freed, reused for the very same message, would be taken for its redelivery)"
                      : "what was acknowledged and not yet forwarded is lost with the device");
  }
  fmt::print("\n");
}

}  // namespace

int command_explain(const std::string& file, ExplainAs as) {
  const SystemClock clock;
  const CheckedConfig checked = check_config(file, clock, config::Secrets::unused);
  if (!print_problems(checked)) return kNotInOrder;
  if (as != ExplainAs::words) {
    const TopologyPicture picture(checked.config, *checked.topology);
    fmt::print("{}", as == ExplainAs::dot ? picture.dot() : picture.mermaid());
    return kDone;
  }
  explain_agent(checked.config);
  for (const auto& source : checked.config.sources) explain_source(checked.config, source);
  for (const auto& table : checked.config.tables) explain_table(table);
  for (const auto& pipeline : checked.config.pipelines) explain_pipeline(pipeline);
  for (const auto& unit : pipeline::changelog_units(checked.config)) explain_changelog(checked.config, unit);
  explain_reload(checked.config);
  fmt::print("streams\n");
  for (const auto& output : checked.topology->outputs()) fmt::print("  {} -> {}{}\n", output.stream, store::is_local(output.topic) ? "" : "topic ", output.topic);
  return kDone;
}

}  // namespace rivulet::app
