// A replaced device: its empty state folder is filled from the changelogs in Kafka. The agent must not run meanwhile.
#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>

#include "agent/app/checked_config.h"
#include "agent/app/commands.h"
#include "agent/app/restore_store.h"
#include "agent/app/store_access.h"
#include "agent/pipeline/changelog_units.h"

namespace rivulet::app {
namespace {

int failed(const Error& error) {
  fmt::print(stderr, "{}\n", error.message);
  return error.code == ErrorCode::not_found || error.code == ErrorCode::conflict ? kNotInOrder : kCannot;
}

}  // namespace

int command_restore(const RestoreOptions& options) {
  const SystemClock clock;
  const CheckedConfig checked = check_config(options.config, clock);
  if (!print_problems(checked)) return kNotInOrder;
  const config::Config& config = checked.config;
  if (!config.kafka || pipeline::changelog_units(config).empty()) {
    fmt::print(stderr, "{} has no pipeline with a changelog: there is nothing to restore from\n", options.config);
    return kNotInOrder;
  }
  auto store = open_store(store_options(config.agent), clock);
  if (!store) return failed(store.error());
  const auto uplink = kafka_uplink(config);
  const auto restored = restore_store(config, **store, *uplink, clock);
  if (!restored) return failed(restored.error());
  fmt::print("agent {}: {} rows of state, {} positions and {} streams were read from its changelogs (incarnation {}).\n"
             "The device before can forward nothing any more. Start this one; it goes on from what was forwarded.\n",
             config.agent.id, restored->rows, restored->positions, restored->streams, restored->predecessor.text());
  return kDone;
}

}  // namespace rivulet::app
