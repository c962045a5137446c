// Pulse: how a thread says that it is alive, for the watchdog (agent/app/watchdog.h).
//
// A thread makes its pulse its own (take()), beats once for each piece of work, and names what it waits for while it waits. A thread that
// neither beats nor waits for something that may last is stuck. Pieces of work are short; what may last is one of:
//   waits   for work, for a time, or for another thread that has a pulse itself
//   disk    in a call of SQLite's that reads or writes a file: a slow disk is no hang, but a call that burns the processor is one
// Thread: take(), beat() and PulseScope the thread's own, read() any. Lifetime: shared by the thread and whoever looks.
#pragma once
#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>

namespace rivulet {

class Pulse {
 public:
  enum class Doing : std::uint8_t { works, waits, disk };
  struct Reading {
    std::uint64_t beats = 0;
    Doing doing = Doing::waits;
    std::optional<std::int64_t> cpu_ms;  // of the thread, since it began; none: no such thread (any more)
  };

  static void take(std::shared_ptr<Pulse> pulse);  // the calling thread's from now on
  static void end();                               // the calling thread has none any more, and its own counts as waiting
  void beat() { beats_.fetch_add(1, std::memory_order_relaxed); }
  Reading read() const;
  bool in_disk_sleep() const;  // as the kernel says: it waits for a file, and cannot be interrupted

 private:
  friend class PulseScope;
  std::atomic<std::uint64_t> beats_{0};
  std::atomic<Doing> doing_{Doing::waits};
  std::atomic<clockid_t> clock_{0};
  std::atomic<pid_t> id_{0};
  std::atomic<bool> has_thread_{false};
};

// What the calling thread does until the scope ends; without a pulse of its own it does nothing.
class PulseScope {
 public:
  explicit PulseScope(Pulse::Doing what);
  ~PulseScope();
  PulseScope(const PulseScope&) = delete;
  PulseScope& operator=(const PulseScope&) = delete;

 private:
  Pulse* const pulse_;
  Pulse::Doing before_ = Pulse::Doing::works;
};

}  // namespace rivulet
