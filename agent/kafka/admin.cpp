#include "agent/kafka/admin.h"

#include <algorithm>
#include <array>

#include "agent/kafka/conf.h"

namespace rivulet::kafka {
namespace {

int clamp_ms(std::int64_t ms) { return static_cast<int>(std::clamp<std::int64_t>(ms, 1, 600'000)); }

struct DestroyOptions { void operator()(rd_kafka_AdminOptions_t* options) const { rd_kafka_AdminOptions_destroy(options); } };
struct DestroyQueue { void operator()(rd_kafka_queue_t* queue) const { rd_kafka_queue_destroy(queue); } };
struct DestroyEvent { void operator()(rd_kafka_event_t* event) const { rd_kafka_event_destroy(event); } };
struct DestroyResource { void operator()(rd_kafka_ConfigResource_t* r) const { rd_kafka_ConfigResource_destroy(r); } };
struct DestroyNewTopic { void operator()(rd_kafka_NewTopic_t* topic) const { rd_kafka_NewTopic_destroy(topic); } };
using Options = std::unique_ptr<rd_kafka_AdminOptions_t, DestroyOptions>;
using Queue = std::unique_ptr<rd_kafka_queue_t, DestroyQueue>;
using Event = std::unique_ptr<rd_kafka_event_t, DestroyEvent>;

Options make_options(rd_kafka_t* handle, rd_kafka_admin_op_t operation, int timeout_ms) {
  Options options(rd_kafka_AdminOptions_new(handle, operation));
  std::array<char, 256> why{};
  rd_kafka_AdminOptions_set_request_timeout(options.get(), timeout_ms, why.data(), why.size());
  return options;
}

Event wait(rd_kafka_queue_t* queue, int timeout_ms) { return Event(rd_kafka_queue_poll(queue, timeout_ms + 1000)); }

Error no_answer(const std::string& what) { return {ErrorCode::unavailable, "kafka: " + what + ": no answer from the cluster"}; }

}  // namespace

struct Admin::Impl : Signals {
  Handle handle;
};

Admin::Admin(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Admin::~Admin() = default;

result<std::unique_ptr<Admin>> Admin::create(const Connection& connection) {
  auto impl = std::make_unique<Impl>();
  auto conf = Conf::make(connection, impl.get());
  if (!conf) return conf.error();
  auto handle = make_handle(RD_KAFKA_PRODUCER, std::move(*conf));
  if (!handle) return handle.error();
  impl->handle = std::move(*handle);
  return std::unique_ptr<Admin>(new Admin(std::move(impl)));
}

result<ClusterInfo> Admin::cluster(std::int64_t timeout_ms) {
  const rd_kafka_metadata_t* metadata = nullptr;
  const auto err = rd_kafka_metadata(impl_->handle.get(), 0, nullptr, &metadata, clamp_ms(timeout_ms));
  rd_kafka_poll(impl_->handle.get(), 0);
  if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    if (const auto cause = impl_->last_error()) return to_error(cause, "cannot log in to the cluster");
    return to_error(failure_of(err), "cannot reach any broker");
  }
  ClusterInfo info;
  info.brokers = metadata->broker_cnt;
  rd_kafka_metadata_destroy(metadata);
  info.id = fetch_cluster_id(impl_->handle.get(), clamp_ms(timeout_ms));
  return info;
}

result<TopicMetadata> Admin::topic(const std::string& name, std::int64_t timeout_ms) {
  TopicHandle topic(rd_kafka_topic_new(impl_->handle.get(), name.c_str(), nullptr));
  if (!topic) return Error{ErrorCode::invalid, "kafka: topic name " + name + " is not possible"};
  const auto answer = fetch_metadata(impl_->handle.get(), topic.get(), clamp_ms(timeout_ms));
  rd_kafka_poll(impl_->handle.get(), 0);
  if (!answer.failure) return answer.metadata;
  if (const auto cause = impl_->last_error()) return to_error(cause, "cannot log in to the cluster");
  return to_error(answer.failure, "topic " + name);
}

result<std::map<std::string, std::string>> Admin::settings(const std::string& topic, std::int64_t timeout_ms) {
  const std::string what = "settings of topic " + topic;
  std::unique_ptr<rd_kafka_ConfigResource_t, DestroyResource> resource(
      rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str()));
  if (!resource) return Error{ErrorCode::invalid, "kafka: topic name " + topic + " is not possible"};
  const auto options = make_options(impl_->handle.get(), RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, clamp_ms(timeout_ms));
  const Queue queue(rd_kafka_queue_new(impl_->handle.get()));
  auto* one = resource.get();
  rd_kafka_DescribeConfigs(impl_->handle.get(), &one, 1, options.get(), queue.get());
  const auto event = wait(queue.get(), clamp_ms(timeout_ms));
  if (!event) return no_answer(what);
  if (const auto err = rd_kafka_event_error(event.get()); err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return to_error(failure_of(err, rd_kafka_event_error_string(event.get())), what);
  }
  const auto* answer = rd_kafka_event_DescribeConfigs_result(event.get());
  size_t count = 0;
  const auto** resources = rd_kafka_DescribeConfigs_result_resources(answer, &count);
  if (count != 1) return no_answer(what);
  if (const auto err = rd_kafka_ConfigResource_error(resources[0]); err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return to_error(failure_of(err), what);
  }
  std::map<std::string, std::string> settings;
  size_t entries = 0;
  const auto** entry = rd_kafka_ConfigResource_configs(resources[0], &entries);
  for (size_t i = 0; i < entries; ++i) {
    const char* value = rd_kafka_ConfigEntry_value(entry[i]);
    if (value != nullptr) settings[rd_kafka_ConfigEntry_name(entry[i])] = value;
  }
  return settings;
}

result<void> Admin::create_topic(const NewTopic& wanted, std::int64_t timeout_ms) {
  const std::string what = "cannot create topic " + wanted.name;
  std::array<char, 256> why{};
  std::unique_ptr<rd_kafka_NewTopic_t, DestroyNewTopic> topic(
      rd_kafka_NewTopic_new(wanted.name.c_str(), wanted.partitions, wanted.replicas, why.data(), why.size()));
  if (!topic) return Error{ErrorCode::invalid, "kafka: " + what + ": " + why.data()};
  for (const auto& [key, value] : wanted.settings) {
    if (rd_kafka_NewTopic_set_config(topic.get(), key.c_str(), value.c_str()) != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return Error{ErrorCode::invalid, "kafka: " + what + ": setting " + key + " is refused"};
    }
  }
  const auto options = make_options(impl_->handle.get(), RD_KAFKA_ADMIN_OP_CREATETOPICS, clamp_ms(timeout_ms));
  rd_kafka_AdminOptions_set_operation_timeout(options.get(), clamp_ms(timeout_ms), why.data(), why.size());
  const Queue queue(rd_kafka_queue_new(impl_->handle.get()));
  auto* one = topic.get();
  rd_kafka_CreateTopics(impl_->handle.get(), &one, 1, options.get(), queue.get());
  const auto event = wait(queue.get(), clamp_ms(timeout_ms));
  if (!event) return no_answer(what);
  if (const auto err = rd_kafka_event_error(event.get()); err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return to_error(failure_of(err, rd_kafka_event_error_string(event.get())), what);
  }
  size_t count = 0;
  const auto** topics = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event.get()), &count);
  if (count != 1) return no_answer(what);
  const auto err = rd_kafka_topic_result_error(topics[0]);
  if (err == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  const char* text = rd_kafka_topic_result_error_string(topics[0]);
  auto error = to_error(failure_of(err, text == nullptr ? "" : text), what);
  if (err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) error.code = ErrorCode::conflict;
  return error;
}

}  // namespace rivulet::kafka
