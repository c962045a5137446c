#include "agent/pipeline/row.h"

#include <algorithm>
#include <cstring>

#include "agent/codec/json.h"

namespace rivulet::pipeline {
namespace {

constexpr std::size_t kKeptFields = 256;  // of capacity, after a record with thousands

}  // namespace

std::string_view Arena::keep(std::string_view text) {
  if (text.size() > size_ - used_) {
    const std::size_t size = std::max(kChunkBytes, text.size());
    chunks_.push_back(std::make_unique<char[]>(size));
    used_ = 0;
    size_ = size;
  }
  char* to = chunks_.empty() ? nullptr : chunks_.back().get() + used_;
  if (!text.empty()) std::memcpy(to, text.data(), text.size());
  used_ += text.size();
  return {to, text.size()};
}

void Arena::reset() {
  if (chunks_.size() > 1 || size_ > kChunkBytes) {
    chunks_.clear();
    size_ = 0;
  }
  used_ = 0;
}

void Arena::release(const Mark& mark) {
  if (mark.chunks == 0) return reset();
  chunks_.resize(mark.chunks);
  used_ = mark.used;
  size_ = mark.size;
}

FieldName::FieldName(std::string text) : name(std::move(text)) { codec::append_json_string(quoted, name); }

void Row::clear() {
  key.reset();
  bytes.reset();
  timestamp_ms = 0;
  window.reset();
  change = nullptr;
  changed = false;
  fields.clear();
  if (fields.capacity() > kKeptFields) fields = std::vector<Field>();
}

const Field* Row::find(std::string_view name) const {
  for (const Field& field : fields)
    if (field.name == name) return &field;
  return nullptr;
}

void Row::set(const FieldName& name, std::string_view token) {
  changed = true;
  for (Field& field : fields)
    if (field.name == name.name) {
      field.token = token;
      field.text = false;
      return;
    }
  fields.push_back({name.name, name.quoted, token, false});
}

void Row::drop(std::string_view name) {
  const auto gone = std::remove_if(fields.begin(), fields.end(), [&](const Field& field) { return field.name == name; });
  if (gone == fields.end()) return;
  fields.erase(gone, fields.end());
  changed = true;
}

void Row::rename(const std::vector<Renamed>& names) {
  const auto new_name = [&](std::string_view name) -> const FieldName* {
    const auto found = std::find_if(names.begin(), names.end(), [&](const Renamed& one) { return one.from == name; });
    return found == names.end() ? nullptr : &found->to;
  };
  for (const Renamed& one : names)
    if (find(one.from) != nullptr && new_name(one.to.name) == nullptr) drop(one.to.name);
  for (Field& field : fields) {
    const FieldName* to = new_name(field.name);
    if (to == nullptr || to->name == field.name) continue;
    field.name = to->name;
    field.quoted = to->quoted;
    changed = true;
  }
}

std::optional<std::string_view> Row::value(std::string& buffer) const {
  if (!changed || !bytes) return bytes;
  buffer.clear();
  buffer += '{';
  for (const Field& field : fields) {
    if (buffer.size() > 1) buffer += ',';
    buffer += field.quoted;
    buffer += ':';
    if (field.text) codec::append_json_string(buffer, field.token);
    else buffer += field.token;
  }
  buffer += '}';
  return buffer;
}

}  // namespace rivulet::pipeline
