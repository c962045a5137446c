// KafkaSource: the records of a topic, read_committed, exactly once: how far each partition was read is in the epoch of its records, not in
// a consumer group.
//
// Positions: "offset/TOPIC/PARTITION": the next offset to take in; "whole/TOPIC": the table was read to its end once (bootstrap);
// "stopped/TOPIC": the topic was made anew, and nothing of it is read.
// Threads: io, and one of its own that reads (librdkafka's calls block). Bounds: two batches of kBatchBytes, librdkafka's fetches of 1 MiB.
// While io has no room nothing more is fetched. A call that is under way at stop() takes two seconds at most; until it has ended() the destructor waits for it.
// Errors: nothing ends the agent; state() says what it waits for.
#pragma once
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/config/source.h"
#include "agent/kafka/reader.h"
#include "agent/source/source.h"

namespace rivulet::source {

class KafkaSource final : public Source {
 public:
  static constexpr std::size_t kBatchBytes = 256 << 10;

  KafkaSource(boost::asio::io_context& io, const config::KafkaSource& config, std::string name, kafka::Connection connection, Intake& intake);
  ~KafkaSource() override;

  void start() override;
  void stop() override;
  bool ended() const override { return !thread_.joinable() || ended_; }
  void on_durable(EpochNumber) override {}
  void on_room() override { drain(); }
  bool ready() const override { return ready_; }
  std::string state() const override;
  bool in_trouble() const override;

 private:
  struct Taken {
    std::int32_t partition;
    std::int64_t offset;
    std::optional<std::string> key, value;
    Timestamp timestamp_ms;
  };
  struct Batch {
    std::vector<Taken> records;
    std::size_t bytes = 0;
    bool whole = false;                         // the table is there, with these
    bool stopped = false;                       // for good: the topic was made anew
    std::map<std::int32_t, std::int64_t> passed;  // where a partition is after these records, if not behind its last one
    std::uint64_t gone = 0;                     // partitions whose next records the topic no longer had
    std::uint64_t gap_records = 0;
    bool empty() const { return records.empty() && !whole && !stopped && passed.empty() && gone == 0 && gap_records == 0; }
  };

  // io
  void drain();
  void drained();
  void keep_positions();

  // The reading thread.
  void run();
  std::int64_t session();  // answers how many ms to wait before the next one
  std::optional<std::vector<kafka::ReadRange>> ranges(std::int32_t partitions);
  bool made_anew(const std::string& what, const std::vector<std::int64_t>& starts);
  bool read(std::vector<kafka::ReadRange>& ranges, std::int64_t idle_ms, bool once);
  bool take(const kafka::Fetched& record);
  void pass(std::int32_t partition, std::int64_t position);
  bool hand_over();
  bool stopping() const;
  void say(const std::string& text, bool trouble);

  boost::asio::io_context& io_;
  const config::KafkaSource config_;
  const std::string name_;
  const kafka::Connection connection_;
  Intake& intake_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();

  // io
  std::size_t next_ = 0;  // of given_
  std::map<std::int32_t, std::int64_t> moved_;
  bool ready_ = false;

  // The reading thread.
  std::unique_ptr<kafka::Reader> reader_;
  std::map<std::int32_t, std::int64_t> positions_;
  std::map<std::int32_t, std::int64_t> kept_;  // of these, what is stored or in a batch
  Batch filling_;
  std::int64_t session_ends_ms_ = 0;
  bool whole_ = false, stopped_ = false;
  std::uint32_t attempts_ = 0, beyond_ = 0;

  mutable std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::unique_ptr<Batch> given_;  // io has it until it is null again
  bool stopping_ = false;
  std::string state_ = "not started";
  std::optional<std::int64_t> troubled_since_ms_;  // steady clock

  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

std::string describe_guarantee(const config::KafkaSource& config);

}  // namespace rivulet::source
