#include "agent/forward/protocol.h"

#include <algorithm>
#include <set>

#include "tests/support/catch.h"
#include "tests/unit/forward/events.h"

using namespace rivulet;
using namespace rivulet::forward;
using kafka::FailureKind;
using Kind = Event::Kind;
using Do = Action::Kind;

namespace {

Event failed(FailureKind kind, std::int64_t now_ms = 0) {
  auto e = event(Kind::failed, now_ms);
  e.failure = {kind, 1, "because"};
  return e;
}
Event start(bool clean = false, bool prepared = false) {
  auto e = event(Kind::start);
  e.clean = clean;
  e.prepared = prepared;
  return e;
}
Event resolved(Verdict::Kind kind) {
  auto e = event(Kind::resolved);
  e.verdict.kind = kind;
  e.verdict.message = "verdict";
  return e;
}
Event sent(bool more = false) {
  auto e = event(Kind::sent);
  e.records = 100;
  e.more = more;
  return e;
}
Event committed(std::uint32_t requests = 1, std::uint32_t timed_out = 0) {
  auto e = event(Kind::committed);
  e.end_txn_requests = requests;
  e.timed_out_requests = timed_out;
  return e;
}

// The shortest way to each state.
const std::vector<std::pair<State, std::vector<Event>>>& ways() {
  static const auto list = [] {
    const std::vector<Event> init{start(), event(Kind::done), event(Kind::done)};
    const auto then = [](std::vector<Event> way, std::vector<Event> more) {
      way.insert(way.end(), more.begin(), more.end());
      return way;
    };
    const auto draining = then(init, {event(Kind::done)});
    const auto resolving = then(draining, {event(Kind::done)});
    const auto sending = then(resolving, {resolved(Verdict::Kind::nothing)});
    const auto flushing = then(sending, {sent()});
    const auto preparing = then(flushing, {event(Kind::done)});
    const auto committing = then(preparing, {event(Kind::done)});
    const auto settling = then(committing, {committed()});
    auto refused = failed(FailureKind::record);
    refused.refused = {Rows{1, 7, 7}};
    refused.failed_records = 1;
    return std::vector<std::pair<State, std::vector<Event>>>{
        {State::asleep, then(sending, {event(Kind::nothing), event(Kind::tick, 400'000), event(Kind::done, 400'000)})},
        {State::offline, {start(), event(Kind::failed)}},
        {State::probing, {start()}},
        {State::opening, {start(), event(Kind::done)}},
        {State::initialising, init},
        {State::draining, draining},
        {State::resolving, resolving},
        {State::applying, then(resolving, {resolved(Verdict::Kind::aborted)})},
        {State::idle, then(sending, {event(Kind::nothing)})},
        {State::sending, sending},
        {State::flushing, flushing},
        {State::preparing, preparing},
        {State::committing, committing},
        {State::settling, settling},
        {State::trimming, then(settling, {event(Kind::done)})},
        {State::quarantining,
         then(flushing, {refused, event(Kind::done), event(Kind::done), event(Kind::done), event(Kind::done), event(Kind::done),
                         resolved(Verdict::Kind::nothing)})},
        {State::closing, then(flushing, {failed(FailureKind::link)})},
        {State::backoff, {start(), event(Kind::done), failed(FailureKind::settings), event(Kind::done)}},
        {State::stopped, then(resolving, {resolved(Verdict::Kind::halt), event(Kind::done)})},
        {State::ended, {start(), event(Kind::failed), event(Kind::stop)}},
    };
  }();
  return list;
}

Protocol at(State state, ProtocolOptions options = {}) {
  Protocol protocol(options);
  for (const auto& [wanted, way] : ways()) {
    if (wanted != state) continue;
    for (const auto& e : way) (void)protocol.on(e);
  }
  return protocol;
}

// What may be asked for in a state, besides waiting.
Do action_of(State state) {
  switch (state) {
    case State::probing: return Do::probe;
    case State::opening: return Do::open;
    case State::initialising: return Do::init;
    case State::draining: return Do::drain;
    case State::resolving: return Do::gather;
    case State::applying: return Do::apply;
    case State::sending: return Do::send;
    case State::flushing: return Do::flush;
    case State::preparing: return Do::prepare;
    case State::committing: return Do::commit;
    case State::settling: return Do::settle;
    case State::trimming: return Do::trim;
    case State::quarantining: return Do::quarantine;
    case State::closing: return Do::close;
    case State::ended: return Do::end;
    default: return Do::wait;
  }
}

}  // namespace

TEST_CASE("every state is reached by the table's way to it") {
  std::set<State> states;
  for (const auto& [state, way] : ways()) {
    INFO(name_of(state));
    CHECK(at(state).state() == state);
    states.insert(state);
  }
  CHECK(states.size() == state_count);
}

TEST_CASE("every event in every state gives a legal action or is ignored with a reason and changes nothing") {
  int acted = 0;
  for (int s = 0; s < state_count; ++s) {
    for (int k = 0; k < event_count; ++k) {
      for (const std::int64_t now_ms : {0LL, 1LL, 100'000LL, 10'000'000LL}) {
        for (int failure = 0; failure <= static_cast<int>(FailureKind::uncertain); ++failure) {
          auto protocol = at(static_cast<State>(s));
          auto e = event(static_cast<Kind>(k), 400'000 + now_ms);
          e.failure = {static_cast<FailureKind>(failure), 1, "because"};
          e.fatal = failure % 2 == 1;
          e.at_ours = failure % 2 == 0;
          const auto action = protocol.on(e);
          INFO(name_of(static_cast<State>(s)) << " x " << name_of(e.kind) << " -> " << name_of(protocol.state()));
          if (action.kind == Do::ignored) {
            REQUIRE(protocol.state() == static_cast<State>(s));
            REQUIRE(std::string(action.why) != "");
            continue;
          }
          ++acted;
          REQUIRE((action.kind == Do::wait || action.kind == action_of(protocol.state())));
          if (action.kind == Do::wait) REQUIRE(action.until_ms >= e.now_ms);
          // Nothing may be sent before the past is resolved, nothing trimmed before it is settled.
          if (action.kind == Do::trim) REQUIRE((static_cast<State>(s) == State::settling || static_cast<State>(s) == State::trimming));
          if (action.kind == Do::commit) {
            REQUIRE((static_cast<State>(s) == State::preparing || static_cast<State>(s) == State::committing));
          }
        }
      }
    }
  }
  CHECK(acted > 500);
}

TEST_CASE("a stop in any state ends within a few events, however the link is") {
  for (int s = 0; s < state_count; ++s) {
    for (const bool link : {true, false}) {
      auto protocol = at(static_cast<State>(s));
      std::int64_t now_ms = 500'000;
      auto asked = event(Kind::stop, now_ms);
      asked.waited_ms = 1'000;  // a call was under way
      auto action = protocol.on(asked);
      int events = 0;
      for (; protocol.state() != State::ended && events < 200; ++events) {
        now_ms += action.kind == Do::wait ? std::max<std::int64_t>(action.until_ms - now_ms, 1) : link ? 100 : std::max<std::int64_t>(action.timeout_ms, 100);
        auto next = event(Kind::tick, now_ms);
        const auto doing = protocol.state();
        const bool local = doing == State::closing || doing == State::preparing || doing == State::trimming;  // needs no link
        if (local) next.kind = Kind::done;
        else if (action.kind != Do::wait) next.kind = link ? Kind::done : Kind::pending;
        if (link && protocol.state() == State::committing) next = committed();
        if (link && protocol.state() == State::sending) next = sent();
        next.now_ms = now_ms;
        action = protocol.on(next);
      }
      INFO(name_of(static_cast<State>(s)) << (link ? " with" : " without") << " a link");
      CHECK(protocol.state() == State::ended);
      CHECK(now_ms - asked.now_ms + asked.waited_ms < 2'500);
    }
  }
}

TEST_CASE("a transaction goes from sending to trimming in the protocol's order") {
  auto protocol = at(State::sending);
  CHECK(protocol.on(sent()).kind == Do::flush);
  CHECK(protocol.on(event(Kind::pending)).kind == Do::flush);
  CHECK(protocol.on(event(Kind::done)).kind == Do::prepare);
  CHECK(protocol.on(event(Kind::done)).kind == Do::commit);
  CHECK(protocol.on(event(Kind::pending)).kind == Do::commit);
  CHECK(protocol.on(committed()).kind == Do::settle);
  CHECK(protocol.on(event(Kind::done)).kind == Do::trim);
  CHECK(protocol.on(event(Kind::done)).kind == Do::wait);
  CHECK(protocol.state() == State::idle);
  CHECK(protocol.transactions() == 1);
}

TEST_CASE("at least once needs no PREPARED and no commit, but resolves one that is left") {
  ProtocolOptions options;
  options.exactly_once = false;
  Protocol protocol(options);
  (void)protocol.on(start());
  const auto open = protocol.on(event(Kind::done));
  CHECK_FALSE(open.transactional);
  CHECK(protocol.on(event(Kind::done)).kind == Do::send);
  CHECK(protocol.on(sent()).kind == Do::flush);
  CHECK(protocol.on(event(Kind::done)).kind == Do::trim);

  Protocol switched(options);
  (void)switched.on(start(false, true));
  CHECK(switched.on(event(Kind::done)).transactional);
  CHECK(switched.on(event(Kind::done)).kind == Do::init);
  CHECK(switched.on(event(Kind::done)).kind == Do::drain);
  CHECK(switched.on(event(Kind::done)).kind == Do::gather);
  CHECK(switched.on(resolved(Verdict::Kind::committed)).kind == Do::apply);
  CHECK(switched.on(event(Kind::done)).kind == Do::gather);
  CHECK(switched.on(resolved(Verdict::Kind::nothing)).kind == Do::close);
  const auto reopened = switched.on(event(Kind::done));
  CHECK(reopened.kind == Do::open);
  CHECK_FALSE(reopened.transactional);
}

TEST_CASE("a commit that was sent twice, or a request without an answer, is not believed") {
  for (const auto& doubtful : {committed(2, 0), committed(1, 1)}) {
    auto protocol = at(State::committing);
    CHECK(protocol.on(doubtful).kind == Do::close);
    CHECK(protocol.recoveries() == 1);
  }
}

TEST_CASE("what librdkafka says leads to what the table of PROTOCOL.md says") {
  SECTION("commit timed out: the same call again, recover past the deadline") {
    auto protocol = at(State::committing);
    CHECK(protocol.on(event(Kind::pending, 1'000)).kind == Do::commit);
    CHECK(protocol.on(event(Kind::pending, 61'000)).kind == Do::close);
  }
  SECTION("message timed out: recover, and the next transaction is half as large") {
    auto protocol = at(State::flushing);
    CHECK(protocol.on(failed(FailureKind::timeout)).kind == Do::close);
    for (int i = 0; i < 5; ++i) (void)protocol.on(event(Kind::done));
    const auto send = protocol.on(resolved(Verdict::Kind::nothing));
    (void)send;
    CHECK(protocol.on(event(Kind::tick, 5'000)).max_records == 50);
  }
  SECTION("fenced: recover after a random, growing time") {
    std::int64_t before = 0;
    auto protocol = at(State::committing);
    for (int i = 0; i < 4; ++i) {
      CHECK(protocol.on(failed(FailureKind::fenced)).kind == Do::close);
      const auto pause = protocol.on(event(Kind::done));
      REQUIRE(pause.kind == Do::wait);
      CHECK(pause.until_ms > before);
      before = pause.until_ms;
      CHECK(protocol.on(event(Kind::tick)).kind == Do::probe);
      (void)protocol.on(event(Kind::done));
      CHECK(protocol.on(event(Kind::done)).kind == Do::init);
    }
  }
  SECTION("invalid transaction state: recover") {
    auto protocol = at(State::committing);
    CHECK(protocol.on(failed(FailureKind::uncertain)).kind == Do::close);
  }
  SECTION("a transaction timeout above the broker's maximum: say so, try again later") {
    auto protocol = at(State::initialising);
    CHECK(protocol.on(failed(FailureKind::settings)).kind == Do::close);
    CHECK(protocol.alarm() == "because");
    CHECK(protocol.on(event(Kind::done)).until_ms > 5'000);
  }
  SECTION("a topic that is missing or denied: it waits alone, longer each time") {
    auto protocol = at(State::flushing);
    auto denied = failed(FailureKind::topic);
    denied.topic = "secret";
    CHECK(protocol.on(denied).kind == Do::close);
    CHECK(protocol.holds().held("secret", 500));
    CHECK_FALSE(protocol.holds().held("secret", 1'000));
    CHECK_FALSE(protocol.holds().held("other", 500));
    protocol.holds().hold("secret", "because", 1'000);
    CHECK(protocol.holds().held("secret", 2'500));
  }
  SECTION("a refused record: recover, then it is set aside") {
    auto protocol = at(State::quarantining);
    CHECK(protocol.refused() == std::vector<Rows>{{1, 7, 7}});
    (void)protocol.on(event(Kind::done));
    CHECK(protocol.refused().empty());
  }
  SECTION("a refused batch: found by halves") {
    auto protocol = at(State::flushing);
    auto refused = failed(FailureKind::record);
    refused.failed_records = 100;
    (void)protocol.on(refused);
    CHECK(protocol.refused().empty());
    for (int i = 0; i < 5; ++i) (void)protocol.on(event(Kind::done));
    (void)protocol.on(resolved(Verdict::Kind::nothing));
    CHECK(protocol.on(event(Kind::tick, 5'000)).max_records == 50);
  }
  SECTION("the coordinator is busy: the same call again") {
    auto protocol = at(State::initialising);
    CHECK(protocol.on(failed(FailureKind::retry)).kind == Do::wait);
    CHECK(protocol.on(event(Kind::tick, 100)).kind == Do::init);
  }
}

TEST_CASE("a partition that stands still at our first offset is recovered from after two seconds, another's is waited for") {
  auto unsettled = event(Kind::unsettled, 0);
  unsettled.at_ours = true;
  auto ours = at(State::settling);
  CHECK(ours.on(unsettled).kind == Do::wait);
  unsettled.now_ms = 1'900;
  CHECK(ours.on(unsettled).kind == Do::wait);
  unsettled.now_ms = 2'000;
  CHECK(ours.on(unsettled).kind == Do::close);

  auto others = at(State::settling);
  unsettled.at_ours = false;
  for (unsettled.now_ms = 0; unsettled.now_ms < 600'000; unsettled.now_ms += 10'000) CHECK(others.on(unsettled).kind == Do::wait);
  unsettled.now_ms = 15 * 60'000;
  CHECK(others.on(unsettled).kind == Do::close);
}

TEST_CASE("a hanging partition raises an alarm that names it, and forwarding goes on by itself when it ends") {
  auto protocol = at(State::draining);
  auto undrained = event(Kind::undrained, 1'000);
  undrained.text = "topic t, partition 3 is stable up to offset 7 of 9";
  CHECK(protocol.on(undrained).kind == Do::wait);
  CHECK(protocol.alarm().empty());
  undrained.now_ms = 120'000;
  CHECK(protocol.on(undrained).kind == Do::wait);
  CHECK_THAT(protocol.alarm(), ContainsSubstring("topic t, partition 3") && ContainsSubstring("find-hanging"));
  CHECK(protocol.on(event(Kind::done, 130'000)).kind == Do::gather);
  CHECK(protocol.alarm().empty());
}

TEST_CASE("a verdict for the operator stops forwarding until the process ends") {
  auto protocol = at(State::stopped);
  CHECK(protocol.alarm() == "verdict");
  for (const auto kind : {Kind::data, Kind::tick}) (void)protocol.on(event(kind, 1'000'000));
  CHECK(protocol.state() == State::stopped);
  CHECK(protocol.on(event(Kind::stop)).kind == Do::end);
}

TEST_CASE("probes come within two seconds in the first minutes of an outage and within 75 seconds for ever") {
  Protocol protocol({});
  (void)protocol.on(start());
  std::int64_t now_ms = 0, longest_early = 0, longest = 0;
  for (int i = 0; i < 3'000; ++i) {
    const auto pause = protocol.on(event(Kind::failed, now_ms));
    REQUIRE(pause.kind == Do::wait);
    const auto length = pause.until_ms - now_ms;
    longest = std::max(longest, length);
    if (now_ms < 90'000) longest_early = std::max(longest_early, length);
    now_ms = pause.until_ms;
    REQUIRE(protocol.on(event(Kind::tick, now_ms)).kind == Do::probe);
  }
  CHECK(longest_early <= 2'000);
  CHECK(longest > 30'000);
  CHECK(longest <= 75'000);
}

TEST_CASE("an idle producer is destroyed after minutes, and data brings it back without draining") {
  auto protocol = at(State::asleep);
  CHECK(protocol.on(event(Kind::data, 500'000)).kind == Do::probe);
  CHECK(protocol.on(event(Kind::done, 500'000)).kind == Do::open);
  CHECK(protocol.on(event(Kind::done, 500'000)).kind == Do::init);
  CHECK(protocol.on(event(Kind::done, 500'000)).kind == Do::gather);
}

TEST_CASE("data that comes while an idle producer is being destroyed is not slept through") {
  auto protocol = at(State::idle);
  CHECK(protocol.on(event(Kind::tick, 400'000)).kind == Do::close);
  CHECK(protocol.on(event(Kind::data, 400'000)).kind == Do::ignored);
  CHECK(protocol.on(event(Kind::done, 400'000)).kind == Do::probe);
}

TEST_CASE("an unreadable or uncertain store stops forwarding with its reason") {
  auto protocol = at(State::preparing);
  auto fatal = event(Kind::store_failed);
  fatal.fatal = true;
  fatal.text = "fsync failed";
  CHECK(protocol.on(fatal).kind == Do::close);
  (void)protocol.on(event(Kind::done));
  CHECK(protocol.state() == State::stopped);
  CHECK(protocol.alarm() == "fsync failed");
}

TEST_CASE("a transaction shrinks to one record and grows again") {
  auto protocol = at(State::flushing);
  std::uint32_t smallest = 1'000, after = 1;
  std::int64_t now_ms = 0;
  const auto next_send = [&] {  // from the recovery's close to the next send
    for (int i = 0; i < 20; ++i) {
      now_ms += 100'000;
      auto e = event(protocol.state() == State::backoff || protocol.state() == State::idle ? Kind::tick : Kind::done, now_ms);
      if (protocol.state() == State::resolving) {
        e = resolved(Verdict::Kind::nothing);
        e.now_ms = now_ms;
      }
      const auto action = protocol.on(e);
      if (action.kind == Do::send) return action.max_records;
    }
    return 0U;
  };
  std::uint32_t limit = 100;
  for (int i = 0; i < 10; ++i) {
    (void)protocol.on(failed(FailureKind::timeout, now_ms));
    limit = next_send();
    REQUIRE(limit >= 1);
    smallest = std::min(smallest, limit);
    auto s = sent();
    s.records = limit;
    s.now_ms = now_ms;
    (void)protocol.on(s);
  }
  CHECK(smallest == 1);
  for (int i = 0; i < 10; ++i) {
    for (auto e : {event(Kind::done), event(Kind::done), committed(), event(Kind::done), event(Kind::done)}) {
      e.now_ms = now_ms;
      (void)protocol.on(e);
    }
    now_ms += 10'000;
    const auto action = protocol.on(event(Kind::data, now_ms));
    REQUIRE(action.kind == Do::send);
    CHECK(action.max_records > after);
    after = action.max_records;
    auto s = sent();
    s.now_ms = now_ms;
    (void)protocol.on(s);
  }
  CHECK(protocol.transactions() == 10);
}
