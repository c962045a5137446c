// Uplink: what forward/ needs of Kafka, as blocking calls. A seam: tests put a simulated cluster here
// (tests/property/forward), production uses kafka_uplink.h.
//
// Thread: forward. Every call returns within its timeout_ms (open() and close() within milliseconds). A Failure of kind
// pending or retry means that the same call goes on with it.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "agent/forward/times.h"
#include "agent/kafka/failure.h"
#include "agent/kafka/producer.h"
#include "agent/kafka/reader.h"

namespace rivulet::forward {

using kafka::Failure;
using kafka::FailureKind;

class Uplink {
 public:
  virtual ~Uplink() = default;

  virtual Failure reachable(std::int64_t timeout_ms) = 0;  // without a producer; none: a broker takes connections

  virtual Failure open(bool transactional) = 0;  // makes the producer
  virtual void close() = 0;                      // purges and destroys it; never aborts, never commits
  virtual Failure init(std::int64_t timeout_ms) = 0;  // init_transactions: fences older instances, ends their transaction

  virtual kafka::TopicAnswer metadata(const std::string& topic, std::int64_t timeout_ms) = 0;
  virtual std::string cluster_id(std::int64_t timeout_ms) = 0;  // empty: unknown

  virtual Failure begin() = 0;         // transactional only
  virtual void start_report() = 0;     // begin() of at-least-once
  virtual int topic(const std::string& name) = 0;
  virtual Failure send(const kafka::Message& message, std::int64_t timeout_ms) = 0;
  virtual Failure flush(std::int64_t timeout_ms) = 0;
  virtual kafka::DeliveryReport report() = 0;

  struct Commit {
    Failure failure;
    std::uint32_t end_txn_requests = 0;    // written to a socket since begin()
    std::uint32_t timed_out_requests = 0;  // of any kind, since begin()
  };
  virtual Commit commit(std::int64_t timeout_ms) = 0;

  // Last stable offsets; high watermarks (read_uncommitted). In the order asked for.
  virtual kafka::Offsets stable_offsets(const std::vector<kafka::TopicPartition>& where, std::int64_t timeout_ms) = 0;
  virtual kafka::Offsets high_watermarks(const std::vector<kafka::TopicPartition>& where, std::int64_t timeout_ms) = 0;

  // read_committed. `end` of the range is the last stable offset. Two questions: FailureKind::pending if `give_up` says yes between them.
  virtual kafka::Reader::Watermarks committed_range(const kafka::TopicPartition& where, std::int64_t timeout_ms, const std::function<bool()>& give_up) = 0;
  // Also ends, with FailureKind::pending, within a second after `give_up` began to say yes.
  virtual kafka::Reader::Progress read(const kafka::ReadRange& range, std::int64_t idle_timeout_ms, const std::function<bool()>& give_up,
                                       const std::function<bool(const kafka::Fetched&)>& take) = 0;
  enum class Cleanup { unknown, deletes, compacts, both };
  virtual Cleanup cleanup_policy(const std::string& topic, std::int64_t timeout_ms) = 0;
  virtual TimeLimits time_limits(const std::string& topic, std::int64_t timeout_ms) = 0;  // its defaults: nobody may ask
  virtual void end_recovery() = 0;  // what only recovery needed may be released

  virtual bool take_disturbed() = 0;    // a connection had trouble since the last call
  virtual Failure last_error() = 0;     // authentication or TLS trouble, else none
};

}  // namespace rivulet::forward
