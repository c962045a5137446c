// TableView: a table as a join sees it. TableRow: a value with its time, as tables and joins keep it.
//
// The tables of steps lie in the state; those of ../lookup are filled from elsewhere.
// Thread: io. Lifetime: within its Topology. Views are valid until the next call on the same table.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/ids.h"
#include "agent/base/result.h"
#include "agent/codec/json.h"
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
  // Why the last call could not tell. (Of a table in the state StateStore::failure() says it.)
  virtual std::optional<Error> trouble() const { return std::nullopt; }
};

using Tables = std::map<std::string, TableView*, std::less<>>;  // by "<pipeline>/<step>" of the table step, or the lookup table's name

// flags, time, value.
void append_row(std::string& to, const TableRow& row);
std::optional<TableRow> read_row(std::string_view bytes);  // views `bytes`; nothing: they are damaged

// What a Row that was not decoded as JSON says.
bool is_text(const Row& row);

// A kept row's fields. Thread: io.
class StoredRow {
 public:
  // Views `row` and itself, until the next call. Error: not JSON.
  result<const Row*> of(const TableRow& row);

 private:
  Row row_;
  const FieldName value_field_{"value"};
  codec::JsonDocument json_;
};

}  // namespace rivulet::pipeline
