// Driver: carries out the actions of Protocol against an Outbox and an Uplink, one at a time, and reports what happened.
//
// It decides nothing that Protocol decides; it only knows how. No thread of its own: Forwarder calls step() on the forward
// thread, the simulation calls it in a loop. A call of step() blocks for about a second at most.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/forward/outbox.h"
#include "agent/forward/prepared.h"
#include "agent/forward/protocol.h"
#include "agent/forward/transaction.h"
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
  // Broken on purpose (base/fault_point.h), for the negative controls.
  bool no_resolve = false, trim_before_commit = false, no_settle = false, no_drain = false;
};

class Driver {
 public:
  Driver(DriverOptions options, Outbox& outbox, Uplink& uplink, const Clock& clock);

  void start();  // reads the facts and begins
  struct Next {
    bool ended = false;
    bool waits = false;         // until until_ms (steady clock), or data() or stop(); then tick()
    std::int64_t until_ms = 0;
  };
  Next step();
  void tick();
  void data();
  void stop();

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
  void load(Event& start);

  Event open(bool transactional);
  Event drain(std::int64_t timeout_ms);
  Event drain_targets(std::int64_t timeout_ms);
  Event gather(std::int64_t timeout_ms);
  Failure find_progress(std::int64_t timeout_ms);
  Failure read_progress(Evidence& evidence);
  Failure look_at(const PreparedPartition& partition, Evidence::Outcome& outcome, std::int64_t timeout_ms);
  void check_progress_policy();
  Event apply();
  Event quarantine();

  Event send(const Action& action);
  Failure ready_topic(const std::string& topic, std::int64_t timeout_ms);
  struct Sending;
  Failure send_stream(Sending& sending, const store::StreamInfo& stream, Sequence& after, std::string& trouble);
  Failure send_record(Sending& sending, kafka::Message& message, const Rows& row);
  Event flush(std::int64_t timeout_ms);
  Event delivery_failed(const kafka::DeliveryReport& report);
  Event prepare();
  Event commit(std::int64_t timeout_ms);
  Event settle(std::int64_t timeout_ms);
  Event trim();
  std::string& prefix(StreamId stream);

  DriverOptions options_;
  Outbox& outbox_;
  Uplink& uplink_;
  const Clock& clock_;
  Protocol protocol_;
  Action action_;

  std::optional<Prepared> prepared_;   // as stored, or about to be
  std::optional<Witness> witness_;
  bool adopt_ = false;
  kafka::TopicPartition progress_;
  std::string cluster_id_;
  bool policy_checked_ = false;
  std::vector<kafka::TopicPartition> drain_partitions_;
  std::vector<std::int64_t> drain_ends_;

  Transaction transaction_;
  bool commit_tried_ = false, settle_tried_ = false;
  std::map<std::string, bool> ready_topics_;  // of this producer
  std::map<StreamId, std::string> prefixes_;
  std::size_t turn_ = 0;                      // which stream goes first
  std::vector<store::StreamInfo> streams_;
  std::uint64_t forwarded_records_ = 0;
  std::int64_t last_settled_ms_ = 0;
};

}  // namespace rivulet::forward
