// Holds: topics that the cluster does not have or does not let us write. Each waits alone, with a growing delay.
//
// Pure (times come in). Thread: the owner's. Bound: one entry a topic of the outbox.
#pragma once
#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace rivulet::forward {

class Holds {
 public:
  struct Hold {
    std::string reason;
    std::int64_t until_ms = 0;
    std::int64_t delay_ms = 0;
  };
  // True when it is new: worth one message.
  bool hold(const std::string& topic, const std::string& reason, std::int64_t now_ms) {
    auto [at, is_new] = holds_.try_emplace(topic);
    auto& hold = at->second;
    hold.delay_ms = is_new ? 1000 : std::min<std::int64_t>(hold.delay_ms * 2, 120'000);
    hold.until_ms = now_ms + hold.delay_ms;
    const bool news = is_new || hold.reason != reason;
    hold.reason = reason;
    return news;
  }
  bool held(const std::string& topic, std::int64_t now_ms) const {
    const auto found = holds_.find(topic);
    return found != holds_.end() && now_ms < found->second.until_ms;
  }
  bool release(const std::string& topic) { return holds_.erase(topic) > 0; }  // it took records again
  std::optional<std::int64_t> next_ms(std::int64_t now_ms) const {
    std::optional<std::int64_t> next;
    for (const auto& [topic, hold] : holds_) {
      if (hold.until_ms > now_ms && (!next || hold.until_ms < *next)) next = hold.until_ms;
    }
    return next;
  }
  const std::map<std::string, Hold>& all() const { return holds_; }

 private:
  std::map<std::string, Hold> holds_;
};

}  // namespace rivulet::forward
