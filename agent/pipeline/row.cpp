#include "agent/pipeline/row.h"

#include <algorithm>
#include <cstring>

#include "agent/codec/json.h"

namespace rivulet::pipeline {

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

const Field* Row::find(std::string_view name) const {
  for (const Field& field : fields)
    if (field.name == name) return &field;
  return nullptr;
}

void Row::set(std::string_view name, std::string_view token) {
  changed = true;
  for (Field& field : fields)
    if (field.name == name) {
      field.token = token;
      field.text = false;
      return;
    }
  fields.push_back({name, token, false});
}

void Row::drop(std::string_view name) {
  const auto gone = std::remove_if(fields.begin(), fields.end(), [&](const Field& field) { return field.name == name; });
  if (gone == fields.end()) return;
  fields.erase(gone, fields.end());
  changed = true;
}

void Row::rename(std::string_view from, std::string_view to) {
  if (from == to || find(from) == nullptr) return;
  drop(to);
  for (Field& field : fields)
    if (field.name == from) field.name = to;
  changed = true;
}

std::optional<std::string_view> Row::value(std::string& buffer) const {
  if (!changed || !bytes) return bytes;
  buffer.clear();
  buffer += '{';
  for (const Field& field : fields) {
    if (buffer.size() > 1) buffer += ',';
    codec::append_json_string(buffer, field.name);
    buffer += ':';
    if (field.text) codec::append_json_string(buffer, field.token);
    else buffer += field.token;
  }
  buffer += '}';
  return buffer;
}

}  // namespace rivulet::pipeline
