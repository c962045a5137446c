// Handover: what the pollers' threads give to io: records, counts, and how each slave is.
//
// Threads: put(), count(), say(), has_room() from any poller; the others from io. Bounds: kRecords records and kBytes, of which each poller may go past by
// one record; while there is no room polls are left out (and counted). Lifetime: the source's; it outlives the pollers.
// Order: what is said of a slave before a record is put or a count is made is seen by whoever sees the record or the count.
// `wake` is called, from a poller's thread, when io has something to take and was not told yet.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/ids.h"

namespace rivulet::source::modbus {

class Handover {
 public:
  static constexpr std::size_t kRecords = 256, kBytes = 256 << 10;

  struct Record {
    std::string payload, topic;
    Timestamp timestamp_ms = 0;
  };
  struct Health {
    bool answers = false;
    std::string what;  // why not; empty: it was not asked yet
  };

  Handover(std::size_t slaves, std::function<void()> wake) : wake_(std::move(wake)), health_(slaves) {}

  bool has_room() const {
    const std::lock_guard lock(mutex_);
    return room_ && records_.size() < kRecords && bytes_ < kBytes;
  }
  void put(Record record) {
    tell([&] {
      bytes_ += record.payload.size();
      records_.push_back(std::move(record));
    });
  }
  void count(const std::string& what, std::uint64_t by = 1) {
    if (by > 0) tell([&] { counts_[what] += by; });
  }
  void say(std::size_t slave, Health health) {
    const std::lock_guard lock(mutex_);
    health_[slave] = std::move(health);
  }

  void set_room(bool room) {
    const std::lock_guard lock(mutex_);
    room_ = room;
  }
  std::map<std::string, std::uint64_t> take_counts() {
    const std::lock_guard lock(mutex_);
    told_ = false;
    return std::exchange(counts_, {});
  }
  std::optional<Record> take() {
    const std::lock_guard lock(mutex_);
    if (records_.empty()) return std::nullopt;
    Record record = std::move(records_.front());
    records_.pop_front();
    bytes_ -= record.payload.size();
    return record;
  }
  bool empty() const {
    const std::lock_guard lock(mutex_);
    return records_.empty();
  }
  std::vector<Health> health() const {
    const std::lock_guard lock(mutex_);
    return health_;
  }

 private:
  template <class Change>
  void tell(const Change& change) {
    bool first = false;
    {
      const std::lock_guard lock(mutex_);
      change();
      first = !std::exchange(told_, true);
    }
    if (first) wake_();
  }

  const std::function<void()> wake_;
  mutable std::mutex mutex_;  // of what follows
  std::deque<Record> records_;
  std::size_t bytes_ = 0;
  std::map<std::string, std::uint64_t> counts_;
  std::vector<Health> health_;
  bool room_ = true;   // as io saw it last
  bool told_ = false;  // and io has not come yet
};

}  // namespace rivulet::source::modbus
