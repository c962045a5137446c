// restore_store(): an empty store filled from the configuration's changelogs; for `rivulet restore` and for agent.restore.
//
// Thread: start-up; blocks. Errors: as forward/restore.h; conflict: the store is in use already.
#pragma once
#include <memory>
#include <string>

#include "agent/base/clock.h"
#include "agent/config/config.h"
#include "agent/forward/restore.h"
#include "agent/forward/uplink.h"
#include "store/store.h"

namespace rivulet::app {

std::unique_ptr<forward::Uplink> kafka_uplink(const config::Config& config);

result<forward::Restored> restore_store(const config::Config& config, store::Store& store, forward::Uplink& uplink, const Clock& clock);

// At a start: refuses a store that a restore has left half full; with agent.restore fills an empty one first. A new agent has nothing to
// restore and begins empty.
result<void> restore_at_start(const config::Config& config, store::Store& store, forward::Uplink& uplink, const Clock& clock);

// Changelogs do not hold everything any more (state was changed by hand, or the cluster is another): the next start writes them anew.
// `all`: what waits of them is given up, too, and where they are is found out again.
result<void> forget_changelogs(store::Store& store, bool all);

}  // namespace rivulet::app
