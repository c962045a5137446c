#include "agent/app/demo/reader.h"

#include <chrono>
#include <vector>

#include "agent/kafka/reader.h"
#include "agent/kafka/rv_header.h"

namespace rivulet::app {
namespace {

using std::chrono::steady_clock;
constexpr std::int64_t kCallMs = 1000;
constexpr std::int64_t kReadIdleMs = 500;
constexpr std::chrono::milliseconds kPause{100};
constexpr std::chrono::seconds kStartWithin{20}, kFinishWithin{20};

// A real broker answers "no such topic" until the one that was just made is known everywhere.
result<std::int32_t> partitions_of(kafka::Reader& reader, const std::string& topic) {
  const auto until = steady_clock::now() + kStartWithin;
  for (;;) {
    const auto answer = reader.metadata(topic, kCallMs);
    if (!answer.failure && answer.metadata.partitions > 0) return answer.metadata.partitions;
    if (steady_clock::now() > until) return Error{ErrorCode::unavailable, "demo: the topic " + topic + " cannot be read: " + answer.failure.message};
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace

struct DemoReader::Partitions {
  std::unique_ptr<kafka::Reader> reader;
  std::vector<kafka::ReadRange> ranges;  // from: what comes next
  std::unique_ptr<kafka::Tally> tally;
};

result<std::unique_ptr<DemoReader>> DemoReader::start(const kafka::Connection& connection, const std::set<std::string>& topics, std::string agent) {
  auto partitions = std::make_unique<Partitions>();
  auto reader = kafka::Reader::create(connection, kafka::Isolation::committed);
  if (!reader) return reader.error();
  partitions->reader = std::move(*reader);
  for (const std::string& topic : topics) {
    const auto count = partitions_of(*partitions->reader, topic);
    if (!count) return count.error();
    for (std::int32_t p = 0; p < *count; ++p) {
      const auto marks = partitions->reader->watermarks({topic, p}, 10 * kCallMs);
      if (marks.failure) return Error{ErrorCode::unavailable, "demo: the topic " + topic + " cannot be read: " + marks.failure.message};
      partitions->ranges.push_back({{topic, p}, marks.end, marks.end});
    }
  }
  partitions->tally = std::make_unique<kafka::Tally>(std::vector<bool>(partitions->ranges.size(), false));
  return std::unique_ptr<DemoReader>(new DemoReader(std::move(partitions), std::move(agent)));
}

DemoReader::DemoReader(std::unique_ptr<Partitions> partitions, std::string agent)
    : agent_(std::move(agent)), partitions_(std::move(partitions)), thread_([this] { run(); }) {}

DemoReader::~DemoReader() {
  ending_ = true;
  if (thread_.joinable()) thread_.join();
}

void DemoReader::run() {
  auto finish_by = steady_clock::time_point::max();
  for (;;) {
    const bool last = ending_;  // asked before the pass, so that the last one sees everything
    if (last && finish_by == steady_clock::time_point::max()) finish_by = steady_clock::now() + kFinishWithin;
    const bool complete = pass();
    if (!error_.empty() || (last && complete)) return;
    if (steady_clock::now() > finish_by) {
      error_ = "the topics could not be read to their end in time";
      return;
    }
    if (!last) std::this_thread::sleep_for(kPause);
  }
}

bool DemoReader::pass() {
  bool complete = true;
  std::vector<kafka::ReadRange> wanted;
  std::vector<std::size_t> which;
  for (std::size_t i = 0; i < partitions_->ranges.size(); ++i) {
    kafka::ReadRange& range = partitions_->ranges[i];
    const auto marks = partitions_->reader->watermarks(range.where, kCallMs);
    if (marks.failure) {
      complete = false;  // the link is cut
      continue;
    }
    if (marks.start > range.from) {
      error_ = range.where.topic + " lost records before they were read (the in-process Kafka keeps 5 MiB a partition); fewer --seconds or a lower rate";
      return false;
    }
    range.until = marks.end;
    if (range.until <= range.from) continue;
    wanted.push_back(range);
    which.push_back(i);
  }
  if (wanted.empty()) return complete;
  const auto read = partitions_->reader->read(wanted, kReadIdleMs, [&](const kafka::Fetched& record) {
    const auto header = record.rv ? kafka::decode_rv(*record.rv) : std::nullopt;
    if (!header || header->agent != agent_) return true;  // somebody else's
    for (std::size_t i = 0; i < partitions_->ranges.size(); ++i) {
      const auto& where = partitions_->ranges[i].where;
      if (where.partition != record.partition || where.topic != record.topic) continue;
      if (const auto added = partitions_->tally->add(static_cast<std::int32_t>(i), *record.rv, record.rv_gap); !added) error_ = added.error().message;
    }
    ++records_;
    return error_.empty();
  });
  for (std::size_t i = 0; i < which.size() && i < read.positions.size(); ++i) partitions_->ranges[which[i]].from = read.positions[i];
  return complete && !read.failure;
}

DemoCount DemoReader::finish() {
  ending_ = true;
  thread_.join();
  const kafka::VerifyReport report = partitions_->tally->report();
  DemoCount count;
  count.records = report.records;
  count.duplicates = report.duplicates;
  count.out_of_order = report.out_of_order;
  for (const auto& stream : report.streams) {
    count.last[stream.stream] = stream.last;
    count.missing[stream.stream] = stream.missing;
  }
  count.error = error_;
  return count;
}

}  // namespace rivulet::app
