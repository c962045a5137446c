// ShownTable: one step's state as a virtual table of SQLite (sqlite.org/vtab.html), read-only and eponymous: its name is the module's.
//
// Thread: the connection's. Lifetime: Reading outlives the connection. Errors become SQLite's, with a message of our own; a reading that
// Reading::stop ended becomes SQLITE_INTERRUPT.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/pipeline/stateful/operator.h"
#include "agent/pipeline/topology.h"
#include "store/state_snapshot.h"

struct sqlite3;

namespace rivulet::pipeline {

struct Reading {
  store::StateSnapshot& snapshot;
  std::function<bool()> stop;
  bool declaring = false;  // SQLite asks the authorizer about its own schema then
};

// What a table is made from; it stays where it is while the connection lives.
struct ShownTable {
  Topology::ShownStep step;
  Shown shown;
  std::vector<std::string> columns;
  Reading* reading = nullptr;
};

std::vector<std::string> columns_of(const Shown& shown);
result<void> add_table(sqlite3* db, const std::string& name, ShownTable& table);

}  // namespace rivulet::pipeline
