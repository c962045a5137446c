// The Uplink on a real cluster (agent/kafka). Also works on librdkafka's in-process cluster, where every record is stable
// at once.
#pragma once
#include <memory>
#include <string>

#include "agent/forward/uplink.h"
#include "agent/kafka/connection.h"

namespace rivulet::forward {

struct KafkaUplinkOptions {
  kafka::Connection connection;
  std::string agent_id;                         // the transactional id is rivulet-<agent id>
  std::int64_t transaction_timeout_ms = 60'000;
  std::uint64_t transaction_max_bytes = 32ULL << 20;  // librdkafka's queue holds two of them at most
};

std::unique_ptr<Uplink> make_kafka_uplink(KafkaUplinkOptions options);

}  // namespace rivulet::forward
