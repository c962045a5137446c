#include "agent/kafka/reader.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <utility>

#include "agent/kafka/conf.h"
#include "agent/kafka/rv_header.h"

namespace rivulet::kafka {
namespace {

int clamp_ms(std::int64_t ms) { return static_cast<int>(std::clamp<std::int64_t>(ms, 0, 600'000)); }

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::optional<std::string_view> header(const rd_kafka_message_t* message, std::string_view name) {
  rd_kafka_headers_t* headers = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return std::nullopt;
  if (rd_kafka_header_get_last(headers, name.data(), &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR) return std::nullopt;
  if (value == nullptr) return std::nullopt;
  return std::string_view(static_cast<const char*>(value), size);
}

std::optional<std::string_view> bytes(const void* data, size_t size) {
  if (data == nullptr) return std::nullopt;
  return std::string_view(static_cast<const char*>(data), size);
}

struct DestroyMessage { void operator()(rd_kafka_message_t* message) const { rd_kafka_message_destroy(message); } };
struct DestroyQueue { void operator()(rd_kafka_queue_t* queue) const { rd_kafka_queue_destroy(queue); } };

// The topics of one read(); whatever was started is stopped.
class Started {
 public:
  explicit Started(rd_kafka_t* handle) : handle_(handle), queue_(rd_kafka_queue_new(handle)) {}
  ~Started() {
    for (const auto& [topic, partition] : started_) rd_kafka_consume_stop(topic, partition);
  }
  Failure start(const ReadRange& range) {
    auto& topic = topics_[range.where.topic];
    if (!topic) {
      rd_kafka_topic_conf_t* conf = rd_kafka_topic_conf_new();
      // An offset that is gone must be an error, never a silent jump.
      rd_kafka_topic_conf_set(conf, "auto.offset.reset", "error", nullptr, 0);
      topic.reset(rd_kafka_topic_new(handle_, range.where.topic.c_str(), conf));
      if (!topic) return failure_of(RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION);
    }
    if (rd_kafka_consume_start_queue(topic.get(), range.where.partition, range.from, queue_.get()) != 0) {
      return failure_of(rd_kafka_last_error());
    }
    started_.emplace_back(topic.get(), range.where.partition);
    return {};
  }
  std::unique_ptr<rd_kafka_message_t, DestroyMessage> next(int timeout_ms) {
    return std::unique_ptr<rd_kafka_message_t, DestroyMessage>(rd_kafka_consume_queue(queue_.get(), timeout_ms));
  }

 private:
  rd_kafka_t* handle_;
  std::map<std::string, TopicHandle> topics_;
  std::unique_ptr<rd_kafka_queue_t, DestroyQueue> queue_;
  std::vector<std::pair<rd_kafka_topic_t*, std::int32_t>> started_;
};

}  // namespace

struct Reader::Impl : Signals {
  Handle handle;
};

Reader::Reader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Reader::~Reader() = default;

result<std::unique_ptr<Reader>> Reader::create(const Connection& connection, Isolation isolation, std::int64_t fetch_wait_ms) {
  auto impl = std::make_unique<Impl>();
  // What is passed through is meant for the producer; a consumer's handle would only warn about it.
  auto conf = Conf::make(connection, impl.get());
  if (!conf) return conf.error();
  conf->require("isolation.level", isolation == Isolation::committed ? "read_committed" : "read_uncommitted");
  conf->require("enable.partition.eof", "true");
  conf->require("enable.auto.commit", "false");
  conf->prefer("allow.auto.create.topics", "false");
  conf->prefer("fetch.wait.max.ms", std::to_string(fetch_wait_ms));
  conf->prefer("fetch.error.backoff.ms", "100");
  conf->prefer("queued.max.messages.kbytes", "1024");
  conf->prefer("fetch.message.max.bytes", "1048576");
  auto handle = make_handle(RD_KAFKA_CONSUMER, std::move(*conf));
  if (!handle) return handle.error();
  impl->handle = std::move(*handle);
  return std::unique_ptr<Reader>(new Reader(std::move(impl)));
}

Reader::Watermarks Reader::watermarks(const TopicPartition& where, std::int64_t timeout_ms, const std::function<bool()>& give_up) {
  const auto start = starts({where}, timeout_ms);
  if (start.failure) return {start.failure, 0, 0};
  if (give_up && give_up()) return {{FailureKind::pending, 0, "kafka: told to stop while asking where " + where.topic + " ends"}, 0, 0};
  const auto end = ends({where}, timeout_ms);
  if (end.failure) return {end.failure, 0, 0};
  return {{}, start.offsets[0], end.offsets[0]};
}

Offsets Reader::starts(const std::vector<TopicPartition>& where, std::int64_t timeout_ms) {
  return list_offsets(impl_->handle.get(), where, RD_KAFKA_OFFSET_BEGINNING, clamp_ms(timeout_ms));
}

Offsets Reader::ends(const std::vector<TopicPartition>& where, std::int64_t timeout_ms) {
  return list_offsets(impl_->handle.get(), where, RD_KAFKA_OFFSET_END, clamp_ms(timeout_ms));
}

Reader::Progress Reader::read(const std::vector<ReadRange>& ranges, std::int64_t idle_timeout_ms,
                              const std::function<bool(const Fetched&)>& take, const std::function<bool()>& idle) {
  Progress progress;
  std::map<std::pair<std::string_view, std::int32_t>, std::size_t> index;
  Started started(impl_->handle.get());
  std::size_t open = 0;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    progress.positions.push_back(ranges[i].from);
    if (ranges[i].from >= ranges[i].until) continue;
    if (progress.failure = started.start(ranges[i]); progress.failure) return progress;
    index[{ranges[i].where.topic, ranges[i].where.partition}] = i;
    ++open;
  }
  std::int64_t last_progress_ms = now_ms();
  while (open > 0) {
    auto message = started.next(idle ? 0 : 100);
    if (!message && idle) {
      if (!idle()) return progress;
      message = started.next(1000);
    }
    rd_kafka_poll(impl_->handle.get(), 0);
    if (!message) {
      if (now_ms() - last_progress_ms < idle_timeout_ms) continue;
      progress.failure = failure_of(RD_KAFKA_RESP_ERR__TIMED_OUT, "no answer while reading");
      return progress;
    }
    if (message->rkt == nullptr) continue;
    const auto found = index.find({rd_kafka_topic_name(message->rkt), message->partition});
    if (found == index.end()) continue;
    const auto& range = ranges[found->second];
    auto& position = progress.positions[found->second];
    if (position >= range.until) continue;  // fetched ahead of the end
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      // Aborted records and markers show as nothing but this; below `until` it is undecided and more may come.
      if (message->offset > position) last_progress_ms = now_ms();
      position = std::max(position, message->offset);
    } else if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      const auto failure = failure_of(message->err, rd_kafka_message_errstr(message.get()));
      if (failure.kind == FailureKind::link || failure.kind == FailureKind::pending) continue;  // librdkafka retries
      progress.failure = failure;
      return progress;
    } else {
      last_progress_ms = now_ms();
      position = message->offset + 1;
      if (message->offset < range.until) {
        Fetched fetched{range.where.topic, range.where.partition, message->offset, bytes(message->key, message->key_len),
                        bytes(message->payload, message->len), rd_kafka_message_timestamp(message.get(), nullptr),
                        header(message.get(), rv_header_name), header(message.get(), rv_gap_header_name)};
        if (!take(fetched)) return progress;
      }
    }
    if (position >= range.until) --open;
  }
  return progress;
}

TopicAnswer Reader::metadata(const std::string& name, std::int64_t timeout_ms) {
  TopicHandle topic(rd_kafka_topic_new(impl_->handle.get(), name.c_str(), nullptr));
  if (!topic) return {failure_of(RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION), {}};
  return fetch_metadata(impl_->handle.get(), topic.get(), clamp_ms(timeout_ms));
}

}  // namespace rivulet::kafka
