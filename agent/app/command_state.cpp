// What stateful steps keep: list reads beside a running agent; the rest needs the store for itself.
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>

#include "agent/app/commands.h"
#include "agent/app/restore_store.h"
#include "agent/app/store_access.h"
#include "agent/pipeline/stateful/stream_time.h"
#include "store/inspect.h"

namespace rivulet::app {
namespace {

int failed(const Error& error) {
  fmt::print(stderr, "{}\n", error.message);
  return kCannot;
}

bool configured(const config::Config& config, const std::string& pipeline, const std::string& step) {
  for (const config::Pipeline& one : config.pipelines)
    if (one.name == pipeline)
      return std::any_of(one.steps.begin(), one.steps.end(), [&](const config::Step& each) { return config::is_stateful(each) && each.name == step; });
  return false;
}

int list(const config::Config& config) {
  auto look = store::Inspect::open(config.agent.state);
  if (!look) return failed(look.error());
  const auto steps = look->state();
  if (!steps) return failed(steps.error());
  if (steps->empty()) fmt::print("no step keeps state\n");
  else fmt::print("(rows in the table; what the latest epochs changed is in the log until it is folded, and not counted)\n");
  for (const store::StateStep& step : *steps)
    fmt::print("{:<24} {:<24} {:>9} rows {:>12} bytes{}\n", step.pipeline, step.step, step.rows, step.bytes,
               configured(config, step.pipeline, step.step) ? "" : "   no step of the configuration: `rivulet state drop " + step.pipeline + " " + step.step + "` removes it");
  return kDone;
}

}  // namespace

int command_state(const StateOptions& options) {
  using Action = StateOptions::Action;
  const auto config = load_for_store(options.config);
  if (!config) return failed(config.error());
  if (options.action == Action::list) return list(*config);
  const bool used = configured(*config, options.pipeline, options.step);
  if (options.action == Action::drop && used) {
    fmt::print(stderr, "the step {} of pipeline {} is in the configuration; `rivulet state reset {} {}` lets it begin anew\n", options.step, options.pipeline, options.pipeline, options.step);
    return kNotInOrder;
  }
  const SystemClock clock;
  auto store = open_store_alone(store_options(config->agent), clock);
  if (!store) return failed(store.error());
  if (const auto forgotten = forget_changelogs(**store, false); !forgotten) return failed(forgotten.error());
  const bool whole = options.action != Action::reset_time;
  const auto done = (*store)->forget_state(options.pipeline, options.step, whole, [whole](std::uint32_t part, std::string_view key) { return whole || pipeline::is_stream_time(part, key); });
  if (!done) return failed(done.error());
  if (!*done) {
    fmt::print(stderr, "there is no state of a step {} of pipeline {}; `rivulet state list` shows what there is\n", options.step, options.pipeline);
    return kNotInOrder;
  }
  fmt::print("{}\n", whole ? "the state is gone" : "the stream time is gone: the next record sets it");
  return kDone;
}

}  // namespace rivulet::app
