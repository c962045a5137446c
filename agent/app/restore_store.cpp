#include "agent/app/restore_store.h"

#include <algorithm>
#include <future>

#include "agent/app/kafka_connection.h"
#include "agent/base/log.h"
#include "agent/forward/kafka_uplink.h"
#include "agent/forward/prepared.h"
#include "agent/pipeline/changelog_units.h"
#include "agent/pipeline/state/memory.h"
#include "agent/pipeline/topology.h"
#include "store/changelog.h"

namespace rivulet::app {
namespace {

constexpr std::size_t kNoState = 1 << 16;  // of a topology that is only asked what its steps mean

// Steps that mean something else now are refused, as state is at a start. Steps that only one side has are no contradiction.
result<void> means_the_same(const config::Config& config, const Clock& clock, const store::ChangelogCatalogue& catalogue) {
  std::vector<config::Problem> problems;
  const auto topology = pipeline::Topology::build(config, clock, problems);
  if (topology == nullptr) return Error{ErrorCode::invalid, problems.empty() ? "the configuration is not in order" : problems.front().text()};
  pipeline::StateMemory memory;
  pipeline::StateStore state(memory, kNoState);
  if (auto attached = topology->attach(state); !attached) return attached;
  for (const auto& step : state.opened())
    for (const auto& kept : catalogue.steps)
      if (kept.pipeline == step.pipeline && kept.step == step.step && kept.definition != step.definition)
        return Error{ErrorCode::conflict, "the changelog has the state of step '" + step.step + "' of pipeline '" + step.pipeline +
                                              "' under another definition of it, which means something else; restore with the configuration that the lost device had, or give the step another name"};
  return {};
}

bool has_changelogs(const config::Config& config) { return !pipeline::changelog_units(config).empty(); }

}  // namespace

std::unique_ptr<forward::Uplink> kafka_uplink(const config::Config& config) {
  forward::KafkaUplinkOptions options;
  options.connection = connection_of(*config.kafka, "rivulet-" + config.agent.id);
  options.agent_id = config.agent.id;
  options.transaction_timeout_ms = config.kafka->transaction_timeout_ms;
  options.queue_bytes = std::max<std::size_t>(config.agent.memory_bytes / 8, 1 << 20);
  return forward::make_kafka_uplink(std::move(options));
}

result<forward::Restored> restore_store(const config::Config& config, store::Store& store, forward::Uplink& uplink, const Clock& clock) {
  const auto unused = store.unused();
  if (!unused) return unused.error();
  if (!*unused)
    return Error{ErrorCode::conflict, "restore: the store in " + config.agent.state + " is in use: it holds records, positions or state of its own; only an empty one can be filled. "
                                      "If you are sure that they may go, move the folder away"};
  forward::RestoreOptions options;
  options.agent_id = config.agent.id;
  options.progress_topic = config.kafka->progress_topic;
  for (const auto& unit : pipeline::changelog_units(config)) options.changelogs.push_back(unit.topic);
  options.accept = [&](const store::ChangelogCatalogue& catalogue) { return means_the_same(config, clock, catalogue); };
  return forward::restore(options, store, uplink, clock);
}

result<void> restore_at_start(const config::Config& config, store::Store& store, forward::Uplink& uplink, const Clock& clock) {
  const auto unfinished = store.fact(store::kRestoringFact);
  if (!unfinished) return unfinished.error();
  if (*unfinished && !config.agent.restore)
    return Error{ErrorCode::conflict, "store: a restore of " + config.agent.state + " was begun and not finished; run `rivulet restore` again, or remove the folder to begin from nothing"};
  if (!config.agent.restore || !has_changelogs(config)) return {};
  const auto unused = store.unused();
  if (!unused) return unused.error();
  if (!*unused) return {};
  auto restored = restore_store(config, store, uplink, clock);
  if (restored) {
    log::info("restored from the changelogs of incarnation {}: {} rows of state, {} positions, {} streams", restored->predecessor.text(), restored->rows, restored->positions, restored->streams);
    return {};
  }
  const auto begun = store.fact(store::kRestoringFact);
  if (!begun) return begun.error();
  if (*begun)
    return Error{restored.error().code, restored.error().message + "; the restore was begun, so this agent starts when it has ended (it begins again at each start), or from nothing when " +
                                            config.agent.state + " is removed"};
  if (restored.error().code != ErrorCode::not_found) return restored.error();
  log::info("{}; this agent begins from nothing", restored.error().message);
  return {};
}

result<void> forget_changelogs(store::Store& store, bool all) {
  const auto streams = store.streams();
  if (!streams) return streams.error();
  store::Epoch epoch;
  store::ForwardChange given_up;
  for (const auto& stream : *streams) {
    if (!store::is_changelog(stream.name)) continue;
    epoch.erase_position(stream.name, store::kGenerationKey);
    given_up.acknowledged.push_back({stream.id, stream.last});
  }
  if (epoch.empty()) return {};
  std::promise<result<void>> done;
  store.commit(std::move(epoch), [&](result<void> outcome) { done.set_value(std::move(outcome)); });
  if (auto forgotten = done.get_future().get(); !forgotten || !all) return forgotten;
  given_up.facts.emplace_back(forward::changelogs_fact, std::nullopt);
  return store.change(std::move(given_up));
}

}  // namespace rivulet::app
