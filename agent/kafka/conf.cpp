#include "agent/kafka/conf.h"

#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "agent/base/log.h"
#include "agent/base/words.h"

namespace rivulet::kafka {
namespace {

constexpr std::int64_t log_interval_ms = 30'000;

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void on_log(const rd_kafka_t* handle, int level, const char* facility, const char* text) {
  auto* signals = handle == nullptr ? nullptr : static_cast<Signals*>(rd_kafka_opaque(handle));
  if (signals != nullptr) signals->log(level, facility, text);
}

void on_error(rd_kafka_t*, int code, const char* text, void* opaque) {
  if (opaque != nullptr) static_cast<Signals*>(opaque)->error(code, text);
}

const char* what_to_check(int code) {
  if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED)
    return "the broker refuses the login; check mechanism, username and password in kafka.sasl: ";
  if (code == RD_KAFKA_RESP_ERR__SSL) return "no TLS with the broker; check kafka.tls and the port in kafka.brokers: ";
  return "";
}

// Of: Failed to add partition "TOPIC" [0] to transaction: Broker: Topic authorization failed. Empty: it says something else.
std::string_view denied_topic_in(std::string_view text) {
  constexpr std::string_view before = "Failed to add partition \"", after = "\" [";
  const auto at = text.find(before);
  if (at == text.npos || text.find(rd_kafka_err2str(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED), at) == text.npos) return {};
  text.remove_prefix(at + before.size());
  const auto end = text.find(after);
  return end == text.npos ? std::string_view() : text.substr(0, end);
}

std::string joined(const std::vector<std::string>& list) {
  std::string text;
  for (const auto& item : list) {
    if (!text.empty()) text += ',';
    text += item;
  }
  return text;
}

std::string release_of(int version) {
  return std::to_string(version >> 24) + "." + std::to_string((version >> 16) & 0xff) + "." + std::to_string((version >> 8) & 0xff);
}

}  // namespace

bool is_owned_setting(std::string_view key) {
  // Order, exactly-once and the accounting of delivery reports stand on these.
  static constexpr std::array owned{
      "acks", "bootstrap.servers", "client.id", "delivery.report.only.error", "dr_cb", "dr_msg_cb", "enable.auto.commit",
      "enable.auto.offset.store", "enable.gapless.guarantee", "enable.idempotence", "enable.partition.eof", "error_cb", "group.id",
      "isolation.level", "log.queue", "log_cb", "log_level", "max.in.flight", "max.in.flight.requests.per.connection", "message.send.max.retries",
      "message.timeout.ms", "metadata.broker.list", "opaque", "partitioner", "queue.buffering.max.kbytes",
      "queue.buffering.max.messages", "queuing.strategy", "request.required.acks",
      "retries", "sasl.mechanism", "sasl.mechanisms", "sasl.password", "sasl.username", "security.protocol",
      "delivery.timeout.ms", "transaction.timeout.ms", "transactional.id", "plugin.library.paths", "interceptors"};
  return std::find(owned.begin(), owned.end(), key) != owned.end();
}

int library_version() { return rd_kafka_version(); }

std::string login_problem(const std::string& mechanism, int version) {
  // Before 2.6.1 librdkafka repeats its own nonce, not the server's, in SCRAM's last message (RFC 5802 section 7; its pull request 4895).
  if (mechanism.rfind("SCRAM-", 0) != 0 || version >> 8 >= 0x020601) return {};
  return mechanism + " does not work with Kafka 4.0 and newer by the librdkafka of this system (" + release_of(version) +
         "; mended in 2.6.1): such a broker refuses the login. Use mechanism: PLAIN together with kafka.tls, or Debian 13 or another system with "
         "librdkafka 2.6.1 or newer";
}

std::map<std::string, std::string> refused_settings(const std::map<std::string, std::string>& extra) {
  const std::unique_ptr<rd_kafka_conf_t, DestroyConf> trial(rd_kafka_conf_new());
  const std::string library = "librdkafka " + release_of(library_version());
  std::map<std::string, std::string> refused;
  for (const auto& [key, value] : extra) {
    std::array<char, 512> ignored{};  // librdkafka's own text repeats the value
    const auto said = rd_kafka_conf_set(trial.get(), key.c_str(), value.c_str(), ignored.data(), ignored.size());
    if (said == RD_KAFKA_CONF_UNKNOWN) refused[key] = library + " knows no such setting; its CONFIGURATION.md names those that there are";
    if (said == RD_KAFKA_CONF_INVALID) refused[key] = library + " does not take this value; its CONFIGURATION.md says which it takes";
  }
  return refused;
}

std::optional<HostPort> parse_broker(std::string_view text) {
  if (const auto scheme = text.find("://"); scheme != std::string_view::npos) text.remove_prefix(scheme + 3);
  HostPort to;
  std::string_view port;
  if (!text.empty() && text.front() == '[') {
    const auto close = text.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    to.host = text.substr(1, close - 1);
    text.remove_prefix(close + 1);
    if (!text.empty() && text.front() != ':') return std::nullopt;
    if (!text.empty()) port = text.substr(1);
    if (!text.empty() && port.empty()) return std::nullopt;
  } else {
    const auto colon = text.rfind(':');
    to.host = text.substr(0, colon);
    if (colon != std::string_view::npos) {
      port = text.substr(colon + 1);
      if (port.empty()) return std::nullopt;
    }
  }
  if (to.host.empty()) return std::nullopt;
  if (!port.empty() && (!whole_number(port, to.port) || to.port == 0)) return std::nullopt;
  return to;
}

void Signals::log(int level, const char* facility, const char* text) {
  const std::string_view name(facility);
  if (name == "REQTMOUT") timed_out_requests.fetch_add(1);
  std::uint64_t held_back = 0;
  {
    const std::scoped_lock lock(mutex_);
    if (const auto denied = name == "ADDPARTS" ? denied_topic_in(text) : std::string_view(); !denied.empty()) denied_topics_.emplace(denied);
    auto& limit = limits_[facility];
    const auto now = now_ms();
    if (now < limit.next_ms) {
      ++limit.held_back;
      return;
    }
    limit.next_ms = now + log_interval_ms;
    held_back = std::exchange(limit.held_back, 0);
  }
  // A broken link is normal for an edge agent and is reported by the forwarder; syslog levels 0-3 are errors.
  const auto to = level <= 2 ? log::Level::error : name == "CONFWARN" || level > 3 ? log::Level::debug : log::Level::info;
  if (held_back == 0) log::write(to, "kafka: {}: {}", facility, text);
  else log::write(to, "kafka: {}: {} ({} more like it held back)", facility, text, held_back);
}

void Signals::error(int code, const char* text) {
  const auto kind = kind_of(code);
  if (kind == FailureKind::link || kind == FailureKind::pending || kind == FailureKind::timeout) disturbed = true;
  log::debug("kafka: {}", text);
  if (kind != FailureKind::settings) return;
  disturbed = true;
  const std::scoped_lock lock(mutex_);
  last_error_ = failure_of(code, std::string(what_to_check(code)) + text);
}

Failure Signals::last_error() const {
  const std::scoped_lock lock(mutex_);
  return last_error_;
}

void Signals::forget() {
  const std::scoped_lock lock(mutex_);
  last_error_ = {};
}

std::set<std::string> Signals::denied_topics() const {
  const std::scoped_lock lock(mutex_);
  return denied_topics_;
}

void Signals::forget_denied_topics() {
  const std::scoped_lock lock(mutex_);
  denied_topics_.clear();
}

bool Conf::set(const std::string& key, const std::string& value, bool secret) {
  std::array<char, 512> why{};
  if (rd_kafka_conf_set(conf_.get(), key.c_str(), value.c_str(), why.data(), why.size()) == RD_KAFKA_CONF_OK) return true;
  add_problem("kafka: setting " + key + (secret ? "" : " = " + value) + " is refused" + (secret ? "" : ": " + std::string(why.data())));
  return false;
}

void Conf::add_problem(const std::string& problem) { problem_ += (problem_.empty() ? "" : "; ") + problem; }

void Conf::prefer(const char* key, const std::string& value) {
  if (!extra_.contains(key)) set(key, value);
}

void Conf::prefer_if_known(const char* key, const std::string& value) {
  if (extra_.contains(key)) return;
  std::array<char, 512> why{};
  (void)rd_kafka_conf_set(conf_.get(), key, value.c_str(), why.data(), why.size());
}

void Conf::require(const char* key, const std::string& value) { set(key, value); }

void Conf::intercept(rd_kafka_interceptor_f_on_new_t* on_new, void* opaque) {
  rd_kafka_conf_interceptor_add_on_new(conf_.get(), "rivulet", on_new, opaque);
  intercepted_ = true;
}

result<void> Conf::problem() const {
  if (!problem_.empty()) return Error{ErrorCode::invalid, problem_};
  return {};
}

result<Conf> Conf::make(const Connection& connection, Signals* signals) {
  Conf conf;
  const auto refused = refused_settings(connection.extra);
  for (const auto& [key, value] : connection.extra) {
    if (is_owned_setting(key)) {
      return Error{ErrorCode::invalid, "kafka.librdkafka: " + key + " belongs to rivulet and cannot be set; remove it"};
    }
    if (const auto why = refused.find(key); why != refused.end()) conf.add_problem("kafka.librdkafka." + key + ": " + why->second);
    else conf.set(key, value, true);
  }
  conf.extra_ = connection.extra;
  conf.require("bootstrap.servers", joined(connection.brokers));
  conf.require("client.id", connection.client_id);
  // At librdkafka's default of 10 s a link that came back was noticed 6 s late.
  conf.prefer("reconnect.backoff.ms", "100");
  conf.prefer("reconnect.backoff.max.ms", "1000");
  conf.prefer("socket.keepalive.enable", "true");
  conf.prefer("socket.nagle.disable", "true");  // Nagle is on before 2.10
  conf.prefer("socket.timeout.ms", "10000");
  conf.prefer("topic.metadata.refresh.interval.ms", "300000");
  conf.prefer("log.connection.close", "false");
  conf.prefer_if_known("enable.metrics.push", "false");
  if (connection.tls) {
    const auto& tls = *connection.tls;
    if (!tls.ca.empty()) conf.set("ssl.ca.location", tls.ca);
    if (!tls.certificate.empty()) conf.set("ssl.certificate.location", tls.certificate);
    if (!tls.key.empty()) conf.set("ssl.key.location", tls.key);
    conf.set("enable.ssl.certificate.verification", tls.verify ? "true" : "false");
    if (!tls.verify) conf.set("ssl.endpoint.identification.algorithm", "none");
    else conf.prefer("ssl.endpoint.identification.algorithm", "https");
  }
  if (connection.sasl) {
    conf.set("sasl.mechanisms", connection.sasl->mechanism);
    conf.set("sasl.username", connection.sasl->username);
    conf.set("sasl.password", connection.sasl->password, true);
  }
  conf.require("security.protocol", connection.sasl ? (connection.tls ? "SASL_SSL" : "SASL_PLAINTEXT")
                                                    : (connection.tls ? "SSL" : "PLAINTEXT"));
  rd_kafka_conf_set_log_cb(conf.get(), on_log);
  rd_kafka_conf_set_error_cb(conf.get(), on_error);
  rd_kafka_conf_set_opaque(conf.get(), signals);
  return conf;
}

namespace {

// librdkafka's threads sleep whole milliseconds and poll without pause for what is left until their next timer is due: up to 1 ms of CPU a second, ten
// times what an idle handle needs otherwise (before 2.4.0). A thread that may be woken 1 ms late sleeps through it; sockets and queues wake it as
// ever. Inherited by the threads that are created meanwhile, and by theirs.
class LateTimers {
 public:
  LateTimers() { prctl(PR_SET_TIMERSLACK, 1'000'000UL, 0UL, 0UL, 0UL); }  // ns
  LateTimers(const LateTimers&) = delete;
  LateTimers& operator=(const LateTimers&) = delete;
  ~LateTimers() { prctl(PR_SET_TIMERSLACK, before_, 0UL, 0UL, 0UL); }

 private:
  unsigned long before_ = static_cast<unsigned long>(std::max(0, prctl(PR_GET_TIMERSLACK, 0UL, 0UL, 0UL, 0UL)));  // 0: what the thread began with
};

}  // namespace

result<Handle> make_handle(rd_kafka_type_t type, Conf conf) {
  if (auto problem = conf.problem(); !problem) return problem.error();
  std::array<char, 512> why{};
  const bool intercepted = conf.intercepted();
  rd_kafka_conf_t* raw = conf.release();
  const LateTimers late_timers;
  rd_kafka_t* handle = rd_kafka_new(type, raw, why.data(), why.size());
  if (handle == nullptr) {
    // rd_kafka_new takes it only when it succeeds; but 2.0.2 then has freed the interceptors already, and destroying the
    // rest would free them twice. KafkaUplink tries a handle without them after a failure, so this is lost once.
    if (!intercepted) rd_kafka_conf_destroy(raw);
    return Error{ErrorCode::invalid, "kafka: cannot start librdkafka: " + std::string(why.data())};
  }
  return Handle(handle);
}

Failure failure_of_error(rd_kafka_error_t* error) {
  if (error == nullptr) return {};
  Failure failure = failure_of(rd_kafka_error_code(error), rd_kafka_error_string(error));
  if (rd_kafka_error_is_fatal(error) && failure.kind != FailureKind::fenced && failure.kind != FailureKind::settings) {
    failure.kind = FailureKind::uncertain;
  } else if (rd_kafka_error_is_retriable(error) && failure.kind != FailureKind::pending) {
    failure.kind = FailureKind::retry;
  } else if (!rd_kafka_error_is_retriable(error) && failure.kind == FailureKind::pending) {
    failure.kind = FailureKind::timeout;
  }
  rd_kafka_error_destroy(error);
  return failure;
}

TopicAnswer fetch_metadata(rd_kafka_t* handle, rd_kafka_topic_t* topic, int timeout_ms) {
  const rd_kafka_metadata_t* metadata = nullptr;
  const auto err = rd_kafka_metadata(handle, 0, topic, &metadata, timeout_ms);
  if (err != RD_KAFKA_RESP_ERR_NO_ERROR) return {failure_of(err), {}};
  TopicAnswer answer;
  if (metadata->topic_cnt != 1 || (metadata->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->topics[0].partition_cnt == 0)) {
    answer.failure = failure_of(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  } else if (metadata->topics[0].err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    answer.failure = failure_of(metadata->topics[0].err);
  } else {
    answer.metadata = {metadata->topics[0].partition_cnt, metadata->topics[0].partitions[0].replica_cnt};
  }
  rd_kafka_metadata_destroy(metadata);
  return answer;
}

Offsets list_offsets(rd_kafka_t* handle, const std::vector<TopicPartition>& partitions, std::int64_t which, int timeout_ms) {
  PartitionList list(rd_kafka_topic_partition_list_new(static_cast<int>(partitions.size())));
  // Kafka protocol, "ListOffsets": these two stand where a time would.
  for (const auto& p : partitions) rd_kafka_topic_partition_list_add(list.get(), p.topic.c_str(), p.partition)->offset = which;
  const auto err = rd_kafka_offsets_for_times(handle, list.get(), timeout_ms);
  if (err != RD_KAFKA_RESP_ERR_NO_ERROR) return {failure_of(err), {}};
  Offsets answer;
  for (const auto& p : partitions) {
    const auto* found = rd_kafka_topic_partition_list_find(list.get(), p.topic.c_str(), p.partition);
    if (found == nullptr || found->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return {failure_of(found == nullptr ? RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION : found->err), {}};
    }
    answer.offsets.push_back(found->offset);
  }
  return answer;
}

std::string fetch_cluster_id(rd_kafka_t* handle, int timeout_ms) {
  char* id = rd_kafka_clusterid(handle, timeout_ms);
  if (id == nullptr) return {};
  std::string text = id;
  rd_kafka_mem_free(handle, id);
  return text;
}

Error to_error(const Failure& failure, const std::string& what) {
  ErrorCode code = ErrorCode::unavailable;
  if (failure.kind == FailureKind::topic) {
    code = failure.code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ? ErrorCode::denied : ErrorCode::not_found;
  } else if (failure.kind == FailureKind::settings) {
    code = failure.code == RD_KAFKA_RESP_ERR__SSL || failure.code == RD_KAFKA_RESP_ERR__INVALID_ARG ? ErrorCode::invalid
                                                                                                   : ErrorCode::denied;
  }
  return {code, "kafka: " + what + ": " + failure.message};
}

}  // namespace rivulet::kafka
