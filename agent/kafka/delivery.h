// Inside kafka/ only: turns delivery callbacks into a DeliveryReport.
//
// Bound: 8 bytes for each run of neighbouring records that went to one partition.
#pragma once
#include <librdkafka/rdkafka.h>

#include <vector>

#include "agent/kafka/producer.h"

namespace rivulet::kafka {

class Delivery {
 public:
  void reset();
  void add(const rd_kafka_message_t& message);
  DeliveryReport report() const;

 private:
  struct Partition {
    const rd_kafka_topic_t* topic;  // same handle for a topic's records: Producer keeps it
    Delivered delivered;
  };
  Partition& partition(const rd_kafka_message_t& message);
  std::vector<Partition> partitions_;
  std::size_t last_used_ = 0;
  DeliveryReport failures_;  // its partitions stay empty
};

}  // namespace rivulet::kafka
