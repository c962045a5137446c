// Watchdog: feeds systemd's watchdog as long as every thread makes progress, or waits for what may last; else systemd starts the agent again.
//
// Fed from a thread of its own, because the others may wait for a slow disk for as long as that takes. What lasts and is no hang: no work, a
// disk that is slow or full (a call of SQLite's or a file that the kernel waits for), a dead link (every call to Kafka has a time-out). What is
// one: a lock that is never given back, an endless loop, also within SQLite. Once a thread is stuck the watchdog is not fed any more, until it goes on;
// the log says which thread it is. Thread: watch() any. Lifetime: the pulses are shared; the end of it ends its thread within a moment.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "agent/base/pulse.h"

namespace rivulet::app {

// What the readings of one pulse say. Pure.
class PulseJudge {
 public:
  explicit PulseJudge(std::int64_t stuck_after_ms) : stuck_after_ms_(stuck_after_ms) {}
  bool alive(const Pulse::Reading& now, std::int64_t now_ms);
  std::int64_t since_ms() const { return since_ms_; }  // of the last progress

 private:
  const std::int64_t stuck_after_ms_;
  bool first_ = true;
  std::uint64_t beats_ = 0;
  std::int64_t since_ms_ = 0;
  std::optional<std::int64_t> cpu_ms_;  // then
};

class Watchdog {
 public:
  struct Options {
    std::int64_t look_every_ms = 7'500;
    std::int64_t stuck_after_ms = 30'000;
  };
  Watchdog(Options options, std::function<void()> feed);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void watch(const std::string& thread, std::shared_ptr<const Pulse> pulse);  // in the place of an older one of that name; null: none any more

 private:
  struct Watched {
    std::shared_ptr<const Pulse> pulse;
    PulseJudge judge;
    bool stuck = false;
  };
  void run();
  bool all_alive();

  const Options options_;
  const std::function<void()> feed_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ending_ = false;
  std::map<std::string, Watched> watched_;
  std::thread thread_;
};

}  // namespace rivulet::app
