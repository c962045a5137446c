// What a refusal of records means: no outage, and never a record too many.
#include "agent/forward/protocol.h"
#include "tests/support/catch.h"
#include "tests/unit/forward/events.h"

using namespace rivulet;
using namespace rivulet::forward;
using kafka::FailureKind;
using Kind = Event::Kind;
using Do = Action::Kind;

namespace {

// From the close of a recovery, or from idle, to the next send; what it waited on the way. Refused records are set aside.
Action to_send(Protocol& protocol, std::int64_t& now_ms, std::int64_t* waited_ms = nullptr) {
  Action action;
  for (int i = 0; i < 20 && action.kind != Do::send; ++i) {
    auto e = protocol.state() == State::resolving ? event(Kind::resolved) : event(Kind::done);
    if (protocol.state() == State::idle) e = event(Kind::data);
    if (protocol.state() == State::sending) e = event(Kind::tick);
    if (action.kind == Do::wait) {
      if (waited_ms != nullptr && protocol.state() == State::backoff) *waited_ms += action.until_ms - now_ms;
      now_ms = action.until_ms;
      e = event(Kind::tick);
    }
    e.now_ms = now_ms;
    action = protocol.on(e);
  }
  return action;
}

// One transaction of as many records as it may have, that settles or is refused.
void sends(Protocol& protocol, std::int64_t now_ms, std::uint32_t records, bool more = true) {
  auto s = event(Kind::sent);
  s.more = more;
  s.records = records;
  s.now_ms = now_ms;
  REQUIRE(protocol.on(s).kind == Do::flush);
}
void settles(Protocol& protocol, std::int64_t now_ms) {
  for (auto e : {event(Kind::done), event(Kind::done), event(Kind::committed), event(Kind::done), event(Kind::done)}) {
    e.now_ms = now_ms;
    (void)protocol.on(e);
  }
}
void is_refused(Protocol& protocol, std::int64_t now_ms, std::uint32_t records, std::vector<Rows> known = {}) {
  auto e = event(Kind::failed, now_ms);
  e.failure = {FailureKind::record, 1, "because"};
  e.failed_records = records;
  e.refused = std::move(known);
  REQUIRE(protocol.on(e).kind == Do::close);
}

Protocol at_sending() {
  Protocol protocol{ProtocolOptions{}};
  std::int64_t now_ms = 0;
  (void)protocol.on(event(Kind::start));
  REQUIRE(to_send(protocol, now_ms).kind == Do::send);
  REQUIRE(now_ms == 0);
  return protocol;
}

}  // namespace

TEST_CASE("a refused batch is no outage: it is taken apart without a pause and without growing in between") {
  auto protocol = at_sending();
  std::int64_t now_ms = 0, waited_ms = 0;
  std::uint32_t limit = 64;
  sends(protocol, now_ms, limit);
  while (limit > 1) {
    is_refused(protocol, now_ms, limit);
    const auto send = to_send(protocol, now_ms, &waited_ms);
    REQUIRE(send.max_records == limit / 2);
    limit = send.max_records;
    sends(protocol, now_ms, limit);
    settles(protocol, now_ms);  // another stream's turn
    REQUIRE(to_send(protocol, now_ms).max_records == limit);
    sends(protocol, now_ms, limit);
  }
  is_refused(protocol, now_ms, 1, {{1, 7, 7}});
  CHECK(to_send(protocol, now_ms, &waited_ms).max_records == 1);
  CHECK(waited_ms == 0);
  for (std::uint32_t grown = 2; grown < 5; ++grown) {  // it was found
    sends(protocol, now_ms, 1);
    settles(protocol, now_ms);
    CHECK(to_send(protocol, now_ms).max_records == grown);
  }
}

TEST_CASE("topics that may not be written wait by themselves: others go on without a pause, however many there are") {
  auto protocol = at_sending();
  std::int64_t now_ms = 0, waited_ms = 0;
  for (int i = 0; i < 20; ++i) {
    sends(protocol, now_ms, 5);
    auto e = event(Kind::failed, now_ms);
    e.failure = {FailureKind::topic, 29, "denied"};
    e.topic = "topic-" + std::to_string(i);
    e.more_topics = {e.topic, "more-" + std::to_string(i)};
    REQUIRE(protocol.on(e).kind == Do::close);
    for (const auto& topic : e.more_topics) CHECK(protocol.holds().held(topic, now_ms + 500));
    REQUIRE(to_send(protocol, now_ms, &waited_ms).kind == Do::send);
  }
  CHECK(waited_ms == 0);
  CHECK(protocol.holds().all().at("topic-0").delay_ms == 1'000);
}

TEST_CASE("a refusal that leads no nearer to its record is an outage") {
  auto protocol = at_sending();
  std::int64_t now_ms = 0, waited_ms = 0;
  for (int i = 0; i < 6; ++i) {
    sends(protocol, now_ms, 1);
    is_refused(protocol, now_ms, 2);  // the record, and the progress record with it
    REQUIRE(to_send(protocol, now_ms, &waited_ms).kind == Do::send);
  }
  CHECK(waited_ms > 1'000);
}

TEST_CASE("transactions grow again when the refused record has left the outbox by another way") {
  auto protocol = at_sending();
  std::int64_t now_ms = 0;
  sends(protocol, now_ms, 4);
  is_refused(protocol, now_ms, 4);
  REQUIRE(to_send(protocol, now_ms).max_records == 2);
  sends(protocol, now_ms, 2, false);  // all that there was
  settles(protocol, now_ms);
  REQUIRE(to_send(protocol, now_ms).max_records == 2);
  sends(protocol, now_ms, 2, false);
  settles(protocol, now_ms);
  CHECK(to_send(protocol, now_ms).max_records == 3);
}

TEST_CASE("records that are known to be refused are set aside together, after a recovery or without a transaction") {
  const std::vector<Rows> rows{{1, 7, 9}, {1, 12, 12}, {4, 1, 1}};
  SECTION("the transaction was refused") {
    auto protocol = at_sending();
    std::int64_t now_ms = 0;
    sends(protocol, now_ms, 100);
    is_refused(protocol, now_ms, 100, rows);
    for (int i = 0; i < 5; ++i) (void)protocol.on(event(Kind::done));
    CHECK(protocol.on(event(Kind::resolved)).kind == Do::quarantine);
    CHECK(protocol.refused() == rows);
    CHECK(protocol.refused_reason() == "because");
    const auto send = to_send(protocol, now_ms);
    CHECK(send.kind == Do::send);
    CHECK(send.max_records > 1'000'000);  // nothing to search for
  }
  SECTION("they were found before it began") {
    auto protocol = at_sending();
    auto nothing = event(Kind::nothing, 5);
    nothing.refused = rows;
    nothing.text = "too far ahead";
    CHECK(protocol.on(nothing).kind == Do::quarantine);
    CHECK(protocol.refused() == rows);
    CHECK(protocol.refused_reason() == "too far ahead");
    CHECK(protocol.on(event(Kind::done, 5)).kind == Do::send);  // at once
    CHECK(protocol.refused().empty());
    CHECK(protocol.recoveries() == 0);
  }
}
