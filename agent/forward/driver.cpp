#include "agent/forward/driver.h"

#include <algorithm>

#include "agent/base/check.h"
#include "agent/base/fault_point.h"
#include "agent/base/log.h"

namespace rivulet::forward {

Driver::Driver(DriverOptions options, Outbox& outbox, Uplink& uplink, const Clock& clock)
    : options_(std::move(options)), outbox_(outbox), uplink_(uplink), clock_(clock), protocol_(options_.protocol) {}

Event Driver::event(Event::Kind kind) const {
  Event event;
  event.kind = kind;
  event.now_ms = clock_.steady_ms();
  return event;
}

Event Driver::failed(const Failure& failure) const {
  auto out = event(failure.kind == FailureKind::pending ? Event::Kind::pending : Event::Kind::failed);
  out.failure = failure;
  return out;
}

Event Driver::store_failed(const Error& error) const {
  auto out = event(Event::Kind::store_failed);
  out.fatal = error.code == ErrorCode::unknown_fate;
  out.text = error.message;
  return out;
}

void Driver::start() {
  auto start = event(Event::Kind::start);
  loaded_ = load(start);
  if (loaded_) return on(std::move(start));
  load_again_ms_ = clock_.steady_ms() + 500;
}

std::vector<store::ForwardChange::Acknowledged> Driver::ends_of(const std::vector<Rows>& rows) {
  std::vector<store::ForwardChange::Acknowledged> ends;
  for (const auto& row : rows) ends.push_back({row.stream, row.last});
  return ends;
}

// PREPARED that cannot be read stops forwarding: to guess would lose or double records. A disk that is full, or memory, is waited for.
bool Driver::load(Event& start) {
  const auto refuse = [&](const Error& error) {
    if (error.code == ErrorCode::full || error.code == ErrorCode::unavailable) {
      if (load_again_ms_ == 0) log::warn("forward: nothing is sent until the store answers; it is asked again: {}", error.message);
      return false;
    }
    start.kind = Event::Kind::store_failed;
    start.fatal = true;
    start.text = error.message;
    return true;
  };
  const auto prepared = outbox_.fact(prepared_fact);
  const auto witness = outbox_.fact(witness_fact);
  const auto adopt = outbox_.fact(adopt_fact);
  const auto clean = outbox_.fact(clean_fact);
  const auto changelogs = outbox_.fact(changelogs_fact);
  for (const auto* fact : {&prepared, &witness, &adopt, &clean, &changelogs}) {
    if (!*fact) return refuse(fact->error());
  }
  if (*changelogs) {
    auto decoded = decode_changelogs(**changelogs);
    if (!decoded) return refuse(decoded.error());
    changelogs_ = std::move(*decoded);
  }
  if (*prepared) {
    auto decoded = decode_prepared(**prepared);
    if (!decoded) return refuse(decoded.error());
    prepared_ = std::move(*decoded);
  }
  outbox_.protect(ends_of(prepared_ ? prepared_->streams : std::vector<Rows>{}));
  if (*witness) {
    auto decoded = decode_witness(**witness);
    if (!decoded) return refuse(decoded.error());
    witness_ = std::move(*decoded);
  }
  adopt_ = adopt->has_value();
  start.prepared = prepared_.has_value();
  if (!*clean) return true;
  // It counts for this start only, and must be gone before anything is under way.
  store::ForwardChange change;
  change.facts.emplace_back(clean_fact, std::nullopt);
  if (const auto done = outbox_.change(std::move(change)); !done) return refuse(done.error());
  start.clean = true;
  return true;
}

void Driver::on(Event event) {
  auto next = protocol_.on(event);
  if (next.kind != Action::Kind::ignored) action_ = next;
}

void Driver::tick() { on(event(Event::Kind::tick)); }
void Driver::data() { on(event(Event::Kind::data)); }
void Driver::stop(std::int64_t waited_ms) {
  auto asked = event(Event::Kind::stop);
  asked.waited_ms = waited_ms;
  on(asked);
}

Driver::Next Driver::step() {
  if (action_.kind == Action::Kind::end) {
    if (action_.clean) {
      store::ForwardChange change;
      change.facts.emplace_back(clean_fact, "1");
      if (const auto done = outbox_.change(std::move(change)); !done) log::debug("forward: {}", done.error().message);
    }
    action_ = {};
    return {true, false, 0};
  }
  if (protocol_.state() == State::ended) return {true, false, 0};
  if (!loaded_) {
    if (clock_.steady_ms() < load_again_ms_) return {false, true, load_again_ms_};
    start();
    return {};
  }
  if (action_.kind == Action::Kind::wait) return {false, true, action_.until_ms};
  const auto before = protocol_.state();
  const auto happened = perform(action_);
  const auto next = protocol_.on(happened);
  RV_CHECK(next.kind != Action::Kind::ignored, "an action's outcome is never ignored");
  action_ = next;
  const bool resolved = before == State::resolving || before == State::applying;
  if (resolved && (protocol_.state() == State::idle || protocol_.state() == State::sending)) uplink_.end_recovery();  // its threads would wake up each second
  if (happened.kind == Event::Kind::failed || happened.kind == Event::Kind::store_failed) {
    const auto& what = happened.failure ? happened.failure.message : happened.text;
    log::debug("forward: {}: {} -> {}", name_of(before), what, name_of(protocol_.state()));
  }
  return {};
}

Event Driver::perform(const Action& action) {
  switch (action.kind) {
    case Action::Kind::probe: {
      const auto failure = uplink_.reachable(action.timeout_ms);
      return failure ? failed(failure) : event(Event::Kind::done);
    }
    case Action::Kind::open: return open(action.transactional);
    case Action::Kind::init: {
      if (const auto failure = uplink_.init(action.timeout_ms)) {
        const auto cause = uplink_.last_error();
        return failed(cause ? cause : failure);
      }
      fault_point("forward.init");
      return event(Event::Kind::done);
    }
    case Action::Kind::drain: return drain(action.timeout_ms);
    case Action::Kind::gather: return gather(action.timeout_ms);
    case Action::Kind::apply: return apply();
    case Action::Kind::send: return send(action);
    case Action::Kind::flush: return flush(action.timeout_ms);
    case Action::Kind::prepare: return prepare();
    case Action::Kind::commit: return commit(action.timeout_ms);
    case Action::Kind::settle: return settle(action.timeout_ms);
    case Action::Kind::trim: return trim();
    case Action::Kind::quarantine: return quarantine();
    case Action::Kind::close:
      uplink_.close();
      return event(Event::Kind::done);
    case Action::Kind::ignored: case Action::Kind::wait: case Action::Kind::end: break;
  }
  return event(Event::Kind::tick);
}

Event Driver::open(bool transactional) {
  fault_point("forward.recover");
  ready_topics_.clear();
  drain_partitions_.clear();
  drain_ends_.clear();
  transaction_.clear();
  sending_.reset();
  if (const auto failure = uplink_.open(transactional)) return failed(failure);
  return event(Event::Kind::done);
}

std::vector<Driver::HeldStream> Driver::held() const {
  std::vector<HeldStream> list;
  for (const auto& [topic, hold] : const_cast<Driver*>(this)->protocol_.holds().all()) {
    for (const auto& stream : streams_) {
      if (stream.acknowledged >= stream.last) continue;
      if (stream.topic == topic) list.push_back({stream.id, stream.name, topic, hold.reason});
      for (const auto& unit : options_.units) {
        if (!unit.has(stream.id) || stream.topic == topic) continue;
        const bool waits = std::any_of(streams_.begin(), streams_.end(), [&, t = topic](const auto& s) { return s.topic == t && unit.has(s.id) && s.acknowledged < s.last; });
        if (waits) list.push_back({stream.id, stream.name, stream.topic, "it goes with topic " + topic + " (" + info(unit.changelog).name + "), which waits: " + hold.reason});
      }
    }
  }
  return list;
}

}  // namespace rivulet::forward
