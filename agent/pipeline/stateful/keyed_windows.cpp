#include "agent/pipeline/stateful/keyed_windows.h"

#include <algorithm>

#include "agent/base/bytes.h"

namespace rivulet::pipeline {
namespace {

std::string prefix(std::string_view key) {
  std::string name;
  put_sized(name, key);
  return name;
}

std::string row(std::string_view key, Timestamp start) {
  std::string name = prefix(key);
  put_u64_be(name, static_cast<std::uint64_t>(start));
  return name;
}

std::string row(std::string_view key, Timestamp start, Timestamp end) {
  std::string name = row(key, start);
  put_u64_be(name, static_cast<std::uint64_t>(end));
  return name;
}

std::string index_row(Timestamp due, std::string_view key) {
  std::string name;
  put_u64_be(name, static_cast<std::uint64_t>(due));
  name += key;
  return name;
}

}  // namespace

void KeyedWindows::load() {
  keys_.clear();
  find_next_due({});
}

// From there on: rows that were erased lately are still passed by a scan.
void KeyedWindows::find_next_due(std::string_view from) {
  next_due_ = INT64_MAX;
  state_->table(kIndexPart).scan(from, {}, [&](std::string_view name, std::string_view) {
    next_due_ = static_cast<Timestamp>(Reader(name).u64_be());
    return false;
  });
}

KeyedWindows::Windows& KeyedWindows::windows(std::string_view key) {
  if (const auto found = keys_.find(key); found != keys_.end()) return found->second;
  Windows& loaded = keys_[std::string(key)];
  const std::string from = prefix(key);
  state_->table(kMainPart).scan_prefix(from, [&](std::string_view name, std::string_view bytes) {
    Reader reader(name.substr(from.size()));
    Open open;
    static_cast<Entry&>(open) = decode(bytes);
    open.start = static_cast<Timestamp>(reader.u64_be());
    open.end = static_cast<Timestamp>(reader.u64_be());
    loaded.indexed = std::min(loaded.indexed, due(open));
    loaded.open.push_back(std::move(open));
    return true;
  });
  state_->table(kOtherPart).scan_prefix(from, [&](std::string_view name, std::string_view bytes) {
    Remembered record;
    record.timestamp_ms = static_cast<Timestamp>(Reader(name.substr(from.size())).u64_be());
    record.state = decode_state(bytes);
    record.dirty = false;
    loaded.indexed = std::min(loaded.indexed, forgotten(record));
    loaded.records.push_back(std::move(record));
    return true;
  });
  return loaded;
}

void KeyedWindows::remove(std::string_view key, Windows& from, std::size_t index) {
  const auto at = from.open.begin() + static_cast<std::ptrdiff_t>(index);
  state_->table(kMainPart).erase(row(key, at->start, at->end));
  from.open.erase(at);
}

void KeyedWindows::index(std::string_view key, Windows& windows) {
  if (time_.by_key()) return;  // its own records close it
  Timestamp next = INT64_MAX;
  for (const Open& open : windows.open) next = std::min(next, due(open));
  for (const Remembered& record : windows.records) next = std::min(next, forgotten(record));
  if (next >= windows.indexed) return;
  windows.indexed = next;
  next_due_ = std::min(next_due_, next);
  state_->table(kIndexPart).put(index_row(next, key), {});
}

void KeyedWindows::take_due(std::string_view key, Windows& from, Timestamp now, std::vector<Closing>& closing) {
  for (std::size_t i = from.open.size(); i-- > 0;) {
    if (due(from.open[i]) > now) continue;
    closing.push_back({std::string(key), std::move(from.open[i])});
    remove(key, from, i);
  }
  std::size_t old = 0;
  while (old < from.records.size() && forgotten(from.records[old]) <= now) state_->table(kOtherPart).erase(row(key, from.records[old++].timestamp_ms));
  from.records.erase(from.records.begin(), from.records.begin() + static_cast<std::ptrdiff_t>(old));
}

void KeyedWindows::close(std::vector<Closing>& closing, Emit& out) {
  std::sort(closing.begin(), closing.end(), [this](const Closing& a, const Closing& b) { return before(a.window, a.key, b.window, b.key); });
  for (Closing& one : closing) final(one.key, window(one.window), one.window, out);
}

void KeyedWindows::close_due(Timestamp now, Emit& out) {
  const std::string end = index_row(now + 1, {});
  while (next_due_ <= now) {
    std::vector<std::string> rows;
    state_->table(kIndexPart).scan(index_row(next_due_, {}), end, [&](std::string_view name, std::string_view) {
      rows.emplace_back(name);
      return rows.size() < kKeysAtOnce;
    });
    const bool all = rows.size() < kKeysAtOnce;
    // Else up to the last of them: all other keys have nothing that is due before.
    const Timestamp up_to = all ? now : static_cast<Timestamp>(Reader(rows.back()).u64_be());
    std::vector<Closing> closing;
    for (const std::string& name : rows) {
      const std::string_view key = std::string_view(name).substr(sizeof(Timestamp));
      state_->table(kIndexPart).erase(name);
      Windows& of_key = windows(key);
      take_due(key, of_key, up_to, closing);
      of_key.indexed = INT64_MAX;
      index(key, of_key);
      if (of_key.open.empty() && of_key.records.empty()) keys_.erase(keys_.find(key));
    }
    find_next_due(all ? end : rows.back());
    close(closing, out);
    if (next_due_ <= now && out.full()) return;
  }
}

void KeyedWindows::close_key(std::string_view key, StreamTime::Move move, Emit& out) {
  std::vector<Closing> closing;
  Windows& of_key = windows(key);
  take_due(key, of_key, move.to, closing);
  if (of_key.open.empty() && of_key.records.empty()) keys_.erase(keys_.find(key));
  close(closing, out);
}

KeyedWindows::Entry* KeyedWindows::find(std::string_view key, const Window& wanted) {
  for (Open& open : windows(key).open)
    if (window(open) == wanted) return &open;
  return nullptr;
}

bool KeyedWindows::place(std::string_view name, std::string_view& key, Window& of) const {
  Reader reader(name);
  key = reader.sized();
  Open open;
  open.start = static_cast<Timestamp>(reader.u64_be());
  open.end = static_cast<Timestamp>(reader.u64_be());
  of = window(open);
  return reader.ok() && reader.at_end();
}

KeyRange KeyedWindows::shown_range(std::string_view key) const { return range_of_prefix(prefix(key)); }

void KeyedWindows::save_entries() {
  for (auto& [key, of_key] : keys_) {
    for (Open& open : of_key.open) {
      if (!open.dirty) continue;
      state_->table(kMainPart).put(row(key, open.start, open.end), encode(open));
      open.dirty = false;
    }
    for (Remembered& record : of_key.records) {
      if (!record.dirty) continue;
      std::string bytes;
      aggregates_->encode(record.state, bytes);
      state_->table(kOtherPart).put(row(key, record.timestamp_ms), bytes);
      record.dirty = false;
    }
  }
  while (keys_.size() > state_->decoded_objects()) keys_.erase(keys_.begin());
}

}  // namespace rivulet::pipeline
