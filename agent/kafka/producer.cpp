#include "agent/kafka/producer.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <array>
#include <unordered_map>

#include "agent/kafka/conf.h"
#include "agent/kafka/delivery.h"
#include "agent/kafka/rv_header.h"

namespace rivulet::kafka {
namespace {

constexpr std::size_t record_bytes = 640;  // of a queued record of 200 bytes, with librdkafka's own: bounds how many may wait
constexpr std::int16_t api_end_txn = 26;  // Kafka protocol, "EndTxn"

int clamp_ms(std::int64_t ms) { return static_cast<int>(std::clamp<std::int64_t>(ms, 0, 600'000)); }

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// librdkafka registers each partition with the transaction on its main thread. If a broker's thread finds the handle ending between the request's sending
// and its counting there, an assertion ends the process (2.0.2, 2.8.0 and its newest source: txn_req_cnt > 0, once in 500 on a busy machine). In a transaction that
// is being aborted nothing more is registered. What the broker makes of it is not waited for, and nobody relies on it; a commit under way is not disturbed.
// Where there is no transaction no broker hears of either call.
void end_registering(rd_kafka_t* handle) {
  const auto drop = [](rd_kafka_error_t* error) {
    if (error != nullptr) rd_kafka_error_destroy(error);
  };
  drop(rd_kafka_abort_transaction(handle, 1));
  drop(rd_kafka_begin_transaction(handle));  // refused, but by that thread, after what it was doing
}

}  // namespace

struct Producer::Impl : Signals {
  Delivery delivery;
  std::unordered_map<std::string, int> topic_numbers;
  std::vector<TopicHandle> topics;  // released before the handle
  std::uint32_t since_poll = 0;
  Handle handle;

  static rd_kafka_resp_err_t on_request_sent(rd_kafka_t*, int, const char*, std::int32_t, std::int16_t api_key, std::int16_t,
                                             std::int32_t, size_t, void* opaque) {
    if (api_key == api_end_txn) static_cast<Impl*>(opaque)->end_txn_requests.fetch_add(1);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
  }
  static rd_kafka_resp_err_t on_new(rd_kafka_t* handle, const rd_kafka_conf_t*, void* opaque, char*, size_t) {
    return rd_kafka_interceptor_add_on_request_sent(handle, "rivulet", on_request_sent, opaque);
  }
  static void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
    static_cast<Impl*>(static_cast<Signals*>(opaque))->delivery.add(*message);
  }
};

Producer::Producer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Producer::~Producer() {
  end_registering(impl_->handle.get());
  // Without the purge, destroying waits for what is in flight.
  rd_kafka_purge(impl_->handle.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
  impl_->topics.clear();
  impl_->handle.reset();
}

result<std::unique_ptr<Producer>> Producer::create(const Connection& connection, const ProducerOptions& options) {
  auto impl = std::make_unique<Impl>();
  auto conf = Conf::make(connection, impl.get());
  if (!conf) return conf.error();
  const auto timeout = std::to_string(options.transaction_timeout_ms);
  conf->require("enable.idempotence", "true");
  conf->require("acks", "all");
  conf->require("max.in.flight.requests.per.connection", "5");
  conf->require("partitioner", "murmur2_random");
  if (!options.transactional_id.empty()) {
    conf->require("transactional.id", options.transactional_id);
    conf->require("transaction.timeout.ms", timeout);
  }
  conf->require("message.timeout.ms", timeout);
  // Batches stay at librdkafka's 1 MB: with five smaller ones in flight its broker thread polls without pause (2.0.2:
  // 12.6 us a record at 64 KiB, 5.1 at 256 KiB, 3.4 at 1 MB). A queue of 1 MiB is filled in 2 ms; a longer linger holds up each
  // filling and the end of each transaction (5 ms: 0.2 us a record more and a quarter fewer records a second).
  conf->prefer("linger.ms", "2");
  conf->prefer("compression.codec", "zstd");
  conf->prefer("compression.level", "1");  // 3.7 instead of 4.6 us a record and 0.6 MiB less than the default level
  conf->prefer("message.max.bytes", "1048576");
  char largest[32] = "";  // bytes: message.max.bytes, whoever said it
  std::size_t length = sizeof largest;
  rd_kafka_conf_get(conf->get(), "message.max.bytes", largest, &length);
  const std::size_t record_kbytes = std::strtoull(largest, nullptr, 10) / 1024 + 1024;  // one such record always fits: a larger one than the queue would wait for ever
  const auto kbytes = std::max(options.buffer_bytes / 1024, record_kbytes);
  conf->require("queue.buffering.max.kbytes", std::to_string(std::min<std::size_t>(kbytes, 2'097'151)));
  conf->require("queue.buffering.max.messages", std::to_string(std::min<std::size_t>(options.buffer_bytes / record_bytes + 500, 10'000'000)));
  rd_kafka_conf_set_dr_msg_cb(conf->get(), Impl::on_delivery);
  conf->intercept(Impl::on_new, impl.get());
  auto handle = make_handle(RD_KAFKA_PRODUCER, std::move(*conf));
  if (!handle) return handle.error();
  impl->handle = std::move(*handle);
  return std::unique_ptr<Producer>(new Producer(std::move(impl)));
}

Failure Producer::init_transactions(std::int64_t timeout_ms) {
  return failure_of_error(rd_kafka_init_transactions(impl_->handle.get(), clamp_ms(timeout_ms)));
}

Failure Producer::begin() {
  start_report();
  impl_->end_txn_requests = 0;
  impl_->timed_out_requests = 0;
  return failure_of_error(rd_kafka_begin_transaction(impl_->handle.get()));
}

Failure Producer::commit(std::int64_t timeout_ms) {
  return failure_of_error(rd_kafka_commit_transaction(impl_->handle.get(), clamp_ms(timeout_ms)));
}

std::uint32_t Producer::end_txn_requests() const { return impl_->end_txn_requests; }
std::uint32_t Producer::timed_out_requests() const { return impl_->timed_out_requests; }

int Producer::topic(const std::string& name) {
  if (const auto found = impl_->topic_numbers.find(name); found != impl_->topic_numbers.end()) return found->second;
  TopicHandle topic(rd_kafka_topic_new(impl_->handle.get(), name.c_str(), nullptr));
  if (!topic) return -1;  // a name that librdkafka refuses (empty, longer than 512)
  const int number = static_cast<int>(impl_->topics.size());
  impl_->topics.push_back(std::move(topic));
  impl_->topic_numbers.emplace(name, number);
  return number;
}

Failure Producer::produce(const Message& message, std::int64_t timeout_ms) {
  if (message.topic < 0) return failure_of(RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION);
  if (++impl_->since_poll >= 256) poll();
  std::array<rd_kafka_vu_t, 11> vus;
  std::size_t count = 0;
  const auto add = [&](rd_kafka_vtype_t type) -> rd_kafka_vu_t& {
    vus[count].vtype = type;
    return vus[count++];
  };
  const auto memory = [](std::string_view bytes, auto& to) {
    // An empty key or value is not a null one: it needs an address.
    to.ptr = const_cast<char*>(bytes.data() == nullptr ? "" : bytes.data());
    to.size = bytes.size();
  };
  const auto header = [&](std::string_view name, std::string_view bytes) {
    auto& to = add(RD_KAFKA_VTYPE_HEADER).u.header;
    to.name = name.data();  // all names are literals
    to.val = bytes.data();
    to.size = static_cast<ssize_t>(bytes.size());
  };
  add(RD_KAFKA_VTYPE_RKT).u.rkt = impl_->topics[static_cast<std::size_t>(message.topic)].get();
  add(RD_KAFKA_VTYPE_PARTITION).u.i32 = message.partition;
  add(RD_KAFKA_VTYPE_MSGFLAGS).u.i = RD_KAFKA_MSG_F_COPY;
  add(RD_KAFKA_VTYPE_OPAQUE).u.ptr = reinterpret_cast<void*>(static_cast<std::uintptr_t>(message.index));
  if (message.key) memory(*message.key, add(RD_KAFKA_VTYPE_KEY).u.mem);
  if (message.value) memory(*message.value, add(RD_KAFKA_VTYPE_VALUE).u.mem);
  if (message.timestamp_ms > 0) add(RD_KAFKA_VTYPE_TIMESTAMP).u.i64 = message.timestamp_ms;
  if (!message.rv.empty()) header(rv_header_name, message.rv);
  if (!message.rv_gap.empty()) header(rv_gap_header_name, message.rv_gap);
  std::string start, end;
  if (message.window) {
    start = std::to_string(message.window->start_ms);
    end = std::to_string(message.window->end_ms);
    header("window.start", start);
    header("window.end", end);
  }

  std::int64_t deadline = 0;
  for (;;) {
    rd_kafka_error_t* error = rd_kafka_produceva(impl_->handle.get(), vus.data(), count);
    if (error == nullptr) return {};
    const auto code = rd_kafka_error_code(error);
    if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL) return failure_of_error(error);
    rd_kafka_error_destroy(error);
    if (timeout_ms <= 0) return failure_of(RD_KAFKA_RESP_ERR__TIMED_OUT, "the producer's queue is full");
    if (deadline == 0) deadline = now_ms() + timeout_ms;
    // Then it goes on in one go when all of it has left: records that come in behind a request that is on its way have 2.0.2's broker
    // thread poll without pause from their linger.ms on, which was a third of its CPU.
    do {
      if (now_ms() >= deadline) return failure_of(RD_KAFKA_RESP_ERR__TIMED_OUT, "the producer's queue stays full");
      rd_kafka_poll(impl_->handle.get(), 20);
    } while (rd_kafka_outq_len(impl_->handle.get()) > 0);
  }
}

Failure Producer::flush(std::int64_t timeout_ms) {
  // Not rd_kafka_flush: while it waits, 2.0.2's broker thread polls without pause.
  const auto deadline = now_ms() + timeout_ms;
  while (rd_kafka_outq_len(impl_->handle.get()) > 0) {
    const auto left = deadline - now_ms();
    if (left <= 0) return failure_of(RD_KAFKA_RESP_ERR__TIMED_OUT);
    rd_kafka_poll(impl_->handle.get(), clamp_ms(std::min<std::int64_t>(left, 20)));
  }
  return {};
}

void Producer::poll() {
  impl_->since_poll = 0;
  rd_kafka_poll(impl_->handle.get(), 0);
}

DeliveryReport Producer::report() const {
  auto report = impl_->delivery.report();
  report.denied_topics = impl_->denied_topics();
  if (!report.denied_topics.empty() && rank_of(report.failure.kind) < rank_of(FailureKind::topic)) {
    report.failure = failure_of(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    report.failed_topic = *report.denied_topics.begin();
  }
  return report;
}

void Producer::start_report() {
  impl_->delivery.reset();
  impl_->forget_denied_topics();
}

TopicAnswer Producer::metadata(const std::string& name, std::int64_t timeout_ms) {
  const int number = topic(name);
  if (number < 0) return {failure_of(RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION), {}};
  auto answer = fetch_metadata(impl_->handle.get(), impl_->topics[static_cast<std::size_t>(number)].get(), clamp_ms(timeout_ms));
  if (!answer.failure) impl_->forget();  // it let us in
  return answer;
}

std::string Producer::cluster_id(std::int64_t timeout_ms) {
  return fetch_cluster_id(impl_->handle.get(), clamp_ms(timeout_ms));
}

Offsets Producer::stable_offsets(const std::vector<TopicPartition>& partitions, std::int64_t timeout_ms) {
  // isolation.level is read_committed by default, also in a producer's handle (proved by tests/integration/forward against a real broker).
  return list_offsets(impl_->handle.get(), partitions, RD_KAFKA_OFFSET_END, clamp_ms(timeout_ms));
}

bool Producer::take_disturbed() {
  rd_kafka_poll(impl_->handle.get(), 0);  // the error callback runs here
  return impl_->disturbed.exchange(false);
}

Failure Producer::last_error() {
  poll();  // the error callback runs here; init_transactions() and metadata() do not run it
  return impl_->last_error();
}

}  // namespace rivulet::kafka
