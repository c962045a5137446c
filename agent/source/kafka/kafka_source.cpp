#include "agent/source/kafka/kafka_source.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <system_error>
#include <utility>

#include "agent/base/log.h"
#include "agent/base/words.h"

namespace rivulet::source {
namespace {

constexpr std::int64_t kCallMs = 2'000;      // a blocking call: so long may its end take
constexpr std::int64_t kSessionMs = 60'000;  // then it is looked whether the topic has more partitions
constexpr std::int64_t kFetchWaitMs = 500;
constexpr std::int64_t kShortestWaitMs = 500, kLongestWaitMs = 30'000;
constexpr std::uint32_t kBeyondTimes = 4;
constexpr std::size_t kRecordBytes = 128;  // of a record in a batch, beside key and value

std::string offset_key(const std::string& topic, std::int32_t partition) { return "offset/" + topic + "/" + std::to_string(partition); }
std::string whole_key(const std::string& topic) { return "whole/" + topic; }
std::string stopped_key(const std::string& topic) { return "stopped/" + topic; }

template <class Number>
std::optional<Number> number_of(std::string_view text) {
  Number number = 0;
  return whole_number(text, number) && number >= 0 ? std::optional(number) : std::nullopt;
}

}  // namespace

KafkaSource::KafkaSource(boost::asio::io_context& io, const config::KafkaSource& config, std::string name, kafka::Connection connection, Intake& intake)
    : io_(io), config_(config), name_(std::move(name)), connection_(std::move(connection)), intake_(intake) {
  const auto& known = intake_.positions_at_start();
  whole_ = known.count(whole_key(config_.topic)) != 0;
  ready_ = whole_ || !config_.bootstrap;
  stopped_ = !config_.bootstrap && known.count(stopped_key(config_.topic)) != 0;
  const std::string prefix = "offset/" + config_.topic + "/";
  for (const auto& [key, value] : known) {
    if (key.rfind(prefix, 0) != 0) continue;
    const auto partition = number_of<std::int32_t>(std::string_view(key).substr(prefix.size()));
    const auto offset = number_of<std::int64_t>(value);
    if (partition && offset) positions_[*partition] = kept_[*partition] = *offset;
    else log::error("source {}: the position {} = '{}' makes no sense; that partition is read from its beginning", name_, key, value);
  }
}

KafkaSource::~KafkaSource() {
  stop();
  if (thread_.joinable()) thread_.join();
}

void KafkaSource::start() {
  say("connecting for topic " + config_.topic, false);
  try {
    thread_ = std::thread([this] {
      run();
      reader_.reset();  // which waits for librdkafka's threads
      ended_ = true;
    });
  } catch (const std::system_error& error) {
    say(std::string("has no thread to read with: ") + error.what(), true);
  }
}

void KafkaSource::stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
}

bool KafkaSource::stopping() const {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

std::string KafkaSource::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

bool KafkaSource::in_trouble() const {
  const std::lock_guard lock(mutex_);
  return troubled_since_ms_ && intake_.clock().steady_ms() - *troubled_since_ms_ >= kTroubleAfterMs;
}

void KafkaSource::say(const std::string& text, bool trouble) {
  const std::lock_guard lock(mutex_);
  if (!trouble) troubled_since_ms_.reset();
  else if (!troubled_since_ms_) troubled_since_ms_ = intake_.clock().steady_ms();
  if (std::exchange(state_, text) == text) return;
  if (trouble) log::warn("source {}: {}", name_, text);
  else log::info("source {}: {}", name_, text);
}

// --- io ---

void KafkaSource::drain() {
  std::unique_lock lock(mutex_);
  Batch* const batch = given_.get();  // the reading thread leaves it alone until it is null
  if (batch == nullptr || stopping_) return;
  lock.unlock();
  for (; next_ < batch->records.size() && intake_.can_accept(); ++next_) {
    const Taken& one = batch->records[next_];
    Frame frame;
    frame.payload = one.value ? std::string_view(*one.value) : std::string_view();
    frame.topic = config_.topic;
    if (one.key) frame.key = *one.key;
    if (one.timestamp_ms >= 0) frame.timestamp_ms = one.timestamp_ms;  // else it has none
    frame.null = !one.value;
    intake_.accept(frame);
    moved_[one.partition] = one.offset + 1;
  }
  keep_positions();
  if (next_ == batch->records.size()) drained();
}

// In the handler that accepted the records: they share an epoch.
void KafkaSource::keep_positions() {
  for (const auto& [partition, offset] : moved_) intake_.set_position(offset_key(config_.topic, partition), std::to_string(offset));
  moved_.clear();
}

void KafkaSource::drained() {
  std::unique_ptr<Batch> batch;
  {
    const std::lock_guard lock(mutex_);
    batch = std::move(given_);
    changed_.notify_all();
  }
  next_ = 0;
  moved_ = batch->passed;
  keep_positions();
  if (batch->gone > 0) intake_.count("skipped_to_log_start", batch->gone);
  if (batch->gap_records > 0) intake_.count("gap_records", batch->gap_records);
  if (batch->stopped) intake_.set_position(stopped_key(config_.topic), "made anew");
  if (!batch->whole) return;
  intake_.set_position(whole_key(config_.topic), "1");
  ready_ = true;
}

// --- the reading thread ---

void KafkaSource::run() {
  while (!stopping()) {
    const std::int64_t wait_ms = session();
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::milliseconds(wait_ms), [this] { return stopping_; });
  }
}

std::int64_t KafkaSource::session() {
  const auto later = [this] {
    attempts_ = std::min(attempts_ + 1, 10U);
    return std::min(kShortestWaitMs << attempts_, kLongestWaitMs);
  };
  if (stopped_) {
    say("topic " + config_.topic + " ended before the offset up to which it was read: was the topic made anew? Nothing of it is read: to read it from its beginning, give the source another name", true);
    return kLongestWaitMs;
  }
  if (reader_ == nullptr) {
    auto made = kafka::Reader::create(connection_, kafka::Isolation::committed, kFetchWaitMs);
    if (!made) {
      say(made.error().message, true);
      return later();
    }
    reader_ = std::move(*made);
  }
  const auto topic = reader_->metadata(config_.topic, kCallMs);
  if (topic.failure) {
    const bool absent = topic.failure.kind == kafka::FailureKind::topic;
    say("topic " + config_.topic + ": " + topic.failure.message + (absent ? "; it is looked for again" : "; the broker is tried again"), true);
    return later();
  }
  auto read_from = ranges(topic.metadata.partitions);
  if (!read_from) return later();
  if (config_.bootstrap && !whole_) {
    say("reads topic " + config_.topic + " to its end; other sources wait for it", false);
    if (!read(*read_from, kSessionMs, true)) return stopping() ? 0 : later();
    filling_.whole = whole_ = true;
    if (!hand_over()) return 0;
  }
  attempts_ = 0;
  say("reads topic " + config_.topic + " (" + std::to_string(topic.metadata.partitions) + " partitions)", false);
  for (kafka::ReadRange& range : *read_from) {
    range.from = std::max(range.from, positions_[range.where.partition]);
    range.until = INT64_MAX;
  }
  return read(*read_from, kSessionMs, false) ? 0 : later();
}

// From where each partition is read, and up to where it has something now.
std::optional<std::vector<kafka::ReadRange>> KafkaSource::ranges(std::int32_t partitions) {
  std::vector<kafka::TopicPartition> where;
  for (std::int32_t partition = 0; partition < partitions; ++partition) where.push_back({config_.topic, partition});
  const auto answered = [this](const kafka::Offsets& offsets) {
    if (offsets.failure) say("topic " + config_.topic + ": " + offsets.failure.message + "; the broker is tried again", true);
    return !offsets.failure && !stopping();
  };
  const auto starts = reader_->starts(where, kCallMs);
  if (!answered(starts)) return std::nullopt;
  const auto ends = reader_->ends(where, kCallMs);
  if (!answered(ends)) return std::nullopt;
  std::vector<kafka::ReadRange> all;
  std::string beyond;
  for (std::size_t i = 0; i < where.size(); ++i) {
    const std::int64_t end = ends.offsets[i], position = positions_.try_emplace(where[i].partition, starts.offsets[i]).first->second;
    if (position > end)
      beyond = "topic " + config_.topic + ", partition " + std::to_string(where[i].partition) + " ends at offset " + std::to_string(end) + ", but was read up to " + std::to_string(position) +
               ": was the topic made anew?";
    all.push_back({where[i], position, end});
  }
  if (!beyond.empty() && !made_anew(beyond, starts.offsets)) return std::nullopt;
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::int64_t& position = positions_[all[i].where.partition];
    if (position < starts.offsets[i]) {
      log::error("source {}: topic {}, partition {}: the records from offset {} to {} are no longer there (retention or compaction); it goes on at {}", name_, config_.topic,
                    all[i].where.partition, position, starts.offsets[i] - 1, starts.offsets[i]);
      ++filling_.gone;
      position = starts.offsets[i];
    }
    all[i].from = position;
  }
  beyond_ = 0;
  return all;
}

// Offsets mean nothing any more, of no partition. After a broker's restart it may only be behind for a moment, so it is looked a few times.
// True: a table, which is read again from its beginning.
bool KafkaSource::made_anew(const std::string& what, const std::vector<std::int64_t>& starts) {
  if (++beyond_ < kBeyondTimes) {
    say(what + " Nothing of it is read for now", true);
    return false;
  }
  if (!config_.bootstrap) {
    filling_.stopped = stopped_ = true;
    hand_over();
    return false;
  }
  log::error("source {}: {} It is a table, and is read again from its beginning", name_, what);
  for (std::size_t i = 0; i < starts.size(); ++i) pass(static_cast<std::int32_t>(i), starts[i]);
  return hand_over();
}

// True: to the end of the ranges (`once`), or for a session. False: what went wrong is said.
bool KafkaSource::read(std::vector<kafka::ReadRange>& ranges, std::int64_t idle_ms, bool once) {
  const auto now_ms = [this] { return intake_.clock().steady_ms(); };
  session_ends_ms_ = once ? INT64_MAX : now_ms() + kSessionMs;
  const auto progress = reader_->read(
      ranges, idle_ms, [this](const kafka::Fetched& record) { return take(record); }, [&] { return hand_over() && now_ms() < session_ends_ms_; });
  // Also past what was aborted, and the marks of transactions: what is not kept would look lost once the topic's retention has passed it.
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const auto partition = ranges[i].where.partition;
    const auto position = std::max(positions_[partition], progress.positions[i]);
    if (position > kept_[partition]) pass(partition, position);
  }
  if (!hand_over()) return false;
  if (!progress.failure) return true;
  if (progress.failure.kind == kafka::FailureKind::pending && !once) return true;  // nothing came for so long
  if (progress.failure.kind != kafka::FailureKind::uncertain)  // else an offset that is gone: ranges() says what that means
    say("topic " + config_.topic + ": " + progress.failure.message + "; the broker is tried again", true);
  return false;
}

bool KafkaSource::take(const kafka::Fetched& record) {
  if (record.rv_gap) {  // another agent's mark of what it dropped on purpose: no record
    ++filling_.gap_records;
    pass(record.partition, record.offset + 1);
    return true;
  }
  const auto copy = [](const std::optional<std::string_view>& text) { return text ? std::optional<std::string>(*text) : std::nullopt; };
  filling_.records.push_back({record.partition, record.offset, copy(record.key), copy(record.value), record.timestamp_ms});
  filling_.bytes += kRecordBytes + (record.key ? record.key->size() : 0) + (record.value ? record.value->size() : 0);
  filling_.passed.erase(record.partition);
  positions_[record.partition] = kept_[record.partition] = record.offset + 1;
  if (filling_.bytes >= kBatchBytes && !hand_over()) return false;
  return intake_.clock().steady_ms() < session_ends_ms_;
}

void KafkaSource::pass(std::int32_t partition, std::int64_t position) { filling_.passed[partition] = positions_[partition] = kept_[partition] = position; }

// Waits until io has taken the batch before. False: the source stops, and what is left is read again by the next process.
bool KafkaSource::hand_over() {
  std::unique_lock lock(mutex_);
  if (filling_.empty()) return !stopping_;
  changed_.wait(lock, [this] { return given_ == nullptr || stopping_; });
  if (stopping_) return false;
  given_ = std::make_unique<Batch>(std::exchange(filling_, {}));
  lock.unlock();
  boost::asio::post(io_, [this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) drain();
  });
  return true;
}

std::string describe_guarantee(const config::KafkaSource& config) {
  std::string text = "exactly once from topic " + config.topic +
                     " as a read_committed consumer: how far each partition was read is in the epoch of its records, without a consumer group. What the topic's "
                     "retention deletes before it was read is lost, and reported";
  if (config.bootstrap) text += "\n  a table: before it has been read to its end once, other sources wait; after that they begin at once, also without a link";
  return text;
}

}  // namespace rivulet::source
