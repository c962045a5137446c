// TableView: a table as a join sees it. TableRow: a value with its time, as tables and joins keep it.
//
// Thread: io. Lifetime: within its Topology. Views are valid until the next call on the same table.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/ids.h"
#include "agent/pipeline/row.h"

namespace rivulet::pipeline {

struct TableRow {
  std::string_view value;
  Timestamp timestamp_ms = 0;
  bool text = false;       // the value is plain text (raw decoding), not JSON
  bool tombstone = false;  // no value: what a versioned table keeps
};

class TableView {
 public:
  virtual ~TableView() = default;
  virtual std::optional<TableRow> current(std::string_view key) = 0;
  // Of a versioned table: the row that was there at that time. Of another one: the current.
  virtual std::optional<TableRow> as_of(std::string_view key, Timestamp timestamp_ms) = 0;
};

// flags, time, value.
void append_row(std::string& to, const TableRow& row);
TableRow read_row(std::string_view bytes);  // views `bytes`

// What a Row that was not decoded as JSON says.
bool is_text(const Row& row);

}  // namespace rivulet::pipeline
