// Worker: takes the records of one destination from the store, has them delivered, and acknowledges them; a thread of its own.
//
// Like the forwarder it reads what lies after the acknowledged mark, delivers, then acknowledges: nothing that is not there for good leaves the store.
// After trouble it holds its streams (Store::hold) and tries again with growing, jittered waits, for ever; other destinations do not notice.
// A record that its destination will never take becomes a gap and goes to quarantine.
// Threads: start() and stop() on io, wake() and status() on any, the rest on its own. stop() returns when the call under way does: within
// about a second, unless the disk hangs. Lifetime: the store and the clock outlive it. Bound: kStretchBytes of records, twice.
#pragma once
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/clock.h"
#include "agent/sink/writer.h"
#include "store/store.h"

namespace rivulet::sink {

// How a destination is, for people and metrics.
struct Status {
  std::string pipeline;     // or several, with commas
  std::string destination;  // "file:/path"
  std::string state;        // in some words
  std::string trouble;      // not empty: nothing goes on, and why
  std::int64_t troubled_for_ms = 0;
  std::uint64_t records = 0, bytes = 0;  // delivered since the start
  std::uint64_t errors = 0;              // deliveries and openings that failed
  std::uint64_t refused = 0;             // records in quarantine because the destination will never take them
  std::uint64_t missing = 0;             // records that were dropped in the store (a gap) before they could be delivered
  std::uint64_t backlog = 0;             // records that wait in the store
};

class Worker {
 public:
  // Makes the writer; for those that talk over a network with the io_context that the worker runs, and what becomes true when it is to end.
  using MakeWriter = std::function<std::unique_ptr<Writer>(boost::asio::io_context& io, const std::atomic<bool>& stop)>;

  Worker(std::string pipeline, std::string destination, std::vector<StreamId> streams, store::Store& store, const Clock& clock, const MakeWriter& make);
  ~Worker();
  void start();
  void wake();
  void ask_to_stop();  // does not wait
  void stop();
  Status status() const;

 private:
  void run();
  void wait();
  bool round();  // a stretch of each stream; false: nothing more now
  bool deliver(store::StreamInfo& stream);
  bool acknowledge(store::StreamInfo& stream, Delivery& delivery);
  bool load();
  void trouble(const Error& error);
  void well();
  void hold();
  void publish();

  const std::string pipeline_, destination_;
  const std::vector<StreamId> ids_;
  store::Store& store_;
  const Clock& clock_;
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::atomic<bool> stop_{false}, woken_{true};
  std::thread thread_;

  mutable std::mutex mutex_;
  Status status_;  // what others see

  // The thread's own.
  std::unique_ptr<Writer> writer_;
  std::vector<store::StreamInfo> streams_;  // acknowledged: as far as is delivered
  Status now_;
  std::string said_;  // the trouble that was logged last
  bool held_ = false, lost_ = false, stale_ = true;  // stale: the store has something that is not looked at
  bool opened_ = false;                              // the writer, and no trouble since
  std::int64_t retry_at_ms_ = 0, retry_ms_ = 0, troubled_since_ms_ = 0, opened_at_ms_ = 0;
  std::minstd_rand random_;
};

}  // namespace rivulet::sink
