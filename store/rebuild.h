// Filling a store from changelogs: rows as they are, in the caller's transaction. Thread: store.
#pragma once
#include "store/sqlite.h"
#include "store/state_tables.h"
#include "store/store.h"

namespace rivulet::store {

result<bool> is_unused(Connection& connection);
// State goes into the table, not the log: nothing of it is newer than the rest. Error conflict: a step is there with another definition.
result<void> rebuild_rows(Connection& connection, StateTables& state, const Rebuild& rebuild);

}  // namespace rivulet::store
