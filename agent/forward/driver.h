// Driver: carries out the actions of Protocol against an Outbox and an Uplink, one at a time, and reports what happened.
//
// It decides nothing that Protocol decides; it only knows how. No thread of its own: Forwarder calls step() on the forward
// thread, the simulation calls it in a loop. A call of step() blocks for about two seconds at most once told_to_stop, else for as long
// for each topic or partition that it asks for.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/forward/outbox.h"
#include "agent/forward/prepared.h"
#include "agent/forward/protocol.h"
#include "agent/forward/times.h"
#include "agent/forward/transaction.h"
#include "agent/forward/units.h"
#include "agent/forward/uplink.h"

namespace rivulet::forward {

struct DriverOptions {
  ProtocolOptions protocol;
  std::string agent_id;
  Uuid incarnation;
  std::vector<Uuid> history;
  bool headers = true;
  std::string progress_topic = "rivulet-progress";
  std::uint64_t transaction_max_bytes = 32ULL << 20;
  std::vector<Unit> units;
  std::function<bool()> told_to_stop = [] { return false; };  // asked between the questions of one step: on a slow link many take long
  // Broken on purpose (base/fault_point.h), for the negative controls.
  bool no_resolve = false, trim_before_commit = false, no_settle = false, no_drain = false, changelog_apart = false;
};

class Driver {
 public:
  Driver(DriverOptions options, Outbox& outbox, Uplink& uplink, const Clock& clock);

  void start();  // reads the facts and begins; where the store has no answer now, step() asks it again
  struct Next {
    bool ended = false;
    bool waits = false;         // until until_ms (steady clock), or data() or stop(); then tick()
    std::int64_t until_ms = 0;
  };
  Next step();
  void tick();
  void data();
  void stop(std::int64_t waited_ms = 0);  // so long ago it was asked for

  Protocol& protocol() { return protocol_; }
  std::uint64_t forwarded_records() const { return forwarded_records_; }
  std::int64_t last_settled_ms() const { return last_settled_ms_; }
  struct HeldStream { StreamId id; std::string stream, topic, reason; };
  std::vector<HeldStream> held() const;

 private:
  Event perform(const Action& action);
  void on(Event event);
  Event event(Event::Kind kind) const;
  Event failed(const Failure& failure) const;
  Event store_failed(const Error& error) const;
  bool load(Event& start);  // false: to be tried again

  Event open(bool transactional);
  Event drain(std::int64_t timeout_ms);
  Event drain_targets(std::int64_t timeout_ms);
  Event gather(std::int64_t timeout_ms);
  Failure find_progress(std::int64_t timeout_ms);
  Failure read_progress(Evidence& evidence, std::int64_t timeout_ms);
  Failure look_at(const PreparedPartition& partition, Evidence::Outcome& outcome, std::int64_t timeout_ms);
  void check_progress_policy();
  Event apply();

  Event send(const Action& action);
  Failure ready_topic(const std::string& topic, std::int64_t timeout_ms);
  // The transaction that is being filled. It outlives one call when the queue is full in the midst of a unit's epoch.
  struct Sending {
    struct Lane {  // a stream by itself, or a unit
      StreamId stream = 0;
      Sequence after = 0;
      std::optional<UnitTurn> unit;
      bool stopped = false;  // before a record that its topic would refuse
    };
    std::vector<Lane> lanes;
    std::optional<std::size_t> open;  // the lane whose epoch is partly sent: nothing else goes before its end
    std::uint32_t max_records = 0, least_records = 1, flushed_records = 0;
    std::uint64_t bytes = 0;
    std::int64_t began_ms = 0;  // steady clock: topics that were held then are not in it
    std::int64_t until_ms = 0;  // then a queue that is full ends it, or this call of it
    bool full = false, blocked = false, reported = false, stopped = false;
    bool may_stop = false;  // the lane under way is a stream by itself
    std::optional<Rows> failed_row;
    std::string trouble;
    std::string rv, rv_gap;  // reused for every record
  };
  Event go_on(const Action& action);
  Event finish_sending();
  Failure send_stream(Sending& sending, const store::StreamInfo& stream, Sequence& after, Sequence last);
  Failure send_record(Sending& sending, kafka::Message& message, const Rows& row);
  const store::StreamInfo& info(StreamId stream) const;
  // driver_units.cpp
  void keep_units_together(std::vector<const store::StreamInfo*>& ready) const;
  std::vector<Sending::Lane> lanes_of(const std::vector<const store::StreamInfo*>& ready) const;
  Failure send_lane(Sending& sending, std::size_t lane);
  Failure send_unit(Sending& sending, std::size_t lane);
  Failure next_epoch(UnitTurn& turn);
  Failure flush_part(Sending& sending);
  Failure choose_changelog_partition(const std::string& topic, std::int64_t timeout_ms);
  Event not_a_gap(Event refused) const;  // a record of a changelog is never given up
  // driver_times.cpp
  const TimeLimits* limits_of(const std::string& topic) const;  // none: the topic has refused no record for its time
  TimeLimits& learn_limits(const std::string& topic);
  void forget_limits();
  void find_refused(const std::string& topic, Event& out);
  bool set_aside(std::vector<const store::StreamInfo*>& ready, Event& nothing);
  void note_settled();
  Event quarantine();
  void say_refused();
  Event flush(std::int64_t timeout_ms);
  Event delivery_failed(const kafka::DeliveryReport& report);
  bool denied() const;
  Event prepare();
  Event commit(std::int64_t timeout_ms);
  Event settle(std::int64_t timeout_ms);
  Event trim();
  std::string& prefix(StreamId stream);
  static std::vector<store::ForwardChange::Acknowledged> ends_of(const std::vector<Rows>& rows);

  DriverOptions options_;
  Outbox& outbox_;
  Uplink& uplink_;
  const Clock& clock_;
  Protocol protocol_;
  Action action_;
  bool loaded_ = false;
  std::int64_t load_again_ms_ = 0;  // steady clock; 0: not tried yet

  std::optional<Prepared> prepared_;   // as stored, or about to be
  std::optional<Witness> witness_;
  bool adopt_ = false;
  kafka::TopicPartition progress_;
  std::string cluster_id_;
  bool policy_checked_ = false;
  std::vector<kafka::TopicPartition> drain_partitions_;
  std::vector<std::int64_t> drain_ends_;

  Transaction transaction_;
  std::optional<Sending> sending_;
  ChangelogPartitions changelogs_;
  bool changelogs_chosen_ = false;            // not yet stored
  bool commit_tried_ = false, settle_tried_ = false;
  std::map<std::string, bool> ready_topics_;  // of this producer
  std::map<StreamId, std::string> prefixes_;
  std::size_t turn_ = 0;                      // which stream goes first
  std::vector<store::StreamInfo> streams_;
  struct KnownLimits {
    TimeLimits limits;
    std::int64_t until_ms = 0;  // wall clock
  };
  std::map<std::string, KnownLimits> limits_;          // of topics that refused records for their times; outlives the producer
  std::map<std::string, std::int64_t> ahead_;          // how far the transaction under way is ahead of the clock, by topic
  std::map<std::string, std::int64_t> taken_ahead_;    // and the last one that each topic took
  bool set_aside_last_ = false;                        // nothing was sent the last time: this time what is ready goes first
  bool left_aside_ = false;                            // and something was found that waits for the time after
  std::map<StreamId, std::string> set_aside_why_;
  struct Untold {
    std::uint64_t records = 0;
    Sequence first = 0, last = 0;
    std::int64_t next_ms = 0;
    std::string stream, reason;
  };
  std::map<StreamId, Untold> untold_;                  // refused records that no line of the log tells of yet
  std::uint64_t forwarded_records_ = 0;
  std::int64_t last_settled_ms_ = 0;
};

}  // namespace rivulet::forward
