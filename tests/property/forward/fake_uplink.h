// The Uplink over the simulated cluster: one process's connection. Dies with the process; the cluster stays.
#pragma once
#include "tests/property/forward/fake_kafka.h"

namespace rivulet::sim {

class FakeUplink : public forward::Uplink {
 public:
  FakeUplink(Cluster& cluster, Dice& dice, Faults& faults) : cluster_(cluster), dice_(dice), faults_(faults) {}

  forward::Failure reachable(std::int64_t) override;
  forward::Failure open(bool transactional) override;
  void close() override;
  forward::Failure init(std::int64_t) override;
  kafka::TopicAnswer metadata(const std::string& topic, std::int64_t) override;
  std::string cluster_id(std::int64_t) override { return cluster_.id; }
  forward::Failure begin() override;
  void start_report() override { begun_ = {}; }
  int topic(const std::string& name) override;
  forward::Failure send(const kafka::Message& message, std::int64_t) override;
  forward::Failure flush(std::int64_t) override;
  kafka::DeliveryReport report() override { return report_; }
  Commit commit(std::int64_t) override;
  kafka::Offsets stable_offsets(const std::vector<kafka::TopicPartition>& where, std::int64_t) override;
  kafka::Offsets high_watermarks(const std::vector<kafka::TopicPartition>& where, std::int64_t) override;
  kafka::Reader::Watermarks committed_range(const kafka::TopicPartition& where, std::int64_t, const std::function<bool()>&) override;
  kafka::Reader::Progress read(const kafka::ReadRange& range, std::int64_t, const std::function<bool()>&, const std::function<bool(const kafka::Fetched&)>& take) override;
  Cleanup cleanup_policy(const std::string& topic, std::int64_t) override { return topic == "rivulet-progress" || cluster_.compacted.contains(topic) ? Cleanup::compacts : Cleanup::deletes; }
  forward::TimeLimits time_limits(const std::string& topic, std::int64_t) override;
  void end_recovery() override {}
  bool take_disturbed() override { return std::exchange(disturbed_, false); }
  forward::Failure last_error() override { return {}; }

 private:
  forward::Failure step();  // time passes, the process may die, the link may be down
  struct Waiting { kafka::TopicPartition where; Entry entry; std::uint32_t index; Timestamp timestamp_ms; };
  struct Begun { bool reply_lost = false; std::uint32_t end_txn_requests = 0; };

  Cluster& cluster_;
  Dice& dice_;
  Faults& faults_;
  Cluster::Session session_;
  std::vector<std::string> names_;
  std::vector<Waiting> waiting_;
  kafka::DeliveryReport report_;
  Begun begun_;
  bool disturbed_ = false;
};

}  // namespace rivulet::sim
