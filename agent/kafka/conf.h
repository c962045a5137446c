// Inside kafka/ only: librdkafka's configuration object and handle with their owners, and the callbacks every handle has.
//
// Logs: librdkafka's own lines go to the log, at most one line of a facility in 30 s (a dead link repeats itself).
#pragma once
#include <librdkafka/rdkafka.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "agent/base/result.h"
#include "agent/kafka/connection.h"
#include "agent/kafka/failure.h"
#include "agent/kafka/producer.h"

namespace rivulet::kafka {

// What a handle's background threads tell us. Written by librdkafka's threads, read by the owner.
class Signals {
 public:
  std::atomic<std::uint32_t> end_txn_requests{0};  // written to a socket since the last reset
  std::atomic<std::uint32_t> timed_out_requests{0};
  std::atomic<bool> disturbed{false};  // a connection broke or could not be made

  void log(int level, const char* facility, const char* text);
  void error(int code, const char* text);
  Failure last_error() const;  // the last authentication or TLS trouble, else none; kept until forget()
  void forget();
  // The topics that the login may not write, as AddPartitionsToTxn was told: librdkafka says which in its log alone, its delivery reports say
  // "purged" (2.0.2 to 2.12). Since forget_denied_topics(); it logs all of an answer before any report.
  std::set<std::string> denied_topics() const;
  void forget_denied_topics();

 private:
  struct Limit { std::int64_t next_ms = 0; std::uint64_t held_back = 0; };
  mutable std::mutex mutex_;
  std::map<std::string, Limit> limits_;  // by facility: librdkafka has a few dozen
  Failure last_error_;
  std::set<std::string> denied_topics_;
};

struct DestroyConf { void operator()(rd_kafka_conf_t* conf) const { rd_kafka_conf_destroy(conf); } };

class Conf {
 public:
  static result<Conf> make(const Connection& connection, Signals* signals);
  // Settings that `connection.extra` names win over prefer(), never over require().
  void prefer(const char* key, const std::string& value);
  void prefer_if_known(const char* key, const std::string& value);  // a setting that only newer versions have
  void require(const char* key, const std::string& value);
  rd_kafka_conf_t* get() { return conf_.get(); }
  rd_kafka_conf_t* release() { return conf_.release(); }
  result<void> problem() const;  // every setting that was refused, those of `connection.extra` without their values
  void intercept(rd_kafka_interceptor_f_on_new_t* on_new, void* opaque);
  bool intercepted() const { return intercepted_; }

 private:
  bool set(const std::string& key, const std::string& value, bool secret = false);
  void add_problem(const std::string& problem);
  std::unique_ptr<rd_kafka_conf_t, DestroyConf> conf_{rd_kafka_conf_new()};
  std::map<std::string, std::string> extra_;
  std::string problem_;
  bool intercepted_ = false;
};

struct DestroyHandle { void operator()(rd_kafka_t* handle) const { rd_kafka_destroy(handle); } };
using Handle = std::unique_ptr<rd_kafka_t, DestroyHandle>;
struct DestroyTopic { void operator()(rd_kafka_topic_t* topic) const { rd_kafka_topic_destroy(topic); } };
using TopicHandle = std::unique_ptr<rd_kafka_topic_t, DestroyTopic>;
struct DestroyList {
  void operator()(rd_kafka_topic_partition_list_t* list) const { rd_kafka_topic_partition_list_destroy(list); }
};
using PartitionList = std::unique_ptr<rd_kafka_topic_partition_list_t, DestroyList>;

result<Handle> make_handle(rd_kafka_type_t type, Conf conf);

Failure failure_of_error(rd_kafka_error_t* error);  // takes it; none when null
TopicAnswer fetch_metadata(rd_kafka_t* handle, rd_kafka_topic_t* topic, int timeout_ms);
// The first (RD_KAFKA_OFFSET_BEGINNING) or the last offsets (RD_KAFKA_OFFSET_END: what is stable, unless the handle's isolation.level is read_uncommitted);
// one request to each leader. Not rd_kafka_query_watermark_offsets: for a broker that is gone it waits socket.timeout.ms, whatever its own time-out.
Offsets list_offsets(rd_kafka_t* handle, const std::vector<TopicPartition>& partitions, std::int64_t which, int timeout_ms);
std::string fetch_cluster_id(rd_kafka_t* handle, int timeout_ms);  // empty: unknown
Error to_error(const Failure& failure, const std::string& what);

}  // namespace rivulet::kafka
