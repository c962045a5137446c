// Service: the running agent as a process sees it: store, Agent, forwarder, status listener, signals, systemd.
//
// Life: open() (start-up, blocks), run() until a signal, stop(), the end of finite input or a lost store; then destruction.
//
//   running --SIGTERM/SIGINT, stop()--> sources stopped, epoch committed, acknowledgements out --> forwarder stopped --> 0
//   running --all sources finished----> the same, and the outbox drained first (at most drain_timeout_ms) -------------> 0
//   running --a commit's fate unknown-----------------------------------------------------------> kExitLost, start again
//
// The way to 0 takes less than 5 s, also with a dead link (kCommitWithinMs + kLinger + kForwarderWithinMs).
// Thread: run() makes the caller's thread the io thread; every method is for that thread or for before run().
// Errors: open() says what is wrong and what to do.
#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>

#include "agent/app/agent.h"
#include "agent/app/history.h"
#include "agent/app/notify.h"
#include "agent/app/status_server.h"
#include "agent/config/config.h"
#include "agent/forward/forwarder.h"
#include "agent/forward/uplink.h"

namespace rivulet::app {

inline constexpr int kExitLost = 70;  // EX_SOFTWARE; the systemd unit restarts
inline constexpr std::int64_t kCommitWithinMs = 2'300;
inline constexpr std::int64_t kForwarderWithinMs = 2'000;

class Service {
 public:
  struct Options {
    bool handle_signals = true;
    std::int64_t drain_timeout_ms = 30'000;
    SourceMaker make_source;                                                          // empty: source::make_source
    std::function<std::unique_ptr<forward::Uplink>(const config::Config&)> make_uplink;  // empty: Kafka, by the configuration
  };
  static result<std::unique_ptr<Service>> open(config::Config config, std::unique_ptr<pipeline::Topology> topology, const Clock& clock,
                                               Options options);
  ~Service();

  int run();
  void stop(const std::string& why);
  void finish(const std::string& why);  // as if every source were at its end: commit, drain, then end
  Snapshot look() const;
  boost::asio::io_context& io() { return io_; }
  store::Store& store() { return *store_; }
  std::string status_address() const { return status_ ? status_->address() : std::string(); }
  // True after run(): the last epoch could not be committed in time (a full or hanging disk). The caller should leave by
  // _Exit(), because destruction would wait for it; nothing of that epoch was acknowledged.
  bool abandoned() const { return abandoned_; }

 private:
  Service(config::Config config, const Clock& clock, Options options);
  result<void> set_up(std::unique_ptr<pipeline::Topology> topology);
  std::unique_ptr<forward::Uplink> make_uplink() const;
  void start_forwarder();
  void start_status();
  void wait_for_signal();
  void keep_house();
  void keep_history();
  void watch_for_end();
  void wait_for_drain(std::int64_t until_ms);
  void committed();  // all that was accepted is durable and acknowledged
  void end_soon();
  void lost(const Error& error);

  const config::Config config_;
  const Clock& clock_;
  const Options options_;
  const std::int64_t started_ms_;
  boost::asio::io_context io_{1};
  Notify notify_;
  std::unique_ptr<store::Store> store_;
  std::shared_ptr<forward::Forwarder> forwarder_;  // the store's thread wakes it: a weak pointer, because it ends first
  std::unique_ptr<Agent> agent_;
  std::unique_ptr<StatusServer> status_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer house_timer_, end_timer_, deadline_;
  int exit_code_ = 0;
  // finishing: every source is at its end, the epoch commits; draining: the outbox empties; stopping: somebody asked.
  enum class Phase { running, finishing, draining, stopping } phase_ = Phase::running;
  bool abandoned_ = false;
  bool had_room_ = true, held_was_full_ = false;
  History history_;
};

}  // namespace rivulet::app
