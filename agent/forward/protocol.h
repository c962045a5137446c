// Protocol: every decision of forwarding, as a pure state machine. An event goes in, the next action comes out; no I/O, no
// clock (events carry the time), no thread. Driver (driver.h) carries the actions out; so do the tests.
//
//              start                            done             done            done (certain: skips)
//   asleep ──data──▶ probing ◀──▶ offline   probing ──▶ opening ──▶ initialising ──▶ draining ──▶ resolving ─┐
//     ▲                                                     at-least-once │                        ▲    │    │halt
//     │ nothing to send for minutes                                       ▼                        └ applying ▼
//     └──────────────────────── idle ◀───────────────────────────────────────────────────────── ─ ┘    closing ▶ stopped
//                                │ ▲
//   sending ▶ flushing ▶ preparing ▶ committing ▶ settling ▶ trimming       (at-least-once: flushing ▶ trimming)
//      └────────┴────────────┴───────────┴───────────┴──▶ closing ▶ backoff ▶ probing     anything uncertain: Recover
//
// A record that the broker refused becomes a gap (quarantining) after the recovery that follows. Every state takes every
// event: what does not concern it answers Action::ignored with a reason and changes nothing.
// Thread: the owner's. Units: ms of the steady clock.
#pragma once
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/forward/holds.h"
#include "agent/forward/prepared.h"
#include "agent/forward/resolve.h"
#include "agent/kafka/failure.h"

namespace rivulet::forward {

enum class State {
  asleep, offline, probing, opening, initialising, draining, resolving, applying, idle, sending, flushing, preparing,
  committing, settling, trimming, quarantining, closing, backoff, stopped, ended,
};
inline constexpr int state_count = static_cast<int>(State::ended) + 1;
const char* name_of(State state);

struct Event {
  enum class Kind {
    start,         // once; `clean`, `prepared`
    tick,          // the time of Action::wait has come
    data,          // the outbox has something new
    stop,          // the process wants to end; `waited_ms`
    done,          // the action succeeded
    pending,       // it is not finished: the same again (send: a whole epoch is on its way, and the queue is full)
    failed,        // `failure`; with a record or topic where it names one
    nothing,       // send: no stream has anything that may go; `until_ms`: the next held topic's turn, or 0. Or `refused`: these first
    sent,          // send: `records` are on their way; `more`: the outbox has more; `until_ms` as above
    committed,     // commit succeeded; `end_txn_requests`, `timed_out_requests`
    undrained,     // drain: a partition is not stable up to its end; `text`
    unsettled,     // settle: not yet; `at_ours`: a partition stands still exactly at our first offset
    resolved,      // gather: `verdict`
    store_failed,  // the store refused; `fatal`: its state is unknown; `text`
  };
  Kind kind = Kind::tick;
  std::int64_t now_ms = 0;
  kafka::Failure failure;
  std::string topic;                  // failed with FailureKind::topic
  std::set<std::string> more_topics;  // that failed with it
  std::vector<Rows> refused;          // failed with FailureKind::record, nothing: the records that Kafka takes in no transaction,
                                      // neighbours in one; empty: some of `failed_records`, it is not known which
  std::uint32_t failed_records = 0;
  std::uint32_t records = 0;
  std::uint32_t least_records = 1;    // sent: it cannot be made smaller than this (a whole epoch of a unit, see units.h)
  std::uint32_t end_txn_requests = 0, timed_out_requests = 0;
  std::int64_t until_ms = 0;
  std::int64_t waited_ms = 0;         // stop: so long ago it was asked for
  bool more = false, at_ours = false, clean = false, prepared = false, fatal = false;
  std::string text;
  Verdict verdict;
};
inline constexpr int event_count = static_cast<int>(Event::Kind::store_failed) + 1;
const char* name_of(Event::Kind kind);

struct Action {
  enum class Kind {
    ignored,     // go on with what is under way; `why`
    wait,        // until `until_ms` (then tick), or data, or stop
    probe, open, init, drain, gather, apply, send, flush, prepare, commit, settle, trim, quarantine, close,
    end,         // over; `clean`: nothing is under way
  };
  Kind kind = Kind::ignored;
  const char* why = "";
  std::int64_t until_ms = 0;
  std::int64_t timeout_ms = 0;     // of one blocking call
  bool transactional = true;       // open
  bool clean = false;              // end
  std::uint32_t max_records = 0;   // send
};

struct ProtocolOptions {
  bool exactly_once = true;
  std::int64_t transaction_interval_ms = 1000;
  std::int64_t transaction_timeout_ms = 60'000;
  std::int64_t idle_close_ms = 5 * 60'000;
  std::int64_t stop_grace_ms = 2'000;  // to finish a transaction under way when the process ends
  std::uint64_t seed = 1;              // of jitter
  // Never set outside the simulation's negative controls: each switches off one rule that it must prove necessary.
  bool ignore_end_txn_count = false;
};

class Protocol {
 public:
  explicit Protocol(ProtocolOptions options);
  Action on(const Event& event);

  State state() const { return state_; }
  const std::string& alarm() const { return alarm_; }
  const std::string& last_error() const { return last_error_; }
  std::uint64_t recoveries() const { return recoveries_; }
  std::uint64_t transactions() const { return transactions_; }
  Holds& holds() { return holds_; }
  const std::vector<Rows>& refused() const { return refused_; }  // to be quarantined next
  const std::string& refused_reason() const { return refused_reason_; }
  const Verdict& verdict() const { return verdict_; }              // what `apply` applies

 private:
  Action enter(State state);
  Action perform();                       // the action of the state we are in
  Action wait(std::int64_t for_ms);
  Action again(std::int64_t for_ms);      // the same action after a pause
  Action ignored(const char* why) const { Action a; a.why = why; return a; }
  Action recover(const Event& event);
  Action give_up(std::string alarm);
  Action ready();
  Action from_idle();
  Action after_close();
  Action on_stop(const Event& event);
  Action on_data();
  Action on_start(const Event& event);
  Action reaching(const Event& event);    // offline, probing, opening, initialising
  Action recovering(const Event& event);  // draining, resolving, applying
  Action sending(const Event& event);     // sending, flushing, preparing
  Action ending(const Event& event);      // committing, settling, trimming
  Action verdict_is(const Event& event);
  void learn(const Event& event);         // what a failure says about the next transactions
  bool take_apart(const Event& event);    // a refusal: is it one step nearer to its record?
  bool transactional() const;
  bool under_way() const;
  bool for_longer_than(std::int64_t ms) const { return now_ms_ - entered_ms_ >= ms; }
  std::int64_t jitter(std::int64_t ms);   // 0.75 to 1.25 of it

  ProtocolOptions options_;
  State state_ = State::asleep;
  std::int64_t now_ms_ = 0, entered_ms_ = 0;
  std::int64_t pause_ms_ = 0;            // growing, within a state
  std::int64_t offline_since_ms_ = -1;
  std::int64_t next_begin_ms_ = 0, idle_since_ms_ = 0, sent_ms_ = 0, at_ours_since_ms_ = -1, stop_by_ms_ = 0;
  std::int64_t next_held_ms_ = 0;
  std::int64_t backoff_ms_ = 0;          // after the next close
  bool started_ = false, stopping_ = false, halted_ = false, prepared_ = false, certain_ = false, has_data_ = true, more_ = false;
  bool open_transactional_ = true, asleep_next_ = false, reopen_ = false;
  std::uint32_t failures_ = 0, fences_ = 0;  // in a row
  std::uint32_t max_records_ = 0;        // of a transaction; unlimited_records: no limit
  std::uint32_t last_records_ = 0, least_records_ = 1;
  // A refused batch is being taken apart: transactions do not grow until a record of it is found. `isolated_` counts those
  // that settled since: the refused record may have left the outbox by another way.
  bool isolating_ = false;
  std::uint32_t isolated_ = 0;
  std::vector<Rows> refused_;
  std::string refused_reason_;
  Verdict verdict_;
  Holds holds_;
  std::string alarm_, last_error_;
  std::uint64_t recoveries_ = 0, transactions_ = 0, random_;
};

}  // namespace rivulet::forward
