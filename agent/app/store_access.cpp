#include "agent/app/store_access.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/app/agent.h"
#include "store/inspect.h"
#include "store/state.h"

namespace rivulet::app {

store::Options store_options(const config::Agent& agent) {
  store::Options options;
  options.directory = agent.state;
  options.agent_id = agent.id;
  options.max_bytes = agent.storage_max_bytes;
  options.when_full = agent.drop_oldest ? store::WhenFull::drop_oldest : store::WhenFull::refuse;
  options.compression = agent.compression == "none" ? store::Compression::none
                        : agent.compression == "lz4" ? store::Compression::lz4
                                                     : store::Compression::zstd;
  options.epoch_max_bytes = epoch_bytes_for(agent);
  return options;
}

result<config::Config> load_for_store(const std::string& file) {
  config::Loaded loaded = config::load(file, config::Secrets::unused);
  if (loaded.ok()) return std::move(loaded.config);
  std::string message;
  for (const auto& problem : loaded.problems) {
    if (problem.warning) continue;
    if (!message.empty()) message += '\n';
    message += problem.text();
  }
  return Error{ErrorCode::invalid, message};
}

result<std::unique_ptr<store::Store>> open_store(const store::Options& options, const Clock& clock) {
  struct stat folder{};
  if (::geteuid() == 0 && ::stat(options.directory.c_str(), &folder) == 0 && folder.st_uid != 0) {
    const passwd* const owner = ::getpwuid(folder.st_uid);
    const std::string user = owner != nullptr ? owner->pw_name : "'#" + std::to_string(folder.st_uid) + "'";
    return Error{ErrorCode::denied, options.directory + " belongs to the user " + user + ", whose agent could not open what root makes there; run this as that user: sudo -u " + user + " rivulet ..."};
  }
  return store::Store::open(options, clock);
}

result<void> check_state(const pipeline::Topology& topology, const std::string& directory) {
  if (!topology.stateful()) return {};
  auto file = store::Inspect::open(directory);
  if (!file) return file.error();
  for (const auto& step : topology.stateful_steps()) {
    const auto kept = file->state_definition(step.pipeline, step.step);
    if (!kept) return kept.error();
    if (*kept && **kept != step.definition) return store::definition_changed(step.pipeline, step.step);
  }
  return {};
}

result<std::unique_ptr<store::Store>> open_store_alone(const store::Options& options, const Clock& clock) {
  const std::string file = options.directory + "/rivulet.db";
  if (::access(file.c_str(), R_OK | W_OK) != 0)
    return Error{ErrorCode::not_found, "no store at " + file + " that you may write; has the agent run with this agent.state, and are you its user (sudo -u rivulet)?"};
  return open_store(options, clock);
}

}  // namespace rivulet::app
