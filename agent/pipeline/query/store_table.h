// StoreTable: what the store holds beside state, as virtual tables: `outbox`, the records that wait for Kafka, and `quarantine`.
//
// Read-only, eponymous, as of the same commit as the tables of state. A row is decoded when it is asked for; of the outbox one pack is in memory. WHERE
// stream = '...' reads that stream only. Keys and values are text; bytes that are not UTF-8 are
// a blob, so that two of them are told apart. Thread, lifetime, errors: as shown_table.h.
#pragma once
#include <string>
#include <vector>

#include "agent/pipeline/query/shown_table.h"

namespace rivulet::pipeline {

struct StoreTable {
  enum class Kind { outbox, quarantine } kind;
  Reading* reading = nullptr;
};

std::vector<std::string> columns_of(StoreTable::Kind kind);
result<void> add_table(sqlite3* db, const std::string& name, StoreTable& table);

}  // namespace rivulet::pipeline
