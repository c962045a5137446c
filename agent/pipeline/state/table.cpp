#include "agent/pipeline/state/table.h"

#include <algorithm>

#include "agent/pipeline/state/state.h"

namespace rivulet::pipeline {
namespace {

constexpr std::size_t kRowsAtOnce = 256;  // one read statement: no read transaction lives longer
constexpr std::size_t kFirstRows = 8;     // many scans only want the first row

}  // namespace

void StateTable::change(std::string_view key, std::optional<std::string_view> value) {
  Position at = rows_.lower_bound(key);
  PackedRows::Head before;
  const bool known = rows_.is(at, key);
  if (known) before = rows_.head(at);
  else if (!value && whole_) return;
  else before.flags = whole_ ? 0 : kMaybeInFile;
  at = rows_.put(at, key, value.value_or(std::string_view()));
  weigh();
  const std::size_t bytes = StateStore::weight(key.size(), value ? value->size() : 0);
  if (!known || before.log != kChanged) ++changed_;
  store_.changed_bytes_ += bytes - (known && before.log == kChanged ? StateStore::weight(key.size(), before.value_bytes) : 0);
  rows_.set(at, kChanged, static_cast<std::uint8_t>((before.flags & (kLogged | kMaybeInFile)) | kUsed | (value ? kValue : 0)));
}

void StateTable::put(std::string_view key, std::string_view value) { change(key, value); }
void StateTable::erase(std::string_view key) { change(key, std::nullopt); }

std::optional<std::string_view> StateTable::get(std::string_view key) {
  if (const Position at = rows_.lower_bound(key); rows_.is(at, key)) {
    const PackedRows::Head head = rows_.head(at);
    rows_.set(at, head.log, head.flags | kUsed);
    return (head.flags & kValue) != 0 ? std::optional(rows_.value(at)) : std::nullopt;
  }
  if (whole_ || store_.failure_) return std::nullopt;
  auto read = store_.backend_.get(id_, key);
  if (!read) {
    store_.failure_ = read.error();
    return std::nullopt;
  }
  if (!*read) return std::nullopt;  // not remembered: a stream of new keys would fill the memory with what is not there
  keep(key, **read);
  return rows_.value(rows_.lower_bound(key));
}

void StateTable::keep(std::string_view key, std::string_view value) {
  const Position at = rows_.put(rows_.lower_bound(key), key, value);
  rows_.set(at, kInFile, kValue | kUsed | kMaybeInFile);
  weigh();
}

void StateTable::read_log(std::uint32_t log, std::string_view key, std::optional<std::string_view> value) {
  const Position at = rows_.put(rows_.lower_bound(key), key, value.value_or(std::string_view()));
  rows_.set(at, log, static_cast<std::uint8_t>(kLogged | kMaybeInFile | (value ? kValue : 0)));
  weigh();
}

result<void> StateTable::load(std::size_t up_to_bytes) {
  std::string next;
  std::vector<std::string> both;  // in the log and in the file
  while (store_.bytes_ < up_to_bytes) {
    auto rows = store_.backend_.rows(id_, next, {}, kRowsAtOnce);
    if (!rows) return rows.error();
    for (const auto& [key, value] : *rows) {
      if (rows_.is(rows_.lower_bound(key), key)) both.push_back(key);
      else keep(key, value);
    }
    if (rows->size() < kRowsAtOnce) {
      whole_ = true;
      break;
    }
    next = rows->back().first + '\0';
  }
  if (!whole_) return {};
  for (Position at = rows_.begin(); !rows_.at_end(at); at = rows_.next(at)) {
    const PackedRows::Head head = rows_.head(at);
    if (head.log != kInFile && !std::binary_search(both.begin(), both.end(), rows_.key(at))) rows_.set(at, head.log, head.flags & ~kMaybeInFile);
  }
  return {};
}

StateTable::Position StateTable::drop(Position at) {
  const Position next = rows_.erase(at);
  weigh();
  return next;
}

void StateTable::weigh() {
  store_.bytes_ += rows_.memory_bytes() - weighed_;
  weighed_ = rows_.memory_bytes();
}

void StateTable::log_changes(std::uint32_t log, std::string& body) {
  if (changed_ == 0) return;
  for (Position at = rows_.begin(); !rows_.at_end(at);) {
    const PackedRows::Head head = rows_.head(at);
    if (head.log != kChanged) {
      at = rows_.next(at);
      continue;
    }
    const bool value = (head.flags & kValue) != 0, in_file = (head.flags & kMaybeInFile) != 0;
    if (value || in_file || (head.flags & kLogged) != 0) store::append_change(body, id_, rows_.key(at), value ? std::optional(rows_.value(at)) : std::nullopt);
    if (value || in_file) {
      rows_.set(at, log, head.flags | kLogged);
      at = rows_.next(at);
    } else {  // nowhere but in the log, which says now that it is gone
      at = drop(at);
    }
  }
  changed_ = 0;
}

void StateTable::fold(std::uint32_t after, std::uint32_t up_to, std::string& folded) {
  for (Position at = rows_.begin(); !rows_.at_end(at); at = rows_.next(at)) {
    const PackedRows::Head head = rows_.head(at);
    if (head.log <= after || head.log > up_to) continue;
    store::append_change(folded, id_, rows_.key(at), (head.flags & kValue) != 0 ? std::optional(rows_.value(at)) : std::nullopt);
    rows_.set(at, head.log, head.flags | kMaybeInFile);
  }
}

// These rows are as the file has them.
void StateTable::settle(std::uint32_t up_to) {
  for (Position at = rows_.begin(); !rows_.at_end(at);) {
    const PackedRows::Head head = rows_.head(at);
    if (head.log == kInFile || head.log > up_to) {  // also what changed meanwhile
      at = rows_.next(at);
    } else if ((head.flags & kValue) != 0) {
      rows_.set(at, kInFile, head.flags & ~kLogged);
      at = rows_.next(at);
    } else {
      at = drop(at);
    }
  }
}

void StateTable::evict(bool all) {
  for (Position at = rows_.begin(); !rows_.at_end(at) && store_.bytes_ > store_.budget_bytes_;) {
    const PackedRows::Head head = rows_.head(at);
    if (head.log != kInFile || (!all && (head.flags & kUsed) != 0)) {
      if (head.log == kInFile) rows_.set(at, head.log, head.flags & ~kUsed);
      at = rows_.next(at);
      continue;
    }
    whole_ = false;
    at = drop(at);
  }
}

void StateTable::scan(std::string_view from, std::string_view to, const Visit& visit) {
  Position here = rows_.lower_bound(from);
  const auto in_memory = [&](const std::string* below) {  // false: the visitor has seen enough
    for (; !rows_.at_end(here); here = rows_.next(here)) {
      const std::string_view key = rows_.key(here);
      if ((!to.empty() && key >= to) || (below != nullptr && key >= *below)) break;
      if ((rows_.head(here).flags & kValue) != 0 && !visit(key, rows_.value(here))) return false;
    }
    return true;
  };
  std::string next(from);
  std::size_t wanted = kFirstRows;
  for (bool more = !whole_ && !store_.failure_; more; wanted = kRowsAtOnce) {
    auto rows = store_.backend_.rows(id_, next, to, wanted);
    if (!rows) {
      store_.failure_ = rows.error();
      return;
    }
    for (const auto& [key, value] : *rows) {
      if (!in_memory(&key)) return;
      if (rows_.is(here, key)) continue;  // memory has it newer, and visits it next
      if (!visit(key, value)) return;
    }
    more = rows->size() == wanted;
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
