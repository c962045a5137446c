#include "agent/pipeline/table/table_view.h"

#include "agent/base/bytes.h"
#include "agent/base/check.h"

namespace rivulet::pipeline {
namespace {

constexpr std::uint8_t kText = 1, kTombstone = 2;

}  // namespace

void append_row(std::string& to, const TableRow& row) {
  put_u8(to, static_cast<std::uint8_t>((row.text ? kText : 0) | (row.tombstone ? kTombstone : 0)));
  put_zigzag(to, row.timestamp_ms);
  to += row.value;
}

TableRow read_row(std::string_view bytes) {
  Reader reader(bytes);
  TableRow row;
  const std::uint8_t flags = reader.u8();
  row.text = (flags & kText) != 0;
  row.tombstone = (flags & kTombstone) != 0;
  row.timestamp_ms = reader.zigzag();
  RV_CHECK(reader.ok(), "a row of a table's state is whole");
  row.value = reader.rest();
  return row;
}

bool is_text(const Row& row) { return !row.changed && row.fields.size() == 1 && row.fields.front().text; }

}  // namespace rivulet::pipeline
