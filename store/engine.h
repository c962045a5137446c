// Engine: what the store thread does, one transaction after another. Store (store.h) is the door and the thread.
//
// A change that need not be durable rides: it is kept here and applied first in the next transaction, whatever that is, so
// it costs no flush and no page of its own. flush() applies what rides; everything that would read it calls flush() first.
// Acknowledged packs are removed a bounded number at a time, in whatever transaction comes next, or in background().
//
// Thread: store (construction and prepare(): the opener's, before the thread begins). Errors: full and unavailable: nothing
// was changed, try again; unknown_fate: from then on lost() is set and everything answers it.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "store/database.h"
#include "store/outbox.h"
#include "store/quarantine.h"
#include "store/room.h"
#include "store/state_tables.h"

namespace rivulet::store {

// What the forwarder asks drop-oldest to leave alone. Set on the forward thread, read on the store thread.
class Protected {
 public:
  void set(const std::vector<ForwardChange::Acknowledged>& prepared);
  std::optional<std::map<StreamId, Sequence>> get() const;  // none: never set in this process

 private:
  mutable std::mutex mutex_;
  std::optional<std::map<StreamId, Sequence>> up_to_;
};

class Engine {
 public:
  using Positions = std::map<std::string, std::string>;

  Engine(const Options& options, const Clock& clock, Connection connection);
  result<void> prepare();
  void set_options(const Options& options);  // what Store::set_options() may change

  result<void> write(const Epoch& epoch);
  result<StreamInfo> stream(const std::string& name, const std::string& topic);
  result<Positions> positions(const std::string& source);
  result<std::vector<StreamInfo>> streams();
  result<std::vector<Pack>> read(StreamId stream, Sequence after, std::size_t max_bytes);
  result<std::optional<std::string>> fact(const std::string& name);
  result<void> change(ForwardChange change);
  result<std::vector<Store::Quarantined>> quarantined(std::int64_t after_id, std::size_t limit);
  result<std::uint64_t> drop_quarantined(std::int64_t first_id, std::int64_t last_id);

  result<void> flush();
  result<std::uint32_t> state_step(const std::string& pipeline, const std::string& step, const std::string& definition);
  result<void> state_log(const std::function<result<void>(std::uint64_t, std::string_view)>& visit);
  result<bool> forget_state(const std::string& pipeline, const std::string& step, bool whole, const StateTables::Gone& gone);
  result<bool> unused();
  result<void> rebuild(const Rebuild& rebuild);
  void drop_to_limit(const Protected& protect);  // when_full: drop-oldest, and above the limit
  // One bounded piece of work for an idle thread. Answers how long the thread may sleep then.
  std::int64_t background();

  void give_up(Error error) { lost_ = std::move(error); }
  const std::optional<Error>& lost() const { return lost_; }
  bool rides() const { return !riding_.empty(); }
  void end();  // what rides is written, and what was not yet told is
  const Outbox& outbox() const { return outbox_; }
  void fill(StoreStats& stats) const;  // what is known here

 private:
  using Body = std::function<result<void>(bool& trims)>;
  static constexpr std::uint64_t kTrimPacksWhenFull = 16;  // few pages to write
  result<void> transact(bool emergency, const Body& body, bool fits = false);
  result<void> attempt(bool emergency, std::uint64_t trim_packs, const Body& body);
  result<void> checked(result<void> outcome);
  result<void> apply(const ForwardChange& change);
  result<void> apply_gap(const ForwardChange::Gap& gap, Timestamp now_ms);
  void make_room();
  void tell_dropped();
  void tell_quarantine_dropped();

  Options options_;
  const Clock& clock_;
  Connection connection_;
  Room room_;
  Outbox outbox_;
  Quarantine quarantine_;
  StateTables state_;
  Statement put_position_, erase_position_, get_positions_, put_fact_, erase_fact_, get_fact_;
  std::vector<ForwardChange> riding_;
  std::optional<Error> lost_;
  std::uint64_t dropped_records_ = 0, dropped_told_ = 0;
  std::int64_t last_drop_ms_ = 0;
  std::optional<std::int64_t> dropped_told_ms_, quarantine_told_ms_;
  std::uint64_t quarantine_told_ = 0;
};

}  // namespace rivulet::store
