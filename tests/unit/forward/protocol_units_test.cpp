// What a unit's epochs ask of the protocol: they cannot be cut, and may take more than one call to send.
#include "agent/forward/protocol.h"
#include "tests/support/catch.h"
#include "tests/unit/forward/events.h"

using namespace rivulet;
using namespace rivulet::forward;
using Kind = Event::Kind;
using Do = Action::Kind;

namespace {

// Up to the action `send`.
Action reach_sending(Protocol& protocol, Kind first) {
  Action action = protocol.on(event(first, 5'000));
  for (int i = 0; i < 10 && action.kind != Do::gather; ++i) action = protocol.on(event(action.kind == Do::wait ? Kind::tick : Kind::done, 5'000));
  action = protocol.on(event(Kind::resolved, 5'000));  // nothing was under way
  return action.kind == Do::wait ? protocol.on(event(Kind::tick, 10'000)) : action;
}

Event timed_out() {
  auto e = event(Kind::failed, 5'000);
  e.failure = {kafka::FailureKind::timeout, 1, "because"};
  return e;
}

}  // namespace

TEST_CASE("halving after a timeout stops at one epoch of a unit") {
  for (const std::uint32_t least : {1U, 80U}) {
    Protocol protocol{ProtocolOptions{}};
    REQUIRE(reach_sending(protocol, Kind::start).kind == Do::send);
    auto sent = event(Kind::sent, 5'000);
    sent.records = 100;
    sent.least_records = least;
    REQUIRE(protocol.on(sent).kind == Do::flush);
    REQUIRE(protocol.on(timed_out()).kind == Do::close);
    const auto again = reach_sending(protocol, Kind::done);
    REQUIRE(again.kind == Do::send);
    CHECK(again.max_records == (least == 1 ? 50 : 80));
  }
}

TEST_CASE("an epoch that the queue does not hold at once goes on, until the transaction's time is over") {
  Protocol protocol{ProtocolOptions{}};
  REQUIRE(reach_sending(protocol, Kind::start).kind == Do::send);
  CHECK(protocol.on(event(Kind::pending, 5'010)).kind == Do::send);
  CHECK(protocol.on(event(Kind::pending, 50'000)).kind == Do::send);
  CHECK(protocol.state() == State::sending);
  CHECK(protocol.on(event(Kind::pending, 80'000)).kind == Do::close);
}

TEST_CASE("data that comes while an epoch is being sent goes with the next transaction") {
  Protocol protocol{ProtocolOptions{}};
  REQUIRE(reach_sending(protocol, Kind::start).kind == Do::send);
  CHECK(protocol.on(event(Kind::pending, 5'010)).kind == Do::send);
  CHECK(protocol.on(event(Kind::data, 5'020)).kind == Do::ignored);
  auto sent = event(Kind::sent, 5'030);
  sent.records = 100;
  CHECK(protocol.on(sent).kind == Do::flush);
  CHECK(protocol.on(event(Kind::done, 5'040)).kind == Do::prepare);
  CHECK(protocol.on(event(Kind::done, 5'050)).kind == Do::commit);
  auto committed = event(Kind::committed, 5'060);
  committed.end_txn_requests = 1;
  CHECK(protocol.on(committed).kind == Do::settle);
  CHECK(protocol.on(event(Kind::done, 5'070)).kind == Do::trim);
  const auto pause = protocol.on(event(Kind::done, 5'080));
  REQUIRE(protocol.state() == State::idle);
  CHECK(pause.until_ms < 10'000);
  CHECK(protocol.on(event(Kind::tick, pause.until_ms)).kind == Do::send);
}

TEST_CASE("a process that ends does not wait for an epoch that the queue does not take") {
  Protocol protocol{ProtocolOptions{}};
  REQUIRE(reach_sending(protocol, Kind::start).kind == Do::send);
  CHECK(protocol.on(event(Kind::stop, 5'000)).kind == Do::ignored);
  CHECK(protocol.on(event(Kind::pending, 5'100)).kind == Do::send);
  CHECK(protocol.on(event(Kind::pending, 8'000)).kind == Do::close);
}
