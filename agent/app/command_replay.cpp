// The configuration's pipelines on records from standard input. The clock stands still except for {"advance":ms}.
#include <fmt/core.h>

#include <cstdio>
#include <iostream>

#include "agent/app/checked_config.h"
#include "agent/app/commands.h"
#include "agent/app/logging.h"
#include "agent/pipeline/replay.h"

namespace rivulet::app {

int command_replay(const ReplayOptions& options) {
  set_up_logging(LogTo::standard_error, "info");  // standard output is the result's
  ManualClock clock;
  CheckedConfig checked = check_config(options.config, clock, config::Secrets::unused);
  if (!print_problems(checked)) return kNotInOrder;
  std::ios::sync_with_stdio(false);
  std::cin.tie(nullptr);  // the output is flushed epoch by epoch, not whenever input is waited for
  const auto done = pipeline::replay(checked.config, *checked.topology, clock, std::cin, std::cout, {options.epoch_lines, options.drops, options.restart_every});
  if (done) return kDone;
  fmt::print(stderr, "{}\n", done.error().message);
  return kCannot;
}

}  // namespace rivulet::app
