// LogLimit: lets the first few of a repeated event through in each interval and counts the rest.
//
// For events that hostile input or a dead link can cause thousands of times a second. Events are told apart by a key; a
// bounded number of keys is remembered, the one that was quiet longest is forgotten first. Thread: the owner's.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

namespace rivulet {

class LogLimit {
 public:
  struct Limits {
    std::uint32_t burst = 5;          // of one key, in each interval
    std::int64_t interval_ms = 10'000;
    std::size_t keys = 256;
  };
  // What was held back of one key: said once, when its interval is over.
  using Held = std::function<void(const std::string& key, std::uint64_t count)>;

  LogLimit(Limits limits, Held held) : limits_(limits), held_(std::move(held)) {}

  // True: log it.
  bool allow(std::string_view key, std::int64_t now_ms) {
    end_intervals(now_ms);
    const auto found = index_.find(std::string(key));
    if (found == index_.end()) {
      if (entries_.size() >= limits_.keys) forget_oldest();
      entries_.push_back({std::string(key), now_ms, 1, 0});
      index_.emplace(entries_.back().key, std::prev(entries_.end()));
      return true;
    }
    Entry& entry = *found->second;
    if (++entry.seen <= limits_.burst) return true;
    ++entry.held;
    ++held_in_all_;
    return false;
  }
  // Reports and forgets the keys whose interval is over.
  void end_intervals(std::int64_t now_ms) {
    while (!entries_.empty() && now_ms - entries_.front().since_ms >= limits_.interval_ms) forget_oldest();
  }
  std::uint64_t held_in_all() const { return held_in_all_; }

 private:
  struct Entry {
    std::string key;
    std::int64_t since_ms;
    std::uint64_t seen, held;
  };
  void forget_oldest() {
    const Entry entry = std::move(entries_.front());
    index_.erase(entry.key);
    entries_.pop_front();
    if (entry.held > 0) held_(entry.key, entry.held);
  }
  Limits limits_;
  Held held_;
  std::list<Entry> entries_;  // by the begin of their interval
  std::unordered_map<std::string, std::list<Entry>::iterator> index_;
  std::uint64_t held_in_all_ = 0;
};

}  // namespace rivulet
