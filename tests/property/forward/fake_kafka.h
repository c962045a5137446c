// A Kafka in memory for the simulation: partitions with open transactions, markers and last stable offsets; a transaction
// coordinator with producer epochs; requests that arrive late, replies that get lost, markers that are written late.
//
// Only what forwarding relies on, and as hostile as brokers were seen to be (PROTOCOL.md). Time is the ManualClock's.
#pragma once
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/forward/uplink.h"

namespace rivulet::sim {

struct Crash {};  // thrown through the driver: the process is gone

// How often what goes wrong, in 1/1000 of the calls that could.
struct Faults {
  int crash = 0, cut = 0, lost_report = 0, lost_end_txn_reply = 0, late_end_txn = 0, late_marker = 0, pause = 0, other_agent = 0,
      no_leader = 0, full = 0;  // full: drop-oldest drops
};

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed) {}
  bool hit(int per_mille) { return per_mille > 0 && static_cast<int>(random_() % 1000) < per_mille; }
  std::int64_t between(std::int64_t low, std::int64_t high) { return low + static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(high - low + 1)); }

 private:
  std::mt19937_64 random_;
};

struct Entry {
  enum class Kind { data, commit, abort } kind = Kind::data;
  std::uint64_t producer = 0;
  std::string key, value, rv, rv_gap;
  bool has_key = false, has_value = true;
};

class Cluster {
 public:
  Cluster(ManualClock& clock, Dice& dice, Faults& faults) : clock_(clock), dice_(dice), faults_(faults) {}

  void create(const std::string& topic, int partitions);
  void remove(const std::string& topic);
  bool link_up = true;
  std::int64_t transaction_timeout_ms = 60'000;
  std::string id = "sim-cluster";
  std::set<std::string> poison;  // values that the broker refuses
  std::set<std::string> denied;  // topics
  std::map<std::string, std::int64_t> latest_ms;  // topics that refuse a batch with a record further ahead of the broker's clock
  std::int64_t clock_ahead_ms = 0;                // of the broker, of the agent's
  bool says_limits = true;                        // DescribeConfigs is allowed
  int asked_for_limits = 0;
  bool takes_time(const std::string& topic, Timestamp timestamp_ms) const;
  std::set<std::string> compacted;  // topics: of a key any record but the last may be gone

  void elapse(std::int64_t ms);  // time passes; late things happen
  void check_time();

  const std::map<std::string, std::vector<std::vector<Entry>>>& topics() const { return topics_; }
  std::vector<std::pair<std::int64_t, Entry>> committed(const std::string& topic, int partition) const;
  std::int64_t stable(const kafka::TopicPartition& where) const;
  std::int64_t end(const kafka::TopicPartition& where) const { return static_cast<std::int64_t>(log(where).size()); }

  // The coordinator and the partitions, as a producer sees them.
  struct Session { std::uint64_t producer = 0; int epoch = -1; };
  forward::Failure init(Session& session);
  forward::Failure append(const Session& session, const kafka::TopicPartition& where, Entry entry, std::int64_t& offset);
  enum class Arrives { now, late };
  forward::Failure end_txn(const Session& session, bool commit, Arrives when);
  void other_agent(const kafka::TopicPartition& where);  // opens or ends a transaction of somebody else

 private:
  struct Late {
    std::int64_t due_ms;
    bool marker;  // else an EndTxn request
    kafka::TopicPartition where;
    Session session;
    bool commit;
  };
  std::vector<Entry>& log(const kafka::TopicPartition& where) { return topics_.at(where.topic).at(static_cast<std::size_t>(where.partition)); }
  const std::vector<Entry>& log(const kafka::TopicPartition& where) const {
    return topics_.at(where.topic).at(static_cast<std::size_t>(where.partition));
  }
  bool open(const std::vector<Entry>& log, std::size_t offset, bool& commit) const;
  void finish(bool commit);
  forward::Failure apply_end_txn(const Session& session, bool commit);

  ManualClock& clock_;
  Dice& dice_;
  Faults& faults_;
  std::map<std::string, std::vector<std::vector<Entry>>> topics_;
  Session current_{1, -1};
  enum class State { empty, ongoing, committed, aborted } state_ = State::empty;
  std::set<kafka::TopicPartition> in_transaction_;
  std::int64_t began_ms_ = 0;
  std::vector<Late> late_;
  std::map<kafka::TopicPartition, std::int64_t> others_;  // when their open transaction ends
};

}  // namespace rivulet::sim
