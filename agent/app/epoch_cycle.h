// EpochCycle: which epoch fills, which one commits, and when one ends.
//
// One epoch fills while at most one commits. The filling one ends after commit_interval_ms from the first thing that it
// owes, at epoch_bytes, or by commit_soon() once the store is idle. It never ends inside a source's call: a record and the
// position that belongs to it always share an epoch, because ends are handlers of their own on io.
// An epoch in which nothing has to be stored (every record was filtered out) is durable as soon as those before it are.
// Thread: io. Lifetime: the store and the listener outlive it; io outlives the store. Bounds: the filling epoch
// takes epoch_bytes while another commits, a quarter more while none does (its end is then already on its way).
#pragma once
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>

#include "agent/base/ids.h"
#include "store/store.h"

namespace rivulet::app {

class EpochCycle {
 public:
  struct Limits {
    std::int64_t commit_interval_ms = 1000;
    std::size_t epoch_bytes = 1 << 20;
    EpochNumber first = 1;  // after a reload numbers go on, because sources do
  };
  class Listener {
   public:
    virtual ~Listener() = default;
    // The filling epoch ends: what belongs into it and was held back goes in now. Error: it must not be committed, on_lost() follows.
    virtual result<void> on_end(EpochNumber number) = 0;
    virtual void on_durable(EpochNumber up_to) = 0;
    virtual void on_room() = 0;             // can_accept() may be true again
    virtual void on_lost(Error error) = 0;  // a commit's fate is unknown: nothing more is committed
  };

  EpochCycle(boost::asio::io_context& io, store::Store& store, Limits limits, Listener& listener);

  EpochNumber number() const { return number_; }  // of the filling epoch
  bool can_accept() const;
  store::Epoch& filling() { return filling_; }  // whoever changes it calls grown() afterwards
  void grown();        // something of this epoch owes durability
  void commit_soon();  // end it once the store is idle
  // Ends the epoch now and calls `idle` (once) when everything so far is durable; with unknown fate it never does.
  void drain(std::function<void()> idle);
  void resume() { idle_ = nullptr; }  // after drain(): taken in again
  bool settled() const { return !committing_ && !owed_ && !ending_ && !lost_ && filling_.empty(); }  // nothing is under way

  std::uint64_t committed() const { return committed_; }  // epochs, since the start
  std::uint64_t committed_records() const { return committed_records_; }  // for topics, in those epochs
  std::size_t filling_bytes() const { return filling_.size_bytes(); }
  std::int64_t committing_for_ms() const;                 // how long the commit under way takes by now; 0: none

 private:
  void end_later();
  void end();
  void hand_over(EpochNumber number);
  void on_committed(EpochNumber number, result<void> outcome);
  void durable(EpochNumber number);
  void tell_idle();

  boost::asio::io_context& io_;
  store::Store& store_;
  const Limits limits_;
  Listener& listener_;
  boost::asio::steady_timer timer_;
  store::Epoch filling_;
  EpochNumber number_;
  bool owed_ = false;        // somebody waits for the filling epoch
  bool due_ = false;         // it ends as soon as nothing commits
  bool ending_ = false;      // its end is posted
  bool committing_ = false;
  bool lost_ = false;
  std::uint64_t committed_ = 0, committed_records_ = 0, committing_records_ = 0;
  std::chrono::steady_clock::time_point handed_over_;
  std::function<void()> idle_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace rivulet::app
