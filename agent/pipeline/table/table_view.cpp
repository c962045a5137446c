#include "agent/pipeline/table/table_view.h"

#include "agent/base/bytes.h"

namespace rivulet::pipeline {
namespace {

constexpr std::uint8_t kText = 1, kTombstone = 2;

}  // namespace

void append_row(std::string& to, const TableRow& row) {
  put_u8(to, static_cast<std::uint8_t>((row.text ? kText : 0) | (row.tombstone ? kTombstone : 0)));
  put_zigzag(to, row.timestamp_ms);
  to += row.value;
}

std::optional<TableRow> read_row(std::string_view bytes) {
  Reader reader(bytes);
  TableRow row;
  const std::uint8_t flags = reader.u8();
  row.text = (flags & kText) != 0;
  row.tombstone = (flags & kTombstone) != 0;
  row.timestamp_ms = reader.zigzag();
  if (!reader.ok() || flags > (kText | kTombstone)) return std::nullopt;
  row.value = reader.rest();
  return row;
}

bool is_text(const Row& row) { return !row.changed && row.fields.size() == 1 && row.fields.front().text; }

result<const Row*> StoredRow::of(const TableRow& row) {
  row_.clear();
  row_.bytes = row.value;
  row_.timestamp_ms = row.timestamp_ms;
  if (row.text) {
    row_.fields.push_back({value_field_.name, value_field_.quoted, row.value, true});
    return &row_;
  }
  auto kind = json_.parse(row.value);
  if (!kind) return kind.error();
  if (*kind == codec::JsonKind::other) row_.fields.push_back({value_field_.name, value_field_.quoted, json_.token(), false});
  for (const codec::JsonField& field : json_.fields()) row_.fields.push_back({field.name, field.quoted, field.token, false});
  return &row_;
}

}  // namespace rivulet::pipeline
