// Admin: what a cluster has, and making topics. For `rivulet topics`, for start-up checks and for recovery.
//
// Thread: the owner's. Every call returns within its timeout_ms. Errors: not_found and denied are about the topic;
// unavailable: no answer in time.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "agent/kafka/producer.h"

namespace rivulet::kafka {

struct ClusterInfo {
  std::string id;  // empty: the brokers do not say
  int brokers = 0;
};

struct NewTopic {
  std::string name;
  std::int32_t partitions = 1;
  std::int32_t replicas = -1;                   // -1: the broker's default
  std::map<std::string, std::string> settings;  // e.g. cleanup.policy
};

class Admin {
 public:
  static result<std::unique_ptr<Admin>> create(const Connection& connection);
  ~Admin();

  result<ClusterInfo> cluster(std::int64_t timeout_ms);
  result<TopicMetadata> topic(const std::string& name, std::int64_t timeout_ms);
  // The topic's settings, e.g. cleanup.policy, retention.ms, min.insync.replicas, max.message.bytes. Needs the
  // DESCRIBE_CONFIGS permission.
  result<std::map<std::string, std::string>> settings(const std::string& topic, std::int64_t timeout_ms);
  result<void> create_topic(const NewTopic& topic, std::int64_t timeout_ms);  // conflict: it exists

 private:
  struct Impl;
  explicit Admin(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace rivulet::kafka
