// Service: the running agent as a process sees it: store, Agent, forwarder, status listener, signals, systemd.
//
// Life: open() (start-up, blocks), run() until a signal, stop(), the end of finite input or a lost store; then destruction.
//
//   running --SIGTERM/SIGINT, stop()--> sources stopped, epoch committed, acknowledgements out --> forwarder stopped --> 0
//   running --all sources finished----> the same, and the outbox drained first (at most drain_timeout_ms) -------------> 0
//   running --a commit's fate unknown-----------------------------------------------------------> kExitLost, start again
//   running --SIGHUP, reload()--------> the new configuration at work, or the one before and the reason why (service_reload.cpp) --> running
//
// The way to 0 takes less than 5 s, also with a dead link (kCommitWithinMs + kLinger + kForwarderWithinMs). Within kSourcesWithinMs of its beginning
// sources may end what they have under way (a command its clean-up, up to its kill_after); what has not by then is killed.
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
#include "agent/app/config_change.h"
#include "agent/app/history.h"
#include "agent/app/notify.h"
#include "agent/app/status_server.h"
#include "agent/app/watchdog.h"
#include "agent/config/config.h"
#include "agent/forward/forwarder.h"
#include "agent/forward/uplink.h"
#include "agent/sink/sinks.h"

namespace rivulet::app {

inline constexpr int kExitUnread = 2;  // the input ended because it could not be read
inline constexpr int kExitLost = 70;  // EX_SOFTWARE; the systemd unit restarts
inline constexpr std::int64_t kCommitWithinMs = 2'300;
inline constexpr std::int64_t kForwarderWithinMs = 2'000;
inline constexpr std::int64_t kSourcesWithinMs = 3'500;

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

  int run();  // start(), io().run(), and the end
  void start();
  void stop(const std::string& why);
  // Reads the configuration's file anew. Returns at once; look().reload says what became of it. While one is under way another waits for it,
  // and takes the place of those that wait already.
  void reload();
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
  std::unique_ptr<forward::Uplink> make_uplink(const config::Config& config) const;
  SourceMaker source_maker(const config::Config& config);
  std::vector<store::StreamInfo> left_to_send() const;
  std::shared_ptr<forward::Forwarder> make_forwarder(const config::Config& config, std::vector<forward::Unit> units);
  void use_forwarder(std::shared_ptr<forward::Forwarder> forwarder);
  void start_status();
  void watch_threads();
  void wait_for_signal();
  void keep_house();
  void rest_when_quiet();
  void keep_history();
  void watch_for_end();
  void wait_for_drain(std::int64_t until_ms);
  void committed();  // all that was accepted is durable and acknowledged
  void end_soon();
  void stop_agent();
  void lost(const Error& error);

  // service_reload.cpp
  struct Reload;
  result<void> read_anew(Reload& next);
  std::string reload_waits_for();
  void reload_when_ready();
  void reload_without_forwarder();
  void pause_to_reload();
  void take_reload();
  result<void> assemble(Reload& next);
  void change_over(Reload& next);
  void change_forwarder(std::shared_ptr<forward::Forwarder> next);
  void refuse_reload(const Error& error);
  void end_reload();
  void after_in_reload(std::int64_t wait_ms, void (Service::*then)());

  std::unique_ptr<const config::Config> config_;
  const Clock& clock_;
  const Options options_;
  const std::int64_t started_ms_;
  boost::asio::io_context io_{1};
  Notify notify_;
  std::unique_ptr<store::Store> store_;
  std::shared_ptr<forward::Forwarder> forwarder_;  // the store's thread wakes it: a weak pointer, because it ends first
  std::shared_ptr<sink::Sinks> sinks_;              // local outputs, if there are any; woken alike
  std::unique_ptr<Agent> agent_;
  std::unique_ptr<StatusServer> status_;
  std::string status_trouble_;  // why there is none, as it was said
  FileStamps stamps_;  // as they were when config_ was taken
  std::shared_ptr<Reload> reload_;
  bool reload_again_ = false;
  ReloadStatus reload_status_;
  forward::Status forwarded_before_;       // the counters of forwarders before this one
  std::shared_ptr<Pulse> pulse_ = std::make_shared<Pulse>();  // of the io thread
  std::unique_ptr<Watchdog> watchdog_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer house_timer_, end_timer_, deadline_;
  int exit_code_ = 0;
  // finishing: every source is at its end, the epoch commits; draining: the outbox empties; stopping: somebody asked.
  enum class Phase { running, finishing, draining, stopping } phase_ = Phase::running;
  bool abandoned_ = false;
  std::int64_t sources_until_ms_ = 0;
  bool had_room_ = true, held_was_full_ = false, rests_ = false, watching_for_end_ = false;
  std::pair<std::uint64_t, std::uint64_t> done_{};  // commits, transactions: as of the last look
  std::int64_t quiet_since_ms_ = 0;
  History history_;
};

}  // namespace rivulet::app
