// Producer: a transactional or idempotent librdkafka producer, and the account of what it delivered.
//
// Records carry an index (their place in the transaction); the delivery report tells for each partition its first and last
// offset and which indexes went there, so nothing about a record is kept beyond librdkafka's own copy.
// Thread: the owner's, one at a time; delivery callbacks run inside produce(), flush() and the blocking calls.
// Bounds: ProducerOptions::buffer_bytes in librdkafka's queue, or a record of message.max.bytes and 1 MiB where that is more; every blocking call returns within its timeout_ms.
// Lifetime: the destructor purges what is queued and takes milliseconds; it never aborts or commits a transaction.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/ids.h"
#include "agent/base/window.h"
#include "agent/base/result.h"
#include "agent/kafka/connection.h"
#include "agent/kafka/failure.h"

namespace rivulet::kafka {

struct ProducerOptions {
  std::string transactional_id;  // empty: idempotent only
  std::int64_t transaction_timeout_ms = 60'000;
  std::size_t buffer_bytes = 64 << 20;
};

struct TopicPartition {
  std::string topic;
  std::int32_t partition = 0;
  auto operator<=>(const TopicPartition&) const = default;
};

struct IndexRange { std::uint32_t first = 0, last = 0; };  // both included

struct Delivered {
  TopicPartition where;
  std::int64_t first_offset = -1, last_offset = -1;
  std::uint32_t last_index = 0;        // of the record at last_offset
  std::vector<IndexRange> rows;        // ascending
};

struct DeliveryReport {
  Failure failure;                     // the most telling failure, or none
  std::string failed_topic;            // of that failure
  std::set<std::string> denied_topics; // that the transaction may not write; failed_topic is one of them, or failed first
  std::uint32_t failed_index = 0;      // first record that failed so
  std::uint32_t failed_records = 0;    // how many failed with the same code
  bool without_offset = false;         // a success that did not say where
  std::vector<Delivered> partitions;   // that took at least one record
};

struct Message {
  int topic = -1;                      // from Producer::topic()
  std::int32_t partition = -1;         // -1: by the key, as Kafka's Java client does (murmur2; a null key at random)
  std::optional<std::string_view> key, value;
  Timestamp timestamp_ms = 0;          // 0 or less: librdkafka's own clock
  std::string_view rv, rv_gap;         // headers; empty: absent
  std::optional<Window> window;        // headers window.start and window.end, in decimal
  std::uint32_t index = 0;
};

struct TopicMetadata {
  std::int32_t partitions = 0;
  std::int32_t replicas = 0;  // of its first partition
};
struct TopicAnswer {
  Failure failure;
  TopicMetadata metadata;
};

struct Offsets { Failure failure; std::vector<std::int64_t> offsets; };  // in the order asked for

class Producer {
 public:
  static result<std::unique_ptr<Producer>> create(const Connection& connection, const ProducerOptions& options);
  ~Producer();

  // Transactions. Failure pending or retry: the same call again.
  Failure init_transactions(std::int64_t timeout_ms);
  Failure begin();  // also starts a new delivery report and request counts
  Failure commit(std::int64_t timeout_ms);
  std::uint32_t end_txn_requests() const;    // EndTxn requests written to a socket since begin()
  std::uint32_t timed_out_requests() const;  // requests of any kind without an answer since begin()

  int topic(const std::string& name);  // a number for Message::topic; the same name gives the same number
  // A full queue is waited for until it is empty again, at most timeout_ms (then: pending; 0: at once).
  Failure produce(const Message& message, std::int64_t timeout_ms);
  // none: every record has its delivery report, good or bad. pending: not yet.
  Failure flush(std::int64_t timeout_ms);
  void poll();  // runs delivery callbacks, so that delivered records leave memory
  DeliveryReport report() const;  // since begin() or start_report()
  void start_report();

  TopicAnswer metadata(const std::string& topic, std::int64_t timeout_ms);
  std::string cluster_id(std::int64_t timeout_ms);  // empty: unknown
  // Last stable offsets; one request to each leader.
  Offsets stable_offsets(const std::vector<TopicPartition>& partitions, std::int64_t timeout_ms);

  bool take_disturbed();   // a connection had trouble since the last call
  Failure last_error();    // the last authentication or TLS trouble since the broker last answered, else none

 private:
  struct Impl;
  explicit Producer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace rivulet::kafka
