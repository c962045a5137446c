// The names of states and events, for status, logs and test messages.
#include "agent/forward/protocol.h"

namespace rivulet::forward {

const char* name_of(State state) {
  switch (state) {
    case State::asleep: return "asleep";
    case State::offline: return "offline";
    case State::probing: return "probing";
    case State::opening: return "opening";
    case State::initialising: return "initialising";
    case State::draining: return "draining";
    case State::resolving: return "resolving";
    case State::applying: return "applying";
    case State::idle: return "idle";
    case State::sending: return "sending";
    case State::flushing: return "flushing";
    case State::preparing: return "preparing";
    case State::committing: return "committing";
    case State::settling: return "settling";
    case State::trimming: return "trimming";
    case State::quarantining: return "quarantining";
    case State::closing: return "closing";
    case State::backoff: return "backoff";
    case State::stopped: return "stopped";
    case State::ended: return "ended";
  }
  return "?";
}

const char* name_of(Event::Kind kind) {
  switch (kind) {
    case Event::Kind::start: return "start";
    case Event::Kind::tick: return "tick";
    case Event::Kind::data: return "data";
    case Event::Kind::stop: return "stop";
    case Event::Kind::done: return "done";
    case Event::Kind::pending: return "pending";
    case Event::Kind::failed: return "failed";
    case Event::Kind::nothing: return "nothing";
    case Event::Kind::sent: return "sent";
    case Event::Kind::committed: return "committed";
    case Event::Kind::undrained: return "undrained";
    case Event::Kind::unsettled: return "unsettled";
    case Event::Kind::resolved: return "resolved";
    case Event::Kind::store_failed: return "store_failed";
  }
  return "?";
}

}  // namespace rivulet::forward
