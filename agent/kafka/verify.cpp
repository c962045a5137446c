#include "agent/kafka/verify.h"

#include <algorithm>

#include "agent/kafka/reader.h"
#include "agent/kafka/rv_header.h"

namespace rivulet::kafka {
namespace {

constexpr std::size_t max_chunks = 8192;  // 64 MiB of bitmaps
constexpr std::size_t max_streams = 100'000;
constexpr std::size_t shown_ranges = 20;
constexpr std::uint64_t longest_gap = 1ULL << 32;  // a longer one is no gap of ours: an outbox does not hold so many

Error to_error(const Failure& failure, const std::string& what) {
  const auto code = failure.kind == FailureKind::topic ? ErrorCode::not_found : ErrorCode::unavailable;
  return {code, "kafka: " + what + ": " + failure.message};
}

}  // namespace

struct Tally::Stream {
  std::string agent;
  StreamId id = 0;
  Uuid incarnation;
  StreamReport counts;
  SequenceSet seen;
  struct Partition { Sequence first = 0, last = 0; };
  std::map<std::int32_t, Partition> partitions;
};

Tally::Tally(std::vector<bool> trimmed) : trimmed_(std::move(trimmed)) {}
Tally::~Tally() = default;

result<void> Tally::add(std::int32_t partition, std::string_view rv, std::optional<std::string_view> rv_gap) {
  const auto header = decode_rv(rv);
  if (!header) {
    ++without_header_;
    return {};
  }
  SequenceRange range{header->sequence, header->sequence};
  if (rv_gap) {
    const auto gap = decode_rv_gap(*rv_gap);
    if (!gap || gap->last != header->sequence || gap->last - gap->first > longest_gap) {
      ++without_header_;
      return {};
    }
    range.first = gap->first;
  }
  const auto prefix = rv_prefix(header->agent, header->stream, header->incarnation);
  if (last_used_ == nullptr || prefix != last_prefix_) {
    if (streams_.size() >= max_streams) {
      return Error{ErrorCode::full, "verify: more than " + std::to_string(max_streams) + " streams in one topic"};
    }
    last_used_ = &streams_[prefix];
    last_prefix_ = prefix;
    last_used_->agent = header->agent;
    last_used_->id = header->stream;
    last_used_->incarnation = header->incarnation;
  }
  auto& stream = *last_used_;
  const auto chunks_before = stream.seen.chunks();
  stream.counts.duplicates += stream.seen.add(range);
  chunks_ += stream.seen.chunks() - chunks_before;
  if (chunks_ > max_chunks) {
    return Error{ErrorCode::full, "verify: the topic's sequence numbers are too scattered to check within 64 MiB of memory"};
  }
  if (rv_gap) {
    ++stream.counts.gap_records;
    stream.counts.gap_sequences += range.last - range.first + 1;
  } else {
    ++stream.counts.records;
  }
  if (stream.counts.first == 0 || range.first < stream.counts.first) stream.counts.first = range.first;
  stream.counts.last = std::max(stream.counts.last, range.last);
  auto& place = stream.partitions[partition];
  if (place.first == 0) place.first = range.first;
  else if (range.first < place.last) ++stream.counts.out_of_order;
  place.last = std::max(place.last, range.last);
  return {};
}

// Of a stream that goes on where another incarnation's ended (`rivulet restore`): the first sequence number that is its own.
// What both have is there twice. A stream that begins with 1 is a new one.
Sequence Tally::own_from(const Stream& stream, std::uint64_t& twice) const {
  if (stream.counts.first <= 1) return 1;
  Sequence ended = 0;
  for (const auto& [prefix, other] : streams_) {
    if (other.id != stream.id || other.agent != stream.agent || other.incarnation == stream.incarnation) continue;
    if (other.counts.first >= stream.counts.first) continue;  // it came later
    if (other.counts.last + 1 == stream.counts.first) return stream.counts.first;
    ended = std::max(ended, other.counts.last);
  }
  if (ended >= stream.counts.first) twice += std::min(ended, stream.counts.last) - stream.counts.first + 1;
  return std::min(ended + 1, stream.counts.first);
}

VerifyReport Tally::report() const {
  VerifyReport report;
  report.partitions = static_cast<std::int32_t>(trimmed_.size());
  report.without_header = without_header_;
  report.retained_from = static_cast<std::uint64_t>(std::count(trimmed_.begin(), trimmed_.end(), true));
  for (const auto& [prefix, stream] : streams_) {
    StreamReport counts = stream.counts;
    counts.agent = stream.agent;
    counts.stream = stream.id;
    counts.incarnation = stream.incarnation;
    // Below a trimmed partition's first record anything may have been deleted.
    Sequence from = report.retained_from == 0 ? own_from(stream, counts.duplicates) : counts.first;
    for (const auto& [partition, place] : stream.partitions) {
      if (trimmed_.at(static_cast<std::size_t>(partition))) from = std::max(from, place.first);
    }
    auto missing = stream.seen.missing({from, counts.last}, shown_ranges);
    counts.missing = missing.count;
    counts.missing_ranges = std::move(missing.ranges);
    report.records += counts.records;
    report.missing += counts.missing;
    report.duplicates += counts.duplicates;
    report.out_of_order += counts.out_of_order;
    report.streams.push_back(std::move(counts));
  }
  return report;
}

result<VerifyReport> verify(const Connection& connection, const std::string& topic, const VerifyOptions& options) {
  auto reader = Reader::create(connection, Isolation::committed);
  if (!reader) return reader.error();
  const auto metadata = (*reader)->metadata(topic, options.timeout_ms);
  if (metadata.failure) return to_error(metadata.failure, "topic " + topic);
  std::vector<ReadRange> ranges;
  std::vector<bool> trimmed;
  for (std::int32_t p = 0; p < metadata.metadata.partitions; ++p) {
    const auto marks = (*reader)->watermarks({topic, p}, options.timeout_ms);
    if (marks.failure) return to_error(marks.failure, "offsets of topic " + topic + ", partition " + std::to_string(p));
    ranges.push_back({{topic, p}, marks.start, marks.end});
    trimmed.push_back(marks.start > 0);
  }
  Tally tally(trimmed);
  std::optional<Error> stopped;
  std::uint64_t read = 0;
  const auto progress = (*reader)->read(ranges, options.timeout_ms, [&](const Fetched& record) {
    if (!record.rv) {
      tally.add_without_header();
    } else if (auto added = tally.add(record.partition, *record.rv, record.rv_gap); !added) {
      stopped = added.error();
      return false;
    }
    if (++read % 10'000 == 0 && options.on_progress) options.on_progress(read);
    return true;
  });
  if (stopped) return *stopped;
  if (progress.failure) return to_error(progress.failure, "reading topic " + topic);
  auto report = tally.report();
  report.topic = topic;
  return report;
}

}  // namespace rivulet::kafka
