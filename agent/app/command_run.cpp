#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <thread>

#include "agent/app/checked_config.h"
#include "agent/app/commands.h"
#include "agent/app/logging.h"
#include "agent/app/service.h"
#include "agent/base/log.h"

namespace rivulet::app {

namespace {

// Then the standard output holds nothing else.
bool prints_records(const config::Config& config) {
  const auto prints = [](const config::Output& output) { return output.local && std::holds_alternative<config::StdoutOutput>(*output.local); };
  return std::any_of(config.pipelines.begin(), config.pipelines.end(), [&](const config::Pipeline& pipeline) { return std::any_of(pipeline.to.begin(), pipeline.to.end(), prints); });
}

}  // namespace

int command_run(const RunOptions& options) {
  const SystemClock clock;
  CheckedConfig checked = check_config(options.config, clock);
  set_up_logging(prints_records(checked.config) ? LogTo::standard_error : LogTo::standard_output, checked.config.log.level);
  for (const auto& problem : checked.problems) {
    if (problem.warning) log::warn("{}", problem.text());
    else log::error("{}", problem.text());
  }
  if (!checked.ok()) {
    log::error("{} is not in order: not started (the problems stand above; `rivulet check -c {}` shows them as well)", options.config, options.config);
    return kNotInOrder;
  }
  try {
    Service::Options service_options;
    service_options.drain_timeout_ms = options.drain_timeout_ms;
    auto service = Service::open(std::move(checked.config), std::move(checked.topology), clock, std::move(service_options));
    if (!service) {
      log::error("{}", service.error().message);
      return kCannot;
    }
    const int code = (*service)->run();
    if ((*service)->abandoned()) {
      log::flush();
      std::_Exit(code);
    }
    // What is left to take down may wait: for a name server that is silent, in a thread that is Asio's own. All that counts is stored.
    std::thread([code] {
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
      std::_Exit(code);
    }).detach();
    return code;
  } catch (const std::exception& error) {  // start-up only: a source or library that cannot be set up
    log::error("cannot start: {}", error.what());
    return kCannot;
  }
}

}  // namespace rivulet::app
