#include "agent/pipeline/state/table.h"

#include <algorithm>

#include "agent/pipeline/state/state.h"

namespace rivulet::pipeline {
namespace {

constexpr std::size_t kRowsAtOnce = 256;  // one read statement: no read transaction lives longer
constexpr std::size_t kKeptChanges = 16 * 1024;  // of capacity

}  // namespace

StateTable::Entry& StateTable::change(std::string_view key) {
  auto found = entries_.find(key);
  if (found == entries_.end()) {
    found = entries_.emplace(std::string(key), Entry{}).first;
    found->second.in_file = !whole_;
    store_.bytes_ += StateStore::weight(key, found->second);
  }
  Entry& entry = found->second;
  if (entry.log != kChanged) {
    entry.log = kChanged;
    changed_.push_back(found);
    store_.changed_bytes_ += StateStore::weight(key, entry);
  }
  entry.used = true;
  return entry;
}

void StateTable::put(std::string_view key, std::string_view value) {
  Entry& entry = change(key);
  const std::size_t before = entry.value ? entry.value->size() : 0;
  if (entry.value) entry.value->assign(value);
  else entry.value.emplace(value);
  store_.bytes_ += value.size() - before;  // unsigned: a smaller value takes away
  store_.changed_bytes_ += value.size() - before;
}

void StateTable::erase(std::string_view key) {
  if (whole_ && entries_.find(key) == entries_.end()) return;
  Entry& entry = change(key);
  if (!entry.value) return;
  store_.bytes_ -= entry.value->size();
  store_.changed_bytes_ -= entry.value->size();
  entry.value.reset();
}

std::optional<std::string_view> StateTable::get(std::string_view key) {
  if (const auto found = entries_.find(key); found != entries_.end()) {
    found->second.used = true;
    return found->second.value ? std::optional<std::string_view>(*found->second.value) : std::nullopt;
  }
  if (whole_ || store_.failure_) return std::nullopt;
  auto read = store_.backend_.get(id_, key);
  if (!read) {
    store_.failure_ = read.error();
    return std::nullopt;
  }
  if (!*read) return std::nullopt;  // not remembered: a stream of new keys would fill the memory with what is not there
  return *keep(key, std::move(**read)).value;
}

StateTable::Entry& StateTable::keep(std::string_view key, std::string value) {
  Entry& entry = entries_.emplace(std::string(key), Entry{std::move(value), kInFile, true, false, true}).first->second;
  store_.bytes_ += StateStore::weight(key, entry);
  return entry;
}

result<void> StateTable::load(std::size_t up_to_bytes) {
  std::string next;
  std::vector<std::string> both;  // in the log and in the file
  while (store_.bytes_ < up_to_bytes) {
    auto rows = store_.backend_.rows(id_, next, {}, kRowsAtOnce);
    if (!rows) return rows.error();
    for (auto& [key, value] : *rows) {
      if (entries_.find(key) == entries_.end()) keep(key, std::move(value));
      else both.push_back(key);
    }
    if (rows->size() < kRowsAtOnce) {
      whole_ = true;
      break;
    }
    next = rows->back().first + '\0';
  }
  if (!whole_) return {};
  for (auto& [key, entry] : entries_) entry.in_file = entry.log == kInFile || std::binary_search(both.begin(), both.end(), key);
  return {};
}

void StateTable::log_changes(std::uint64_t number, std::string& body) {
  for (const auto changed : changed_) {
    Entry& entry = changed->second;
    if (entry.value || entry.logged || entry.in_file) store::append_change(body, id_, changed->first, entry.value);
    if (entry.value || entry.in_file) {
      entry.log = number;
      entry.logged = true;
    } else {  // nowhere but in the log, which says now that it is gone
      store_.bytes_ -= StateStore::weight(changed->first, entry);
      entries_.erase(changed);
    }
  }
  changed_.clear();
  if (changed_.capacity() > kKeptChanges) changed_.shrink_to_fit();
}

void StateTable::scan(std::string_view from, std::string_view to, const Visit& visit) {
  auto here = entries_.lower_bound(from);
  const auto ends = [&](std::string_view key) { return !to.empty() && key >= to; };
  const auto in_memory = [&](const std::string* below) {  // false: the visitor has seen enough
    for (; here != entries_.end() && !ends(here->first) && (below == nullptr || here->first < *below); ++here)
      if (here->second.value && !visit(here->first, *here->second.value)) return false;
    return true;
  };
  std::string next(from);
  for (bool more = !whole_ && !store_.failure_; more;) {
    auto rows = store_.backend_.rows(id_, next, to, kRowsAtOnce);
    if (!rows) {
      store_.failure_ = rows.error();
      return;
    }
    for (const auto& [key, value] : *rows) {
      if (!in_memory(&key)) return;
      if (here != entries_.end() && here->first == key) continue;  // memory has it newer, and visits it next
      if (!visit(key, value)) return;
    }
    more = rows->size() == kRowsAtOnce;
    if (more) next = rows->back().first + '\0';
  }
  in_memory(nullptr);
}

void StateTable::scan_prefix(std::string_view prefix, const Visit& visit) {
  std::string end(prefix);
  while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xff) end.pop_back();
  if (!end.empty()) end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  scan(prefix, end, visit);
}

}  // namespace rivulet::pipeline
