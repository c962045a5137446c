// How commands reach an agent's store.
#pragma once
#include <memory>
#include <string>

#include "agent/base/clock.h"
#include "agent/config/config.h"
#include "agent/pipeline/topology.h"
#include "store/store.h"

namespace rivulet::app {

store::Options store_options(const config::Agent& agent);

// The configuration, to find the store by; problems become one message. Its secrets may be missing.
result<config::Config> load_for_store(const std::string& file);

// The store of the agent, made if there is none. Root is refused where the folder is another user's: what root makes
// there that user's agent could not open.
result<std::unique_ptr<store::Store>> open_store(const store::Options& options, const Clock& clock);

// Whether the state in `directory` is of these steps, read-only and on a connection of its own. Errors: conflict, as a start would refuse it; those of
// Inspect.
result<void> check_state(const pipeline::Topology& topology, const std::string& directory);

// For changes by hand: an existing store that no agent uses at the moment. `options`: store_options(), or changed ones.
result<std::unique_ptr<store::Store>> open_store_alone(const store::Options& options, const Clock& clock);

}  // namespace rivulet::app
