// Thinned: which results have changed in this epoch, each once, in the order of the last change: Kafka Streams' record cache.
//
// Thread: io. Bound: the windows that one epoch touches.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/base/bytes.h"
#include "agent/record/record.h"

namespace rivulet::pipeline {

class Thinned {
 public:
  struct Change {
    std::uint64_t order = 0;
    bool gone = false;           // the window is no more: a tombstone, if anything of it was emitted
    bool emitted = false;        // of a window that is gone
    Timestamp timestamp_ms = 0;  // of that tombstone
    Window window;
    std::string key;
  };

  // Answers what this epoch knew of it: a window that was gone may be there again.
  const Change& changed(std::string_view key, const Window& window) {
    Change& change = at(key, window);
    change.order = ++order_;
    before_ = {};
    before_.gone = change.gone;
    before_.emitted = change.emitted;
    change.gone = false;
    return before_;
  }
  void gone(std::string_view key, const Window& window, bool emitted, Timestamp timestamp_ms) {
    Change& change = at(key, window);
    change.order = ++order_;
    change.gone = true;
    change.emitted = emitted;
    change.timestamp_ms = timestamp_ms;
  }
  bool take(std::string_view key, const Window& window) { return !changes_.empty() && changes_.erase(id(key, window)) != 0; }  // whether it had changed

  std::vector<Change> take_all() {
    std::vector<Change> all;
    all.reserve(changes_.size());
    for (auto& [name, change] : changes_) all.push_back(std::move(change));
    changes_.clear();
    std::sort(all.begin(), all.end(), [](const Change& a, const Change& b) { return a.order < b.order; });
    return all;
  }

 private:
  const std::string& id(std::string_view key, const Window& window) {
    id_.clear();
    put_u64_be(id_, static_cast<std::uint64_t>(window.start_ms));
    put_u64_be(id_, static_cast<std::uint64_t>(window.end_ms));
    id_ += key;
    return id_;
  }
  Change& at(std::string_view key, const Window& window) {
    Change& change = changes_[id(key, window)];
    if (change.order == 0) {
      change.window = window;
      change.key = key;
    }
    return change;
  }

  std::unordered_map<std::string, Change> changes_;
  std::uint64_t order_ = 0;
  std::string id_;
  Change before_;
};

}  // namespace rivulet::pipeline
