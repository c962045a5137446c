// Protocol on its way to a producer that works and to the knowledge of what became of the last transaction.
#include <algorithm>

#include "agent/forward/protocol.h"

namespace rivulet::forward {
namespace {

using Kind = Event::Kind;
constexpr std::int64_t recovery_step_ms = 60'000;  // without success: destroy the producer and begin again
constexpr std::int64_t offline_first_ms = 500, offline_last_ms = 60'000;
constexpr std::int64_t offline_growth = 60;  // probes are 1/60 of the outage apart: 2 s after two minutes

}  // namespace

// offline, probing, opening, initialising: on the way to a producer that works.
Action Protocol::reaching(const Event& event) {
  if (event.kind == Kind::tick) return state_ == State::offline ? enter(State::probing) : perform();
  if (event.kind == Kind::done) {
    switch (state_) {
      case State::probing: return enter(State::opening);
      case State::opening:
        if (open_transactional_) return enter(State::initialising);
        offline_since_ms_ = -1;
        return ready();
      case State::initialising:
        offline_since_ms_ = -1;
        return enter(certain_ ? State::resolving : State::draining);
      default: break;
    }
  }
  if (event.kind == Kind::pending || event.kind == Kind::failed) {
    switch (state_) {
      case State::probing: {
        if (offline_since_ms_ < 0) offline_since_ms_ = now_ms_;
        if (event.failure) last_error_ = event.failure.message;
        enter(State::offline);
        return wait(jitter(std::clamp((now_ms_ - offline_since_ms_) / offline_growth, offline_first_ms, offline_last_ms)));
      }
      case State::opening: return recover(event);
      case State::initialising: {
        const bool same_call = event.kind == Kind::pending || event.failure.kind == kafka::FailureKind::pending ||
                               event.failure.kind == kafka::FailureKind::retry;
        if (!same_call || for_longer_than(recovery_step_ms)) return recover(event);
        return again(event.kind == Kind::pending ? 0 : 100);
      }
      default: break;
    }
  }
  return ignored("no producer yet");
}

// draining, resolving, applying: what became of the last transaction.
Action Protocol::recovering(const Event& event) {
  if (event.kind == Kind::tick) return perform();
  if (event.kind == Kind::resolved && state_ == State::resolving) return verdict_is(event);
  if (event.kind == Kind::done && state_ == State::draining) {
    alarm_.clear();
    return enter(State::resolving);
  }
  if (event.kind == Kind::done && state_ == State::applying) {
    if (verdict_.kind == Verdict::Kind::nothing) {
      certain_ = true;
      return ready();
    }
    if (verdict_.kind == Verdict::Kind::committed) ++transactions_;
    prepared_ = false;
    return enter(State::resolving);  // nothing of ours may stand behind it
  }
  if (event.kind == Kind::undrained && state_ == State::draining) {
    last_error_ = "waiting for " + event.text;
    if (for_longer_than(options_.transaction_timeout_ms + 30'000)) {
      // The sweep of PROTOCOL.md ("Recover" 3) is not part of this version: keep looking, send nothing.
      alarm_ = "kafka: " + event.text + ". A transaction hangs there, and sending again could double its records. Nothing is sent and "
               "everything is stored until it ends; look with `kafka-transactions.sh find-hanging` and end it with `kafka-transactions.sh abort`";
    }
    return again(pause_ms_ = std::clamp<std::int64_t>(pause_ms_ * 2, 20, 1'000));
  }
  if (event.kind == Kind::store_failed && state_ == State::applying) return again(500);
  if ((event.kind == Kind::pending || event.kind == Kind::failed) && state_ != State::applying) {
    if (event.failure) last_error_ = event.failure.message;
    if (event.failure.kind == kafka::FailureKind::settings || for_longer_than(recovery_step_ms)) return recover(event);
    return again(200);
  }
  return ignored("the last transaction is being resolved");
}

Action Protocol::verdict_is(const Event& event) {
  verdict_ = event.verdict;
  switch (verdict_.kind) {
    case Verdict::Kind::nothing:
      if (verdict_.witness || verdict_.adopted) return enter(State::applying);
      certain_ = true;
      return ready();
    case Verdict::Kind::committed: case Verdict::Kind::aborted: return enter(State::applying);
    case Verdict::Kind::halt: return give_up(verdict_.message);
    case Verdict::Kind::undecided: break;
  }
  if (for_longer_than(recovery_step_ms)) return recover(event);
  return again(pause_ms_ = std::clamp<std::int64_t>(pause_ms_ * 2, 20, 1'000));
}

}  // namespace rivulet::forward
