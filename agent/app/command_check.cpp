#include <fmt/core.h>

#include <algorithm>

#include "agent/app/checked_config.h"
#include "agent/app/commands.h"
#include "agent/config/document.h"

namespace rivulet::app {

int command_check(const std::string& config, const CheckOptions& options) {
  if (options.schema) fmt::print("{}", config::json_schema());
  if (options.reference) fmt::print("{}", config::reference());
  if (options.schema || options.reference) return kDone;
  const SystemClock clock;
  const CheckedConfig checked = check_config(config, clock);
  const bool ok = print_problems(checked);
  const auto warnings = std::count_if(checked.problems.begin(), checked.problems.end(), [](const auto& problem) { return problem.warning; });
  const auto errors = static_cast<std::ptrdiff_t>(checked.problems.size()) - warnings;
  if (!ok) {
    fmt::print(stderr, "{}: {} problem{}; nothing was started\n", config, errors, errors == 1 ? "" : "s");
    return kNotInOrder;
  }
  fmt::print("{}: in order ({} sources, {} pipelines, {} topics{})\n", config, checked.config.sources.size(), checked.config.pipelines.size(),
             checked.topology->outputs().size(), warnings > 0 ? fmt::format(", {} warnings", warnings) : "");
  return kDone;
}

}  // namespace rivulet::app
