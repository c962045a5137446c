#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <optional>
#include <thread>

#include "agent/app/commands.h"
#include "agent/app/kafka_connection.h"
#include "agent/config/config.h"
#include "agent/kafka/verify.h"

namespace rivulet::app {
namespace {

void split_brokers(const std::string& text, std::vector<std::string>& brokers) {
  brokers.clear();
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    if (end > begin) brokers.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
}

void print_stream(const kafka::StreamReport& stream) {
  fmt::print("stream {} of agent {} (incarnation {}): first {}, last {}, {} records\n", stream.stream, stream.agent, stream.incarnation.text(),
             stream.first, stream.last, stream.records);
  fmt::print("  missing {}, duplicates {}, out of order {}, gaps on purpose {} ({} records)\n", stream.missing, stream.duplicates, stream.out_of_order,
             stream.gap_records, stream.gap_sequences);
  for (const auto& range : stream.missing_ranges) fmt::print("  missing: {} to {}\n", range.first, range.last);
  if (stream.not_retained > 0) fmt::print("  below what is retained for certain, and not there: {}\n", stream.not_retained);
  if (stream.undecided > 0) fmt::print("  not checked: {} (they are not there, and need not be missing)\n", stream.undecided);
}

// Says what is waited for, if it has not come in kPatience. Lives as long as the asking; a thread of its own.
class Waiting {
 public:
  explicit Waiting(const std::string& what) : thread_([this, what] {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [this] { return over_; })) fmt::print(stderr, "waiting for {}\n", what);
  }) {}
  ~Waiting() {
    over();
    thread_.join();
  }
  void over() {
    const std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_one();
  }

 private:
  static constexpr std::chrono::seconds kPatience{2};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  std::thread thread_;  // after what it uses
};

}  // namespace

int command_verify(const VerifyOptions& options) {
  kafka::Connection connection;
  connection.client_id = "rivulet-verify";
  if (!options.config.empty()) {
    const config::Loaded loaded = config::load(options.config);
    if (!loaded.ok() || !loaded.config.kafka) {
      for (const auto& problem : loaded.problems) fmt::print(stderr, "{}\n", problem.text());
      if (loaded.ok()) fmt::print(stderr, "{} has no kafka section; leave -c out and give --brokers\n", options.config);
      return kCannot;
    }
    connection = connection_of(*loaded.config.kafka, "rivulet-verify");
  }
  if (!options.brokers.empty()) split_brokers(options.brokers, connection.brokers);
  if (connection.brokers.empty()) {
    fmt::print(stderr, "verify: give --brokers HOST:PORT, or -c FILE with a kafka section\n");
    return kCannot;
  }
  kafka::VerifyOptions verify_options;
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  const auto report = [&] {
    std::optional<Waiting> waiting(fmt::format("an answer of {}", fmt::join(connection.brokers, ", ")));
    verify_options.on_wait = [&] { waiting.emplace(fmt::format("open transactions to end, at most {} s", verify_options.timeout_ms / 1000)); };
    verify_options.on_progress = [&](std::uint64_t records) {
      waiting->over();
      if (terminal) fmt::print(stderr, "\r{} records read", records);
    };
    return kafka::verify(connection, options.topic, verify_options);
  }();
  if (terminal) fmt::print(stderr, "\r\033[K");
  if (!report) {
    fmt::print(stderr, "{}\n", report.error().message);
    return kCannot;
  }
  for (const auto& stream : report->streams) print_stream(stream);
  if (report->without_header > 0) fmt::print("{} records carry no rv header: they are not counted (not rivulet's, or kafka.headers is false)\n", report->without_header);
  if (report->retained_from > 0) fmt::print("{} partitions begin after their first record (retention): streams are checked from what is retained for certain\n", report->retained_from);
  for (const auto& open : report->open) {
    fmt::print("open transaction in partition {}: not checked beyond offset {} (the partition's end: {})\n", open.partition, open.from, open.until);
  }
  fmt::print("topic {}: {} partitions, {} streams, {} records: missing {}, duplicates {}, out of order {}\n", report->topic, report->partitions,
             report->streams.size(), report->records, report->missing, report->duplicates, report->out_of_order);
  if (!report->ok()) return kNotInOrder;
  if (report->undecided == 0) return kDone;
  if (report->open.empty())
    fmt::print(stderr, "verify: {} sequence numbers are missing, or retention deleted them with all that a partition had of their stream: it cannot be told\n", report->undecided);
  else
    fmt::print(stderr, "verify: {} sequence numbers may lie behind an open transaction; its producer has to end it, or the broker does when its timeout is over: verify again then\n", report->undecided);
  return kCannot;
}

}  // namespace rivulet::app
