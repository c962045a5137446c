// Schedule: when each job of a connection (a group of a slave) is polled, and how a unit that does not answer is kept from delaying the others.
//
// Polls lie on a grid of their interval; one that comes too late for the next ones leaves those out. The job that is due longest comes first, so that a
// connection with more to do than it has time for serves all in turn. A unit that fails is left alone for a pause that doubles from kFirstPauseMs to
// kLongestPauseMs, then one poll probes it: it costs the others its timeout once a pause. The connection itself has such a pause, too.
// Thread: one (its connection's). Time: ms of a steady clock, given with each call.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace rivulet::source::modbus {

class Schedule {
 public:
  static constexpr std::int64_t kFirstPauseMs = 1000, kLongestPauseMs = 30'000;

  struct Job {
    std::int64_t interval_ms = 1000;
    std::vector<std::uint8_t> units;  // that it asks
  };
  struct Turn {
    std::size_t job = 0;
    bool paused = false;       // one of its units (or the connection) is left alone: no poll
    std::uint64_t missed = 0;  // polls that it is too late for
  };

  Schedule(std::vector<Job> jobs, std::int64_t now_ms);

  std::int64_t next_ms() const;
  std::optional<Turn> take(std::int64_t now_ms);  // the job that is due; none: it is not yet next_ms()

  void answered(std::uint8_t unit);
  // `at_once`: the first failure has no pause (it cost no waiting). Answers the pause.
  std::int64_t failed(std::uint8_t unit, std::int64_t now_ms, bool at_once);
  void connected() { connection_ = {}; }
  std::int64_t not_connected(std::int64_t now_ms) { return fail(connection_, now_ms, false); }

 private:
  struct Silence {
    std::uint32_t failures = 0;
    std::int64_t until_ms = 0;
  };
  static std::int64_t fail(Silence& of, std::int64_t now_ms, bool at_once);
  static bool silent(const Silence& of, std::int64_t now_ms) { return of.failures > 0 && now_ms < of.until_ms; }

  std::vector<Job> jobs_;
  std::vector<std::int64_t> due_ms_;
  std::array<Silence, 256> units_{};
  Silence connection_;
};

}  // namespace rivulet::source::modbus
