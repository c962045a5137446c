// Query: SELECTs over the state of stateful steps, as of one commit, beside a running agent.
//
// Each step that has something to show is a table "PIPELINE.STEP", and PIPELINE alone where the pipeline has one such step. Its columns: key,
// window_start and window_end where there are windows (as in the results: the end is exclusive for tumbling and hopping windows,
// inclusive for sliding ones and sessions), then what the step selects, as it would emit it now (or `value`, JSON, where the fields are
// not known), then ts. A field that is called like a column before it gets _2. Rows are decoded by the step's own code.
// Beside them `outbox` (what waits for Kafka) and `quarantine` (store_table.h); a step that is called so has the name, and theirs are "store.outbox", "store.quarantine".
// Nothing can be changed: an authorizer allows reading and computing. Sorting and grouping spill to a temporary file.
// Thread: one. Lifetime: the Topology outlives it. Bounds: Limits::read_ms from open to the last row (the agent's WAL grows meanwhile), of
// memory kOverlayBytes a table (store/state_snapshot.h) and SQLite's caches. Errors: what a person must change.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/result.h"
#include "agent/pipeline/topology.h"

namespace rivulet::pipeline {

struct QueryTable {
  std::vector<std::string> names;  // by which it is asked for; the first is the whole one
  std::string pipeline, step;
  std::vector<std::string> columns;
};

// The tables of a configuration. A name that two steps could claim (SQL knows no case) belongs to none; `clashes` says so.
std::vector<QueryTable> query_tables(const Topology& topology, std::vector<std::string>& clashes);

// `outbox` and `quarantine`, by the names that `tables` leaves to them; their `pipeline` is empty, `step` says which.
std::vector<QueryTable> store_tables(const std::vector<QueryTable>& tables);

struct Blob {
  std::string_view bytes;
};
using QueryValue = std::variant<std::monostate, std::int64_t, double, std::string_view, Blob>;  // text is UTF-8

class QueryRows {
 public:
  virtual ~QueryRows() = default;
  virtual result<void> columns(const std::vector<std::string>& names) = 0;
  virtual result<void> row(const std::vector<QueryValue>& values) = 0;  // views until it returns
};

struct QueryLimits {
  std::int64_t read_ms = 5000;
};

// Opens the store in `directory`, runs one SELECT, and lets go of the store before it returns.
result<void> query(const Topology& topology, const std::string& directory, const Clock& clock, const QueryLimits& limits, const std::string& sql, QueryRows& rows);

}  // namespace rivulet::pipeline
