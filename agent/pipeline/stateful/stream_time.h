// StreamTime: the highest timestamp that a stateful step has seen, over all keys or for each, and how silence moves it on.
//
// It is kept in the step's table, so that a restart changes nothing. With `idle`, once no record came for so long while this process
// listened, it moves on from the last record by as long as it was silent; a backlog after a downtime is therefore not late. Silence is
// measured by the steady clock: a wall clock that is set moves nothing.
// Thread: io. Units: ms. Bounds: with scope key one row a key in the table, and with idle one entry a key in memory.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "agent/base/clock.h"
#include "agent/base/ids.h"
#include "agent/config/config.h"
#include "agent/pipeline/state/table.h"

namespace rivulet::pipeline {

inline constexpr Timestamp kNoTime = -1;  // nothing seen yet

// Steps with a stream time keep it in this part, under these names.
inline constexpr std::uint32_t kTimePart = 0;
inline bool is_stream_time(std::uint32_t part, std::string_view name) { return part == kTimePart && (name == "t" || name.substr(0, 1) == "k"); }

class StreamTime {
 public:
  StreamTime(config::Time time, const Clock& clock) : config_(time), clock_(clock) {}
  void attach(StateTable& table);  // its own
  void save();

  struct Move {
    Timestamp from, to;
  };
  Move advance(std::string_view key, Timestamp timestamp_ms);
  bool by_key() const { return config_.scope == config::Time::Scope::key; }
  Timestamp now() const { return now_; }  // scope stream

  // By Clock::steady_ms(). `wants_ms`: the earliest stream time at which anything is due (scope stream); none: nothing waits.
  std::optional<std::int64_t> next_idle_ms(std::optional<Timestamp> wants_ms) const;
  using Moved = std::function<void(const std::string& key, Move move)>;  // the key is empty with scope stream
  void advance_idle(std::int64_t now_ms, const Moved& moved);

 private:
  struct Heard {
    std::int64_t at_ms;  // when the last record came
    Timestamp time_ms;   // and the stream time then
  };
  void heard(Heard& last, Timestamp time_ms) const { last = {clock_.steady_ms(), time_ms}; }
  static std::string row(std::string_view key) { return "k" + std::string(key); }

  const config::Time config_;
  const Clock& clock_;
  StateTable* table_ = nullptr;
  Timestamp now_ = kNoTime;
  bool dirty_ = false;
  Heard last_{0, kNoTime};
  std::int64_t started_ms_ = 0;
  std::unordered_map<std::string, Heard> last_by_key_;
};

}  // namespace rivulet::pipeline
