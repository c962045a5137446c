// Sessions: how many frames of each client are accepted and how many are durable.
//
// A named session (HELLO) is a position "session:<name>" = "<frames> <last used, ms>" in the same epoch as its frames, so what
// RESUME answers after a crash is exactly what was committed. Connections without HELLO have a session without a name, which
// lives as long as they do.
// Bound: max_sessions named ones; the longest unused goes first, one with a client or with frames in flight never does.
// "Last used" only orders: it never runs backwards, so a wrong clock cannot throw the wrong session out.
// Thread: io. An epoch never ends between accept() and the accepted() that follows it in one handler.
#pragma once
#include <deque>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/base/result.h"
#include "agent/source/source.h"

namespace rivulet::source {

class Connection;

struct Session {
  std::string name;             // empty: a connection without HELLO
  std::uint64_t accepted = 0;   // frames handed to the pipelines
  std::uint64_t durable = 0;    // frames committed
  EpochNumber settles_with = 0; // `durable` is the truth once this epoch is durable
  Connection* owner = nullptr;  // the newest connection that said HELLO with this name
  std::int64_t last_used_ms = 0;
  std::deque<std::pair<EpochNumber, std::uint64_t>> in_flight;  // epoch, `accepted` at its end; a few at most
};
using SessionPtr = std::shared_ptr<Session>;

class Sessions {
 public:
  Sessions(Intake& intake, std::size_t max_sessions);

  void load();  // from positions_at_start()

  // The session of that name, made if it is new. Refused: a name that is not 1-128 printable characters without blanks
  // (invalid), or every remembered session is in use (full).
  result<SessionPtr> open(std::string_view name);

  void accepted(const SessionPtr& session, std::uint64_t frames);  // right after the accept() calls, in the same handler
  void on_durable(EpochNumber up_to);
  bool settled(const Session& session) const { return durable_epoch_ >= session.settles_with; }
  void release(Session& session);  // its connection is gone

  std::size_t remembered() const { return by_name_.size(); }

 private:
  using Order = std::list<SessionPtr>;  // longest unused first
  void touch(Session& session);
  bool make_room();
  void store(const Session& session);

  Intake& intake_;
  std::size_t max_;
  EpochNumber durable_epoch_ = 0;
  EpochNumber last_erase_ = 0;
  std::int64_t newest_use_ms_ = 0;
  Order order_;
  std::unordered_map<std::string, Order::iterator> by_name_;
  std::vector<SessionPtr> in_flight_;
};

}  // namespace rivulet::source
