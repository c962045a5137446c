#include "agent/forward/kafka_uplink.h"

#include "agent/kafka/admin.h"
#include "agent/kafka/probe.h"

namespace rivulet::forward {
namespace {

Failure not_open() { return {FailureKind::uncertain, 0, "there is no producer"}; }

class KafkaUplink final : public Uplink {
 public:
  explicit KafkaUplink(KafkaUplinkOptions options) : options_(std::move(options)), probe_(options_.connection.brokers) {}

  Failure reachable(std::int64_t timeout_ms) override {
    return probe_.reachable(timeout_ms) ? Failure{} : Failure{FailureKind::link, 0, "kafka: " + probe_.trouble()};
  }

  Failure open(bool transactional) override {
    close();
    kafka::ProducerOptions producer;
    if (transactional) producer.transactional_id = "rivulet-" + options_.agent_id;
    producer.transaction_timeout_ms = options_.transaction_timeout_ms;
    producer.buffer_bytes = options_.queue_bytes;
    if (refused_) {  // see make_handle() in kafka/conf.cpp
      if (const auto trial = kafka::Admin::create(options_.connection); !trial) return {FailureKind::settings, 0, trial.error().message};
    }
    auto made = kafka::Producer::create(options_.connection, producer);
    refused_ = !made;
    if (!made) return {FailureKind::settings, 0, made.error().message};
    producer_ = std::move(*made);
    return {};
  }

  void close() override {
    producer_.reset();
    end_recovery();
  }

  Failure init(std::int64_t timeout_ms) override { return producer_ ? producer_->init_transactions(timeout_ms) : not_open(); }
  Failure begin() override { return producer_ ? producer_->begin() : not_open(); }
  void start_report() override {
    if (producer_) producer_->start_report();
  }
  int topic(const std::string& name) override { return producer_ ? producer_->topic(name) : -1; }
  Failure send(const kafka::Message& message, std::int64_t timeout_ms) override {
    return producer_ ? producer_->produce(message, timeout_ms) : not_open();
  }
  Failure flush(std::int64_t timeout_ms) override { return producer_ ? producer_->flush(timeout_ms) : not_open(); }
  kafka::DeliveryReport report() override {
    if (producer_) return producer_->report();
    kafka::DeliveryReport none;
    none.failure = not_open();
    return none;
  }

  Commit commit(std::int64_t timeout_ms) override {
    if (!producer_) return {not_open(), 0, 0};
    Commit commit;
    commit.failure = producer_->commit(timeout_ms);
    commit.end_txn_requests = producer_->end_txn_requests();
    commit.timed_out_requests = producer_->timed_out_requests();
    return commit;
  }

  kafka::TopicAnswer metadata(const std::string& name, std::int64_t timeout_ms) override {
    return producer_ ? producer_->metadata(name, timeout_ms) : kafka::TopicAnswer{not_open(), {}};
  }
  std::string cluster_id(std::int64_t timeout_ms) override { return producer_ ? producer_->cluster_id(timeout_ms) : std::string(); }

  kafka::Offsets stable_offsets(const std::vector<kafka::TopicPartition>& where, std::int64_t timeout_ms) override {
    return producer_ ? producer_->stable_offsets(where, timeout_ms) : kafka::Offsets{not_open(), {}};
  }

  kafka::Offsets high_watermarks(const std::vector<kafka::TopicPartition>& where, std::int64_t timeout_ms) override {
    if (const auto failure = make(uncommitted_, kafka::Isolation::uncommitted)) return {failure, {}};
    return uncommitted_->ends(where, timeout_ms);
  }

  kafka::Reader::Watermarks committed_range(const kafka::TopicPartition& where, std::int64_t timeout_ms, const std::function<bool()>& give_up) override {
    if (const auto failure = make(committed_, kafka::Isolation::committed)) return {failure, 0, 0};
    return committed_->watermarks(where, timeout_ms, give_up);
  }

  kafka::Reader::Progress read(const kafka::ReadRange& range, std::int64_t idle_timeout_ms, const std::function<bool()>& give_up,
                               const std::function<bool(const kafka::Fetched&)>& take) override {
    if (const auto failure = make(committed_, kafka::Isolation::committed)) return {failure, {range.from}};
    bool gave_up = false;
    auto progress = committed_->read({range}, idle_timeout_ms, take, [&] { return !(gave_up = give_up()); });
    if (gave_up && !progress.failure) progress.failure = {FailureKind::pending, 0, "kafka: told to stop while reading " + range.where.topic};
    return progress;
  }

  Cleanup cleanup_policy(const std::string& topic, std::int64_t timeout_ms) override {
    auto admin = kafka::Admin::create(options_.connection);
    if (!admin) return Cleanup::unknown;
    const auto settings = (*admin)->settings(topic, timeout_ms);
    if (!settings) return Cleanup::unknown;
    const auto found = settings->find("cleanup.policy");
    if (found == settings->end()) return Cleanup::unknown;
    const bool compacts = found->second.find("compact") != std::string::npos;
    const bool deletes = found->second.find("delete") != std::string::npos;
    return compacts ? (deletes ? Cleanup::both : Cleanup::compacts) : deletes ? Cleanup::deletes : Cleanup::unknown;
  }

  TimeLimits time_limits(const std::string& topic, std::int64_t timeout_ms) override {
    auto admin = kafka::Admin::create(options_.connection);
    if (!admin) return {};
    const auto settings = (*admin)->settings(topic, timeout_ms);
    return settings ? forward::time_limits(*settings) : TimeLimits{};
  }

  void end_recovery() override {
    committed_.reset();
    uncommitted_.reset();
  }

  bool take_disturbed() override { return producer_ && producer_->take_disturbed(); }
  Failure last_error() override { return producer_ ? producer_->last_error() : Failure{}; }

 private:
  Failure make(std::unique_ptr<kafka::Reader>& reader, kafka::Isolation isolation) {
    if (reader) return {};
    auto made = kafka::Reader::create(options_.connection, isolation);
    if (!made) return {FailureKind::settings, 0, made.error().message};
    reader = std::move(*made);
    return {};
  }

  KafkaUplinkOptions options_;
  kafka::Probe probe_;
  bool refused_ = false;  // librdkafka did not take the settings
  std::unique_ptr<kafka::Producer> producer_;
  std::unique_ptr<kafka::Reader> committed_, uncommitted_;  // recovery only
};

}  // namespace

std::unique_ptr<Uplink> make_kafka_uplink(KafkaUplinkOptions options) { return std::make_unique<KafkaUplink>(std::move(options)); }

}  // namespace rivulet::forward
