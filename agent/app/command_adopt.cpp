// The operator's way out when forwarding has stopped because the progress topic does not fit this store (PROTOCOL: clones,
// replaced disks, a replaced cluster). The agent must not run meanwhile: the store's lock sees to that.
#include <fmt/core.h>

#include <cstdio>

#include "agent/app/commands.h"
#include "agent/app/restore_store.h"
#include "agent/app/store_access.h"
#include "agent/forward/adopt.h"

namespace rivulet::app {
namespace {

int failed(const Error& error) {
  fmt::print(stderr, "{}\n", error.message);
  return kCannot;
}

}  // namespace

int command_adopt(const AdoptOptions& options) {
  const auto config = load_for_store(options.config);
  if (!config) return failed(config.error());
  const SystemClock clock;
  auto store = open_store_alone(store_options(config->agent), clock);
  if (!store) return failed(store.error());
  const auto described = forward::describe(**store);
  if (!described) return failed(described.error());
  const store::StoreStats stats = (*store)->stats();
  fmt::print("agent {}, incarnation {}, {} records wait\n{}\n", config->agent.id, (*store)->identity().incarnation.text(),
             stats.outbox_records, *described);
  if (!options.yes) {
    fmt::print("With `rivulet adopt --yes` the next start takes the progress topic as it is: what is under way is judged by the progress\n"
               "record alone, and forwarding goes on from there. Do this only when you are sure that no other agent uses the id '{}':\n"
               "with two of them records are lost or doubled. If this state is a backup that was put back, what a source gives again of the\n"
               "time since then goes to Kafka a second time.\n", config->agent.id);
    return kNotInOrder;
  }
  if (const auto adopted = forward::adopt(**store); !adopted) return failed(adopted.error());
  if (const auto forgotten = forget_changelogs(**store, true); !forgotten) return failed(forgotten.error());
  fmt::print("adopted; start the agent now\n");
  return kDone;
}

}  // namespace rivulet::app
