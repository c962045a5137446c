#include "agent/kafka/mock_cluster.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <vector>

#include "agent/kafka/conf.h"

namespace rivulet::kafka {

struct MockCluster::Impl : Signals {
  int brokers = 1;
  Handle handle;  // the cluster lives in this client's thread
  rd_kafka_mock_cluster_t* cluster = nullptr;

  ~Impl() {
    if (cluster != nullptr) rd_kafka_mock_cluster_destroy(cluster);
  }
};

MockCluster::MockCluster(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MockCluster::~MockCluster() = default;

result<std::unique_ptr<MockCluster>> MockCluster::start(int brokers) {
  auto impl = std::make_unique<Impl>();
  impl->brokers = brokers;
  Conf conf;
  rd_kafka_conf_set_log_cb(conf.get(), [](const rd_kafka_t* handle, int level, const char* facility, const char* text) {
    if (auto* signals = static_cast<Signals*>(rd_kafka_opaque(handle)); signals != nullptr) signals->log(level, facility, text);
  });
  rd_kafka_conf_set_opaque(conf.get(), static_cast<Signals*>(impl.get()));
  auto handle = make_handle(RD_KAFKA_PRODUCER, std::move(conf));
  if (!handle) return handle.error();
  impl->handle = std::move(*handle);
  impl->cluster = rd_kafka_mock_cluster_new(impl->handle.get(), brokers);
  if (impl->cluster == nullptr) return Error{ErrorCode::io, "kafka: the in-process cluster could not be started"};
  return std::unique_ptr<MockCluster>(new MockCluster(std::move(impl)));
}

std::string MockCluster::bootstrap_servers() const { return rd_kafka_mock_cluster_bootstraps(impl_->cluster); }

result<void> MockCluster::create_topic(const std::string& name, int partitions) {
  const auto err = rd_kafka_mock_topic_create(impl_->cluster, name.c_str(), partitions, 1);
  if (err != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(failure_of(err), "in-process cluster: cannot create topic " + name);
  return {};
}

void MockCluster::cut_link() {
  for (int id = 1; id <= impl_->brokers; ++id) rd_kafka_mock_broker_set_down(impl_->cluster, id);
}

void MockCluster::restore_link() {
  for (int id = 1; id <= impl_->brokers; ++id) rd_kafka_mock_broker_set_up(impl_->cluster, id);
}

void MockCluster::set_delay(int ms) {
  for (int id = 1; id <= impl_->brokers; ++id) rd_kafka_mock_broker_set_rtt(impl_->cluster, id, ms);
}

void MockCluster::push_errors(int api_key, int error_code, int count) {
  const std::vector<rd_kafka_resp_err_t> errors(static_cast<std::size_t>(count), static_cast<rd_kafka_resp_err_t>(error_code));
  rd_kafka_mock_push_request_errors_array(impl_->cluster, static_cast<std::int16_t>(api_key), errors.size(), errors.data());
}

}  // namespace rivulet::kafka
