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
  std::size_t queue_bytes = 4 << 20;  // what waits in librdkafka, with its overhead; a transaction may be larger
};

std::unique_ptr<Uplink> make_kafka_uplink(KafkaUplinkOptions options);

}  // namespace rivulet::forward
