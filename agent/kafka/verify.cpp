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

// A topic as it is now. `from` of a range: its partition's beginning.
struct Look {
  std::vector<ReadRange> ranges;  // by partition
  std::vector<bool> trimmed;
};

result<Look> look_at(Reader& reader, const std::string& topic, std::int64_t timeout_ms) {
  const auto metadata = reader.metadata(topic, timeout_ms);
  if (metadata.failure) return to_error(metadata.failure, "topic " + topic);
  Look look;
  for (std::int32_t p = 0; p < metadata.metadata.partitions; ++p) {
    const auto marks = reader.watermarks({topic, p}, timeout_ms);
    if (marks.failure) return to_error(marks.failure, "offsets of topic " + topic + ", partition " + std::to_string(p));
    look.ranges.push_back({{topic, p}, marks.start, marks.end});
    look.trimmed.push_back(marks.start > 0);
  }
  return look;
}

// Where `read` stopped below the end of its range although a broker answers.
result<std::vector<OpenTransaction>> open_transactions(Reader& reader, const std::vector<ReadRange>& ranges, const Reader::Progress& read, std::int64_t timeout_ms) {
  std::vector<OpenTransaction> open;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    if (read.positions[i] >= ranges[i].until) continue;
    const auto& where = ranges[i].where;
    const auto stable = reader.ends({where}, timeout_ms);
    if (stable.failure) return to_error(stable.failure, "offsets of topic " + where.topic + ", partition " + std::to_string(where.partition));
    if (stable.offsets[0] >= ranges[i].until) return to_error(read.failure, "reading topic " + where.topic);  // no transaction keeps it
    open.push_back({where.partition, stable.offsets[0], ranges[i].until});
  }
  return open;
}

}  // namespace

struct Tally::Stream {
  std::string agent;
  StreamId id = 0;
  Uuid incarnation;
  StreamReport counts;
  SequenceSet seen;
  Sequence settled = 0;  // counts.last when it was settled
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

void Tally::settle(std::vector<bool> trimmed) {
  trimmed_ = std::move(trimmed);
  settled_ = true;
  for (auto& [prefix, stream] : streams_) stream.settled = stream.counts.last;
}

// What of a stream is not there, by what is certain of it.
void Tally::count_lacking(const Stream& stream, const std::vector<bool>& open, StreamReport& counts) const {
  const Sequence last = settled_ ? stream.settled : counts.last;
  const auto trimmed = static_cast<std::size_t>(std::count(trimmed_.begin(), trimmed_.end(), true));
  const auto opened = static_cast<std::size_t>(std::count(open.begin(), open.end(), true));
  // Below a trimmed partition's first record anything may have been deleted, after an open one's last anything may come. Has it none: anything at all,
  // and what is not there cannot be called missing, nor in order.
  Sequence from = trimmed == 0 ? own_from(stream, counts.duplicates) : counts.first, until = last;
  std::size_t in_trimmed = 0, in_open = 0;
  for (const auto& [partition, place] : stream.partitions) {
    const auto p = static_cast<std::size_t>(partition);
    if (trimmed_.at(p)) {
      ++in_trimmed;
      from = std::max(from, place.first);
    }
    if (open.at(p)) {
      ++in_open;
      until = std::min(until, place.last);
    }
  }
  if (in_trimmed < trimmed || in_open < opened) until = 0;
  if (from > counts.first) counts.not_retained = stream.seen.missing({counts.first, std::min(from - 1, last)}, 0).count;
  auto missing = stream.seen.missing({from, until}, shown_ranges);
  counts.missing = missing.count;
  counts.missing_ranges = std::move(missing.ranges);
  if (until < last) counts.undecided = stream.seen.missing({std::max(from, until + 1), last}, 0).count;
}

VerifyReport Tally::report(std::vector<OpenTransaction> open) const {
  VerifyReport report;
  report.partitions = static_cast<std::int32_t>(trimmed_.size());
  report.without_header = without_header_;
  report.retained_from = static_cast<std::uint64_t>(std::count(trimmed_.begin(), trimmed_.end(), true));
  std::vector<bool> is_open(trimmed_.size(), false);
  for (const auto& each : open) is_open.at(static_cast<std::size_t>(each.partition)) = true;
  for (const auto& [prefix, stream] : streams_) {
    StreamReport counts = stream.counts;
    counts.agent = stream.agent;
    counts.stream = stream.id;
    counts.incarnation = stream.incarnation;
    count_lacking(stream, is_open, counts);
    report.records += counts.records;
    report.missing += counts.missing;
    report.not_retained += counts.not_retained;
    report.undecided += counts.undecided;
    report.duplicates += counts.duplicates;
    report.out_of_order += counts.out_of_order;
    report.streams.push_back(std::move(counts));
  }
  report.open = std::move(open);
  return report;
}

result<VerifyReport> verify(const Connection& connection, const std::string& topic, const VerifyOptions& options) {
  auto reader = Reader::create(connection, Isolation::committed);
  if (!reader) return reader.error();
  auto stable = look_at(**reader, topic, options.timeout_ms);
  if (!stable) return stable.error();
  Tally tally(stable->trimmed);
  std::optional<Error> stopped;
  std::uint64_t records = 0;
  const auto read = [&](const std::vector<ReadRange>& ranges) {
    return (*reader)->read(ranges, options.timeout_ms, [&](const Fetched& record) {
      if (!record.rv) {
        tally.add_without_header();
      } else if (auto added = tally.add(record.partition, *record.rv, record.rv_gap); !added) {
        stopped = added.error();
        return false;
      }
      if (++records % 10'000 == 0 && options.on_progress) options.on_progress(records);
      return true;
    });
  };
  auto progress = read(stable->ranges);
  if (stopped) return *stopped;
  if (progress.failure) return to_error(progress.failure, "reading topic " + topic);
  auto report = tally.report();
  if (report.missing + report.undecided > 0) {  // or on its way
    if (options.on_wait) options.on_wait();
    auto latest = Reader::create(connection, Isolation::uncommitted);
    if (!latest) return latest.error();
    auto now = look_at(**latest, topic, options.timeout_ms);
    if (!now) return now.error();
    if (now->ranges.size() < stable->ranges.size()) return Error{ErrorCode::unavailable, "kafka: topic " + topic + " was made anew while it was read"};
    for (std::size_t p = 0; p < stable->ranges.size(); ++p) {
      now->ranges[p].from = stable->ranges[p].until;
      now->trimmed[p] = stable->trimmed[p];  // what was deleted since was read
    }
    tally.settle(now->trimmed);
    progress = read(now->ranges);
    if (stopped) return *stopped;
    if (progress.failure && progress.failure.kind != FailureKind::pending) return to_error(progress.failure, "reading topic " + topic);
    std::vector<OpenTransaction> open;
    if (progress.failure) {
      auto found = open_transactions(**reader, now->ranges, progress, options.timeout_ms);
      if (!found) return found.error();
      open = std::move(*found);
    }
    report = tally.report(std::move(open));
  }
  report.topic = topic;
  return report;
}

}  // namespace rivulet::kafka
