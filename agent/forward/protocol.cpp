#include "agent/forward/protocol.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace rivulet::forward {
namespace {

using Kind = Event::Kind;
constexpr std::uint32_t unlimited_records = std::numeric_limits<std::uint32_t>::max();
constexpr std::int64_t forever_ms = std::numeric_limits<std::int64_t>::max() / 4;

constexpr std::int64_t slice_ms = 200;            // of one blocking call: stop() is heard this soon
constexpr std::int64_t recovery_call_ms = 2'000;  // metadata, offsets: a call cannot be broken off, and stop() has 3 s
constexpr std::int64_t stuck_at_ours_ms = 2'000;  // a marker follows a commit within milliseconds (PROTOCOL.md, "Settle")
constexpr std::int64_t settle_limit_ms = 15 * 60'000;  // the brokers' longest transaction timeout, by default
constexpr std::int64_t settings_pause_ms = 15'000;
constexpr std::uint32_t isolated_limit = 1'000;  // each stream has had its turn many times

}  // namespace

Protocol::Protocol(ProtocolOptions options) : options_(options), max_records_(unlimited_records), random_(options.seed) {}

Action Protocol::on(const Event& event) {
  now_ms_ = event.now_ms;
  if (state_ == State::ended) return ignored("it has ended");
  if (event.kind == Kind::start) return on_start(event);
  if (event.kind == Kind::stop) return on_stop(event);
  if (event.kind == Kind::data) return on_data();
  if (event.kind == Kind::store_failed && event.fatal) {
    return state_ == State::stopped || state_ == State::closing ? ignored("already ending") : give_up(event.text);
  }
  switch (state_) {
    case State::offline: case State::probing: case State::opening: case State::initialising: return reaching(event);
    case State::draining: case State::resolving: case State::applying: return recovering(event);
    case State::sending: case State::flushing: case State::preparing: return sending(event);
    case State::committing: case State::settling: case State::trimming: return ending(event);
    case State::quarantining:
      if (event.kind == Kind::done) {
        refused_.clear();
        return ready();
      }
      if (event.kind == Kind::store_failed) return again(500);
      return event.kind == Kind::tick ? perform() : ignored("a refused record is being set aside");
    case State::idle:
      if (event.kind != Kind::tick) return ignored("nothing is under way");
      if (next_held_ms_ > 0 && now_ms_ >= next_held_ms_) has_data_ = true;
      return from_idle();
    case State::asleep:
      if (event.kind != Kind::tick || !started_) return ignored("nothing is under way");
      return next_held_ms_ > 0 && now_ms_ >= next_held_ms_ ? enter(State::probing) : perform();
    case State::backoff: return event.kind == Kind::tick ? enter(State::probing) : ignored("waiting before the next attempt");
    case State::closing: return event.kind == Kind::done ? after_close() : ignored("the producer is being destroyed");
    case State::stopped: return event.kind == Kind::tick ? perform() : ignored("an operator must decide");
    case State::ended: break;
  }
  return ignored("it has ended");
}

Action Protocol::on_start(const Event& event) {
  if (started_) return ignored("it was started before");
  started_ = true;
  prepared_ = event.prepared;
  certain_ = event.clean && !event.prepared;
  return enter(State::probing);
}

Action Protocol::on_data() {
  has_data_ = true;
  if (!started_) return ignored("it is not started");
  if (state_ == State::idle) return from_idle();
  if (state_ == State::asleep) return enter(State::probing);
  return ignored("noted: the next transaction takes it");
}

Action Protocol::on_stop(const Event& event) {
  if (stopping_) return ignored("it is stopping already");
  stopping_ = true;
  stop_by_ms_ = now_ms_ - event.waited_ms + options_.stop_grace_ms;
  if (under_way()) return ignored("the transaction under way is finished first");
  switch (state_) {
    case State::asleep: case State::offline: case State::backoff: case State::stopped: return after_close();
    case State::closing: return ignored("the producer is being destroyed");
    default: return enter(State::closing);
  }
}

// sending, flushing, preparing: up to the point of no return.
Action Protocol::sending(const Event& event) {
  const bool in_time = now_ms_ - sent_ms_ < options_.transaction_timeout_ms;
  switch (event.kind) {
    case Kind::tick: return perform();
    case Kind::sent:
      if (state_ != State::sending) break;
      last_records_ = event.records;
      least_records_ = std::max(1U, event.least_records);
      more_ = event.more;
      has_data_ = has_data_ || more_;
      next_held_ms_ = event.until_ms;
      sent_ms_ = now_ms_;
      return enter(State::flushing);
    case Kind::nothing:
      if (state_ != State::sending) break;
      certain_ = true;  // it never began
      if (!event.refused.empty()) {
        refused_ = event.refused;
        refused_reason_ = event.text;
        has_data_ = more_ = true;
        return enter(State::quarantining);
      }
      has_data_ = more_ = false;
      next_held_ms_ = event.until_ms;
      state_ = State::idle;
      return from_idle();
    case Kind::done:
      if (state_ == State::flushing) return enter(options_.exactly_once ? State::preparing : State::trimming);
      if (state_ != State::preparing) break;
      prepared_ = true;
      return enter(State::committing);
    case Kind::pending:
      if (state_ == State::flushing && in_time) return again(0);
      if (state_ == State::sending && !for_longer_than(options_.transaction_timeout_ms)) return again(0);
      return recover(event);
    case Kind::store_failed:
      if (state_ == State::flushing) break;
      if (state_ == State::preparing && in_time) return again(500);
      return recover(event);
    case Kind::failed: return recover(event);
    default: break;
  }
  return ignored("records are being sent");
}

// committing, settling, trimming: PREPARED is durable.
Action Protocol::ending(const Event& event) {
  switch (event.kind) {
    case Kind::tick: return perform();
    case Kind::committed:
      if (state_ != State::committing) break;
      if (!options_.ignore_end_txn_count && (event.end_txn_requests > 1 || event.timed_out_requests > 0)) {
        // A delayed copy of the request could commit half of the next transaction (KAFKA-17754).
        Event why = event;
        why.failure = {kafka::FailureKind::uncertain, 0, "the commit was sent more than once, or a request had no answer"};
        return recover(why);
      }
      return enter(State::settling);
    case Kind::unsettled:
      if (state_ != State::settling) break;
      if (!event.at_ours) at_ours_since_ms_ = -1;
      else if (at_ours_since_ms_ < 0) at_ours_since_ms_ = now_ms_;
      if ((event.at_ours && now_ms_ - at_ours_since_ms_ >= stuck_at_ours_ms) || for_longer_than(settle_limit_ms)) return recover(event);
      last_error_ = event.text;
      return again(pause_ms_ = std::clamp<std::int64_t>(pause_ms_ * 2, 1, 250));
    case Kind::done:
      if (state_ == State::settling) return enter(State::trimming);
      if (state_ != State::trimming) break;
      ++transactions_;
      failures_ = fences_ = 0;
      prepared_ = false;
      certain_ = true;
      last_error_.clear();
      if (isolating_) {
        isolating_ = more_ && ++isolated_ < isolated_limit;  // everything that waited went: it is not there any more
      } else if (max_records_ != unlimited_records) {        // grow again, slowly
        max_records_ += std::max(1U, max_records_ / 4);
        if (max_records_ > 1'000'000) max_records_ = unlimited_records;
      }
      return ready();
    case Kind::pending:
      if (state_ == State::trimming) break;
      if (for_longer_than(state_ == State::settling ? settle_limit_ms : options_.transaction_timeout_ms)) return recover(event);
      return again(state_ == State::settling ? 100 : 0);
    case Kind::failed:
      if (state_ == State::trimming) break;
      if (state_ == State::settling ? for_longer_than(settle_limit_ms)
                                    : event.failure.kind != kafka::FailureKind::retry || for_longer_than(options_.transaction_timeout_ms)) {
        return recover(event);
      }
      at_ours_since_ms_ = -1;
      return again(100);
    case Kind::store_failed:
      if (state_ == State::trimming) return again(500);
      break;
    default: break;
  }
  return ignored("a transaction is being ended");
}

bool Protocol::take_apart(const Event& event) {
  if (!event.refused.empty()) {
    refused_ = event.refused;
    refused_reason_ = event.text.empty() ? event.failure.message : event.text;
    isolating_ = false;
    return true;
  }
  // A whole batch was refused for some records' sake: find one by halves.
  const auto half = std::max(1U, std::min(max_records_, event.failed_records) / 2);
  isolated_ = 0;
  isolating_ = true;
  return std::exchange(max_records_, half) > half;
}

void Protocol::learn(const Event& event) {
  switch (event.failure.kind) {
    case kafka::FailureKind::record:
      if (!take_apart(event)) ++failures_;
      return;
    case kafka::FailureKind::topic:
      for (const auto& topic : event.more_topics) holds_.hold(topic, event.failure.message, now_ms_);
      if (!event.topic.empty() && !event.more_topics.contains(event.topic)) holds_.hold(event.topic, event.failure.message, now_ms_);
      return;
    case kafka::FailureKind::fenced: ++fences_; return;
    case kafka::FailureKind::settings: alarm_ = event.failure.message; return;
    default: break;
  }
  const bool timed_out = event.failure.kind == kafka::FailureKind::timeout || event.kind == Kind::pending;
  if (timed_out && state_ == State::flushing && last_records_ > 0) {
    max_records_ = std::max(least_records_, std::min(max_records_, last_records_) / 2);
  }
}

Action Protocol::recover(const Event& event) {
  ++recoveries_;
  const auto refusal = event.failure.kind == kafka::FailureKind::record;
  const auto held = event.failure.kind == kafka::FailureKind::topic && !event.topic.empty();  // it waits by itself, others shall not wait with it
  const auto before = failures_;
  if (!refusal && !held) ++failures_;
  if (under_way()) certain_ = false;
  learn(event);
  last_error_ = event.failure ? event.failure.message : event.text.empty() ? std::string("no answer while ") + name_of(state_) : event.text;
  has_data_ = true;
  more_ = false;
  // A refusal that brought the search one step nearer to its record is no outage: each can happen a few times only.
  backoff_ms_ = failures_ <= 1 || failures_ == before ? 0 : jitter(std::min<std::int64_t>(30'000, 50LL << std::min(failures_, 12U)));
  if (event.failure.kind == kafka::FailureKind::fenced) {
    // Two copies must not fence each other for ever.
    backoff_ms_ = jitter(std::min<std::int64_t>(60'000, 250LL << std::min(fences_, 10U)));
  }
  if (event.failure.kind == kafka::FailureKind::settings) backoff_ms_ = jitter(settings_pause_ms);
  return enter(State::closing);
}

Action Protocol::give_up(std::string alarm) {
  alarm_ = std::move(alarm);
  halted_ = true;
  return enter(State::closing);
}

Action Protocol::after_close() {
  if (stopping_) {
    state_ = State::ended;
    Action end;
    end.kind = Action::Kind::end;
    end.clean = certain_ && !prepared_;
    return end;
  }
  if (halted_) return enter(State::stopped);
  if (asleep_next_) {
    asleep_next_ = false;
    return enter(has_data_ ? State::probing : State::asleep);
  }
  if (reopen_) {
    reopen_ = false;
    return enter(State::opening);
  }
  if (backoff_ms_ <= 0) return enter(State::probing);
  enter(State::backoff);
  return wait(std::exchange(backoff_ms_, 0));
}

Action Protocol::ready() {
  alarm_.clear();
  if (!refused_.empty()) return enter(State::quarantining);
  if (open_transactional_ && !transactional()) {  // the configuration changed to at-least-once
    reopen_ = true;
    return enter(State::closing);
  }
  state_ = State::idle;
  idle_since_ms_ = now_ms_;
  return from_idle();
}

Action Protocol::from_idle() {
  if (stopping_) return enter(State::closing);
  if (has_data_ && (more_ || now_ms_ >= next_begin_ms_)) {
    // A fleet's transactions are spread by jitter.
    next_begin_ms_ = now_ms_ + jitter(options_.transaction_interval_ms);
    certain_ = false;
    has_data_ = false;  // what comes from here on waits for the next one
    return enter(State::sending);
  }
  if (has_data_) return wait(next_begin_ms_ - now_ms_);
  const auto close_at_ms = idle_since_ms_ + options_.idle_close_ms;
  if (now_ms_ >= close_at_ms) {
    asleep_next_ = true;
    return enter(State::closing);
  }
  return wait((next_held_ms_ > 0 ? std::min(close_at_ms, next_held_ms_) : close_at_ms) - now_ms_);
}

Action Protocol::enter(State state) {
  state_ = state;
  entered_ms_ = now_ms_;
  pause_ms_ = 0;
  at_ours_since_ms_ = -1;
  return perform();
}

Action Protocol::perform() {
  Action action;
  action.timeout_ms = slice_ms;
  switch (state_) {
    case State::asleep: return wait(next_held_ms_ > 0 ? next_held_ms_ - now_ms_ : forever_ms - now_ms_);
    case State::stopped: return wait(forever_ms - now_ms_);
    case State::offline: case State::backoff: case State::idle: return wait(0);
    case State::probing: action.kind = Action::Kind::probe; action.timeout_ms = 1'000; break;
    case State::opening:
      action.kind = Action::Kind::open;
      action.transactional = open_transactional_ = transactional();
      break;
    case State::initialising: action.kind = Action::Kind::init; break;
    case State::draining: action.kind = Action::Kind::drain; action.timeout_ms = recovery_call_ms; break;
    case State::resolving: action.kind = Action::Kind::gather; action.timeout_ms = recovery_call_ms; break;
    case State::applying: action.kind = Action::Kind::apply; break;
    case State::sending:
      action.kind = Action::Kind::send;
      action.max_records = max_records_;
      action.timeout_ms = recovery_call_ms;
      break;
    case State::flushing: action.kind = Action::Kind::flush; break;
    case State::preparing: action.kind = Action::Kind::prepare; break;
    case State::committing: action.kind = Action::Kind::commit; break;
    case State::settling: action.kind = Action::Kind::settle; action.timeout_ms = recovery_call_ms; break;
    case State::trimming: action.kind = Action::Kind::trim; break;
    case State::quarantining: action.kind = Action::Kind::quarantine; break;
    case State::closing: action.kind = Action::Kind::close; break;
    case State::ended: return ignored("it has ended");
  }
  if (stopping_) action.timeout_ms = std::min(action.timeout_ms, std::max(stop_by_ms_ - now_ms_, slice_ms));
  return action;
}

Action Protocol::wait(std::int64_t for_ms) {
  Action action;
  action.kind = Action::Kind::wait;
  action.until_ms = now_ms_ + std::max<std::int64_t>(for_ms, 0);
  return action;
}

Action Protocol::again(std::int64_t for_ms) {
  if (stopping_ && now_ms_ >= stop_by_ms_) return enter(State::closing);
  return for_ms <= 0 ? perform() : wait(for_ms);
}

bool Protocol::transactional() const { return options_.exactly_once || prepared_; }
bool Protocol::under_way() const { return state_ >= State::sending && state_ <= State::trimming; }

std::int64_t Protocol::jitter(std::int64_t ms) {  // splitmix64
  random_ += 0x9e3779b97f4a7c15ULL;
  auto z = random_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  z ^= z >> 31;
  return ms * 3 / 4 + static_cast<std::int64_t>(z % static_cast<std::uint64_t>(std::max<std::int64_t>(ms / 2, 1)));
}

}  // namespace rivulet::forward
