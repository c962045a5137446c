// Failure: what Kafka said, folded into the few kinds that somebody can act on. The only place where broker and library
// error codes are told apart (PROTOCOL.md, "What librdkafka says").
//
// Plain data. Thread: any.
#pragma once
#include <string>

namespace rivulet::kafka {

enum class FailureKind {
  none,       // it worked
  pending,    // not finished within the time given: the same call again goes on with it
  retry,      // refused for now (the coordinator is busy): the same call again, a little later
  link,       // no broker reachable, connection lost
  timeout,    // a message or a transaction did not make it in its time
  fenced,     // another instance has our transactional id, or our transaction timed out while we were away
  topic,      // this topic alone: missing, denied, invalid
  record,     // this record alone: too large, invalid, a timestamp that the topic refuses
  settings,   // the configuration and the cluster do not fit: an operator has to change one of them
  uncertain,  // anything else: the outcome is unknown
};

// Of a batch, for some of its records. With several of them librdkafka 2.8 says INVALID_RECORD of all, whatever is wrong (KIP-467); 2.0 says of all what it is.
inline constexpr int invalid_timestamp = 32, invalid_record = 87;  // RD_KAFKA_RESP_ERR_...

struct [[nodiscard]] Failure {
  FailureKind kind = FailureKind::none;
  int code = 0;         // librdkafka's rd_kafka_resp_err_t
  std::string message;  // for a person, without the topic
  explicit operator bool() const { return kind != FailureKind::none; }
};

const char* name_of(FailureKind kind);

// How much `kind` tells about the cause: of many failures of one transaction the one with the highest rank is reported.
int rank_of(FailureKind kind);

// The kind of a librdkafka error code, where nothing else (retriable, fatal) is known about it.
FailureKind kind_of(int code);
Failure failure_of(int code, std::string message = {});

}  // namespace rivulet::kafka
