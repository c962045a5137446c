#include "agent/kafka/failure.h"

#include <librdkafka/rdkafka.h>

namespace rivulet::kafka {

static_assert(invalid_timestamp == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP && invalid_record == RD_KAFKA_RESP_ERR_INVALID_RECORD);

const char* name_of(FailureKind kind) {
  switch (kind) {
    case FailureKind::none: return "none";
    case FailureKind::pending: return "pending";
    case FailureKind::retry: return "retry";
    case FailureKind::link: return "link";
    case FailureKind::timeout: return "timeout";
    case FailureKind::fenced: return "fenced";
    case FailureKind::topic: return "topic";
    case FailureKind::record: return "record";
    case FailureKind::settings: return "settings";
    case FailureKind::uncertain: return "uncertain";
  }
  return "?";
}

int rank_of(FailureKind kind) {
  switch (kind) {
    case FailureKind::none: return 0;
    case FailureKind::pending: return 1;
    case FailureKind::uncertain: return 2;
    case FailureKind::retry: return 3;
    case FailureKind::link: return 4;
    case FailureKind::timeout: return 5;
    case FailureKind::fenced: return 6;
    case FailureKind::settings: return 7;
    case FailureKind::topic: return 8;
    case FailureKind::record: return 9;
  }
  return 0;
}

FailureKind kind_of(int code) {
  switch (static_cast<rd_kafka_resp_err_t>(code)) {
    case RD_KAFKA_RESP_ERR_NO_ERROR: return FailureKind::none;

    case RD_KAFKA_RESP_ERR__TIMED_OUT: return FailureKind::pending;

    case RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS:
    case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
    case RD_KAFKA_RESP_ERR__IN_PROGRESS:
    case RD_KAFKA_RESP_ERR__PREV_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR__RETRY: return FailureKind::retry;

    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__RESOLVE:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION: return FailureKind::link;

    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND: return FailureKind::timeout;

    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH: return FailureKind::fenced;

    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION: return FailureKind::topic;

    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP: return FailureKind::record;

    case RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
    case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
    case RD_KAFKA_RESP_ERR__INVALID_ARG: return FailureKind::settings;

    default: return FailureKind::uncertain;
  }
}

Failure failure_of(int code, std::string message) {
  const auto err = static_cast<rd_kafka_resp_err_t>(code);
  if (message.empty()) message = rd_kafka_err2str(err);
  message += " (";
  message += rd_kafka_err2name(err);
  message += ")";
  return {kind_of(code), code, std::move(message)};
}

}  // namespace rivulet::kafka
