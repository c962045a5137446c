// IdempotencyKeys: which requests were taken, so that a client that was not answered may send one again.
//
// A key is a position "key:<key>" = "<hash of the body> <when, ms of RunningClock> <records>" in the epoch of the request's records: either both are durable
// or neither is. "clock" = RunningClock is written with them, and now and then while there are keys.
// Bound: `max` keys; the oldest goes first (counted as idempotency_keys_forgotten), one whose epoch is under way never does.
// Thread: io. An epoch never ends between accept() and the remember() that follows it in one handler. Units: ms.
#pragma once
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "agent/config/source.h"
#include "agent/source/http/running_clock.h"
#include "agent/source/source.h"

namespace rivulet::source {

struct BodyHash {
  std::uint64_t high = 0, low = 0;
  bool operator==(const BodyHash&) const = default;
};
BodyHash hash_of(std::string_view body, bool by_lines);

class IdempotencyKeys {
 public:
  IdempotencyKeys(Intake& intake, config::HttpSource::Idempotency config);

  void load();  // from positions_at_start()

  enum class Found { unknown, durable, under_way, other_body };
  struct Known {
    Found found = Found::unknown;
    std::uint64_t records = 0;
    EpochNumber epoch = 0;  // of what is under way
  };
  Known look(std::string_view key, const BodyHash& body) const;
  bool make_room();  // false: every key is under way
  void remember(std::string_view key, const BodyHash& body, std::uint64_t records);
  void on_durable(EpochNumber up_to);
  void tick();  // about once a minute: what is too old goes

  std::size_t size() const { return by_key_.size(); }

 private:
  struct Entry {
    std::string key;
    BodyHash body;
    std::int64_t at_ms = 0;
    std::uint64_t records = 0;
    EpochNumber epoch = 0;  // 0: of an agent before
  };
  using Order = std::list<Entry>;  // oldest first
  bool too_old(const Entry& entry) const { return entry.epoch <= durable_ && clock_.now_ms() - entry.at_ms > config_.window_ms; }  // under way it never is
  void forget(Order::iterator entry);
  void forget_old();
  void write_clock();

  Intake& intake_;
  const config::HttpSource::Idempotency config_;
  RunningClock clock_;
  std::int64_t written_ms_ = 0;
  EpochNumber durable_ = 0;
  Order order_;
  std::unordered_map<std::string_view, Order::iterator> by_key_;  // views into the entries
};

}  // namespace rivulet::source
