#include "agent/pipeline/thinning/held_record.h"

#include "agent/codec/json.h"

namespace rivulet::pipeline {
namespace {

enum Has : std::uint8_t { kKey = 1, kValue = 2, kText = 4, kWindow = 8, kSession = 16 };

}  // namespace

void put_held(std::string& to, const Row& row) {
  const bool text = !row.changed && row.fields.size() == 1 && row.fields.front().text;
  put_u8(to, static_cast<std::uint8_t>((row.key ? kKey : 0) | (row.bytes ? kValue : 0) | (text ? kText : 0) | (row.window ? kWindow : 0) | (row.window && row.window->session ? kSession : 0)));
  put_zigzag(to, row.timestamp_ms);
  if (row.window) {
    put_zigzag(to, row.window->start_ms);
    put_zigzag(to, row.window->end_ms);
  }
  if (row.key) put_sized(to, *row.key);
  std::string buffer;
  if (const auto value = row.value(buffer)) put_sized(to, *value);
}

bool read_held(Reader& from, Emitted& record) {
  const std::uint8_t has = from.u8();
  record = {};
  record.timestamp_ms = from.zigzag();
  if ((has & kWindow) != 0) {
    const Timestamp start_ms = from.zigzag();
    record.window = Window{start_ms, from.zigzag(), (has & kSession) != 0};
  }
  if ((has & kKey) != 0) record.key = from.sized();
  if ((has & kValue) != 0) record.value = from.sized();
  record.text = (has & kText) != 0;
  return from.ok();
}

std::string shown_value(const Emitted& record) {
  if (!record.value) return "null";
  if (!record.text) return std::string(*record.value);
  std::string json;
  codec::append_json_string(json, *record.value);
  return json;
}

}  // namespace rivulet::pipeline
