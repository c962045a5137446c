// Driver's part in "One transaction" (PROTOCOL.md): send, flush, prepare, commit, settle, trim.

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "agent/base/check.h"
#include "agent/base/fault_point.h"
#include "agent/base/log.h"
#include "agent/forward/driver.h"
#include "agent/forward/progress.h"
#include "agent/kafka/rv_header.h"

namespace rivulet::forward {
namespace {

constexpr std::size_t slice_bytes = 64 * 1024;      // read from the store at once
constexpr std::uint64_t record_overhead_bytes = 400;  // librdkafka's own of one queued record with a header (2.0.2)
constexpr const char* lost_changelog =
    "records of the changelog were damaged on the disk, so state could not be restored from it; its results wait. Stop the agent and run `rivulet adopt`, which has the "
    "changelog written anew";
constexpr std::int64_t queue_wait_ms = 1'000;  // a transaction grows while the broker takes it, so long at most

// A gap record that is refused has nothing to take its place: its topic waits.
void hold_gap(Outbox& outbox, const store::StreamInfo& stream, Event& out) {
  const auto [id, first, last] = out.refused.front();
  const auto packs = outbox.read(id, first - 1, 1);
  if (!packs || packs->empty() || !packs->front().gap) return;
  const bool for_time = out.failure.code == kafka::invalid_timestamp || out.failure.code == kafka::invalid_record;
  out.failure.kind = FailureKind::topic;
  out.failure.message = "it refuses the gap record for records " + std::to_string(first) + " .. " + std::to_string(last) + " of stream " + stream.name +
                        ", which is sent with the present time: " + out.failure.message + (for_time ? "; is this device's clock right?" : "");
  out.topic = stream.topic;
  out.refused.clear();
}

}  // namespace

std::string& Driver::prefix(StreamId stream) {
  auto& prefix = prefixes_[stream];
  if (prefix.empty()) prefix = kafka::rv_prefix(options_.agent_id, stream, options_.incarnation);
  return prefix;
}

// Asks for the topic once a producer and after trouble: to find out now what else would fail a transaction, and because the
// first record to an unknown topic waits for a second in older librdkafka.
Failure Driver::ready_topic(const std::string& topic, std::int64_t timeout_ms) {
  if (ready_topics_.contains(topic)) return {};
  const auto answer = uplink_.metadata(topic, timeout_ms);
  if (!answer.failure) ready_topics_[topic] = true;
  const bool no_answer = answer.failure.kind == FailureKind::pending || answer.failure.kind == FailureKind::link;
  if (no_answer)
    if (auto cause = uplink_.last_error()) return cause;  // a login that is refused shows as a link that is not there
  if (answer.failure.kind == FailureKind::pending) return {FailureKind::link, answer.failure.code, answer.failure.message};
  return answer.failure;
}

Event Driver::send(const Action& action) {
  if (sending_) return go_on(action);
  auto streams = outbox_.streams();
  if (!streams) return store_failed(streams.error());
  streams_ = std::move(*streams);
  if (uplink_.take_disturbed()) ready_topics_.clear();
  forget_limits();
  const auto now_ms = clock_.steady_ms();
  auto& holds = protocol_.holds();

  if (options_.protocol.exactly_once) {
    if (auto failure = ready_topic(options_.progress_topic, action.timeout_ms)) {
      if (failure.kind == FailureKind::topic) failure.kind = FailureKind::settings;
      failure.message = "kafka: progress topic " + options_.progress_topic + ": " + failure.message;
      return failed(failure);
    }
  }
  std::vector<const store::StreamInfo*> ready;
  for (const auto& stream : streams_) {
    if (stream.acknowledged >= stream.last || holds.held(stream.topic, now_ms)) continue;
    if (options_.told_to_stop()) return event(Event::Kind::nothing);  // not begun
    auto failure = ready_topic(stream.topic, action.timeout_ms);
    if (stream.topic == options_.progress_topic) failure = {FailureKind::topic, 0, "it is the progress topic, which no stream may use"};
    if (failure.kind == FailureKind::topic) {
      if (holds.hold(stream.topic, failure.message, now_ms)) {
        log::warn("forward: stream {} waits: topic {}: {}; other streams go on", stream.name, stream.topic, failure.message);
      }
      continue;
    }
    if (!failure && options_.told_to_stop()) return event(Event::Kind::nothing);
    if (!failure && store::is_changelog(stream.name)) failure = choose_changelog_partition(stream.topic, action.timeout_ms);
    if (failure) return failed(failure);
    ready.push_back(&stream);
  }
  keep_units_together(ready);
  auto nothing = event(Event::Kind::nothing);
  nothing.until_ms = holds.next_ms(now_ms).value_or(0);
  if (!limits_.empty() && set_aside(ready, nothing)) return nothing;
  if (ready.empty()) return nothing;

  fault_point("forward.begin");
  transaction_.clear();
  ahead_.clear();
  commit_tried_ = settle_tried_ = false;
  if (options_.protocol.exactly_once) {
    if (const auto failure = uplink_.begin()) return failed(failure.kind == FailureKind::pending ? Failure{FailureKind::uncertain, failure.code, failure.message} : failure);
  } else {
    uplink_.start_report();
  }

  sending_ = Sending{};
  sending_->began_ms = now_ms;
  sending_->max_records = action.max_records;
  sending_->lanes = lanes_of(ready);
  return go_on(action);
}

// A slice of each lane in turn, so that one backlog does not hold up the others.
Event Driver::go_on(const Action& action) {
  auto& sending = *sending_;
  sending.max_records = action.max_records;
  sending.until_ms = clock_.steady_ms() + queue_wait_ms;
  const auto trouble_of = [&](std::size_t lane, const Failure& failure) {
    auto out = failed(failure.kind == FailureKind::pending ? Failure{FailureKind::timeout, failure.code, failure.message} : failure);
    if (sending.reported || denied()) {
      out = delivery_failed(uplink_.report());
    } else {
      out.topic = info(sending.failed_row ? sending.failed_row->stream : sending.lanes[lane].stream).topic;
      if (sending.failed_row && failure.kind == FailureKind::record) out.refused = {*sending.failed_row};
      out.failed_records = 1;
    }
    sending_.reset();
    if (out.refused.size() == 1) hold_gap(outbox_, info(out.refused.front().stream), out);
    return not_a_gap(std::move(out));
  };
  for (bool any = true; any && !sending.full;) {
    any = false;
    for (std::size_t i = 0; i < sending.lanes.size() && !sending.full; ++i) {
      const auto which = sending.open.value_or((turn_ + i) % sending.lanes.size());
      const auto before = transaction_.records();
      if (const auto failure = send_lane(sending, which)) return trouble_of(which, failure);
      if (!sending.trouble.empty()) return trouble_of(which, {FailureKind::uncertain, 0, sending.trouble});
      if (std::exchange(sending.blocked, false)) return event(Event::Kind::pending);
      any = any || transaction_.records() > before;
    }
  }
  return finish_sending();
}

Event Driver::finish_sending() {
  ++turn_;
  auto sent = event(Event::Kind::sent);
  sent.records = transaction_.records();
  sent.least_records = sending_->least_records;
  sent.until_ms = protocol_.holds().next_ms(sending_->began_ms).value_or(0);
  for (const auto& lane : sending_->lanes) sent.more = sent.more || (lane.unit ? lane.unit->more() : lane.after < info(lane.stream).last);
  sent.more = sent.more || options_.changelog_apart || std::exchange(left_aside_, false);
  sending_.reset();
  if (options_.protocol.exactly_once) {
    const auto value = encode_progress(options_.incarnation, (witness_ ? witness_->transaction : 0) + 1, transaction_.streams(), changelogs_);
    kafka::Message message;
    message.topic = uplink_.topic(progress_.topic);
    message.partition = progress_.partition;
    message.key = options_.agent_id;
    message.value = value;
    message.timestamp_ms = clock_.wall_ms();
    message.index = transaction_.records();
    if (const auto failure = uplink_.send(message, queue_wait_ms)) {
      if (denied()) return delivery_failed(uplink_.report());
      return failed({failure.kind == FailureKind::topic || failure.kind == FailureKind::record ? FailureKind::settings : FailureKind::uncertain,
                     failure.code, "kafka: progress record: " + failure.message});
    }
  }
  fault_point("forward.produced");
  return sent;
}

// The transaction has ended in the cluster for a topic's sake: whatever is sent next is refused, without saying for which.
bool Driver::denied() const { return uplink_.report().failure.kind == FailureKind::topic; }

const store::StreamInfo& Driver::info(StreamId stream) const {
  const auto found = std::find_if(streams_.begin(), streams_.end(), [&](const auto& s) { return s.id == stream; });
  RV_CHECK(found != streams_.end(), "a stream that is sent is in the outbox");
  return *found;
}

// One slice of one stream, at most up to `until`.
Failure Driver::send_stream(Sending& sending, const store::StreamInfo& stream, Sequence& after, Sequence until) {
  auto packs = outbox_.read(stream.id, after, slice_bytes);
  if (!packs) {
    sending.trouble = packs.error().message;
    return {};
  }
  kafka::Message message;
  message.topic = uplink_.topic(stream.topic);
  const bool changelog = store::is_changelog(stream.name);
  const auto now_ms = clock_.wall_ms();
  auto& furthest = ahead_.try_emplace(stream.topic, std::numeric_limits<std::int64_t>::min()).first->second;
  const auto* limits = sending.may_stop ? limits_of(stream.topic) : nullptr;
  if (changelog) message.partition = changelogs_.at(stream.topic);
  const auto& header = prefix(stream.id);
  for (auto& pack : *packs) {
    if (pack.last <= after) continue;
    if (after >= until) return {};
    if (pack.first > after + 1) {
      sending.trouble = "forward: stream " + stream.name + " has no record " + std::to_string(after + 1) + " in the store";
      return {};
    }
    const auto last = std::min(pack.last, until);
    if (pack.gap) {
      if (changelog) return {FailureKind::topic, 0, lost_changelog};
      sending.rv.clear();
      sending.rv_gap.clear();
      kafka::encode_rv(sending.rv, header, last);
      kafka::encode_rv_gap(sending.rv_gap, {after + 1, last, pack.gap_reason});
      message.key = kafka::gap_key;
      message.window.reset();
      message.value = std::string_view("");
      message.timestamp_ms = clock_.wall_ms();
      message.rv = sending.rv;
      message.rv_gap = sending.rv_gap;
      if (const auto failure = send_record(sending, message, {stream.id, after + 1, last})) return failure;
      if (sending.full || sending.blocked) return {};
      transaction_.add_gap(stream.id, after + 1, last);
      after = last;
      furthest = std::max<std::int64_t>(furthest, 0);  // its time is this clock's
      continue;
    }
    message.rv_gap = {};
    for (auto sequence = after + 1; sequence <= last; ++sequence) {
      const auto& record = pack.records[static_cast<std::size_t>(sequence - pack.first)];
      const auto timestamp_ms = changelog ? now_ms : record.timestamp_ms;  // state has no time: however long it waited, or the clock was wrong, it is not refused
      const auto ahead = ahead_ms(timestamp_ms, now_ms);
      if (limits != nullptr && limits->refuse(ahead)) {
        sending.stopped = true;
        return {};
      }
      message.key = record.key;
      message.value = record.value;
      message.timestamp_ms = std::max<std::int64_t>(timestamp_ms, 1);  // 0 would be the present (kafka::Message)
      message.window = options_.headers ? record.window : std::nullopt;
      message.rv = {};
      if (options_.headers) {
        sending.rv.clear();
        kafka::encode_rv(sending.rv, header, sequence);
        message.rv = sending.rv;
      }
      if (const auto failure = send_record(sending, message, {stream.id, sequence, sequence})) return failure;
      if (sending.full || sending.blocked) return {};
      transaction_.add(stream.id, sequence);
      after = sequence;
      furthest = std::max(furthest, ahead);
    }
  }
  return {};
}

// Sets `full` instead of sending when the transaction has no room for it; the first record always has, and a unit's epoch to its end. A transaction may be
// larger than the producer's queue: it then goes on as fast as the broker takes it, until sending.until_ms.
Failure Driver::send_record(Sending& sending, kafka::Message& message, const Rows& row) {
  const auto size = record_overhead_bytes + message.rv.size() + message.rv_gap.size() + (message.key ? message.key->size() : 0) +
                    (message.value ? message.value->size() : 0);
  const auto records = transaction_.records();
  if (sending.open) {
    if (const auto failure = flush_part(sending); failure || sending.blocked) return failure;
  } else if (records > 0 && (records >= sending.max_records || sending.bytes + size > options_.transaction_max_bytes)) {
    sending.full = true;
    return {};
  }
  message.index = records;
  auto failure = uplink_.send(message, 0);
  if (failure.kind == FailureKind::pending)  // only now the clock is asked, which costs as much as a small record
    failure = uplink_.send(message, records == 0 ? queue_wait_ms : std::max<std::int64_t>(sending.until_ms - clock_.steady_ms(), 0));
  if (failure.kind == FailureKind::pending && records > 0) {
    (sending.open ? sending.blocked : sending.full) = true;
    return {};
  }
  if (failure) sending.failed_row = row;
  sending.bytes += size;
  return failure;
}

Event Driver::flush(std::int64_t timeout_ms) {
  if (const auto failure = uplink_.flush(timeout_ms)) return failed(failure);
  const auto report = uplink_.report();
  if (report.failure) return delivery_failed(report);
  const std::uint32_t extra = options_.protocol.exactly_once ? 1 : 0;
  if (report.without_offset || !transaction_.complete(report, extra)) {
    return failed({FailureKind::uncertain, 0, "kafka: not every record has a delivery report with an offset"});
  }
  fault_point("forward.flushed");
  return event(Event::Kind::done);
}

Event Driver::delivery_failed(const kafka::DeliveryReport& report) {
  auto failure = report.failure;
  if (failure.kind == FailureKind::pending) failure.kind = FailureKind::timeout;
  const bool progress_failed = report.failed_topic == progress_.topic || report.denied_topics.contains(progress_.topic);
  if (progress_failed && (failure.kind == FailureKind::topic || failure.kind == FailureKind::record)) {
    failure.kind = FailureKind::settings;
    failure.message = "kafka: progress topic " + progress_.topic + ": " + failure.message;
  }
  auto out = failed(failure);
  out.topic = report.failed_topic;
  if (failure.kind == FailureKind::topic) out.more_topics = report.denied_topics;
  out.failed_records = report.failed_records;
  if (failure.kind == FailureKind::record) {
    if (options_.protocol.exactly_once && report.failed_records > transaction_.records()) {
      out.failure = {FailureKind::settings, failure.code, "kafka: progress topic " + progress_.topic + " and the others refuse even this agent's own record: " + failure.message + "; is this device's clock right?"};
      return out;
    }
    if (failure.code == kafka::invalid_timestamp || failure.code == kafka::invalid_record) find_refused(report.failed_topic, out);
    if (out.refused.empty() && report.failed_records <= 1) out.refused = {transaction_.row(report.failed_index)};
    if (out.refused.size() == 1) hold_gap(outbox_, info(out.refused.front().stream), out);
  }
  out = not_a_gap(std::move(out));
  if (out.failure.kind == FailureKind::topic) {
    out.more_topics.insert(out.topic);
    log::warn("forward: topic {} refuses records: {}; its streams wait, others go on", fmt::join(out.more_topics, ", "), out.failure.message);
  }
  return out;
}

Event Driver::prepare() {
  auto prepared = transaction_.prepared(uplink_.report(), transaction_.records());
  if (!prepared) return failed({FailureKind::uncertain, 0, "kafka: the delivery reports do not account for every record"});
  prepared->transaction = (witness_ ? witness_->transaction : 0) + 1;
  prepared->cluster_id = cluster_id_;
  store::ForwardChange change;
  change.facts.emplace_back(prepared_fact, encode(*prepared));
  if (options_.trim_before_commit) change.acknowledged = ends_of(prepared->streams);
  if (changelogs_chosen_) change.facts.emplace_back(changelogs_fact, encode(changelogs_));
  fault_point("forward.before_prepared");
  outbox_.protect(ends_of(prepared->streams));
  if (const auto done = outbox_.change(std::move(change)); !done) return store_failed(done.error());
  prepared_ = std::move(*prepared);
  changelogs_chosen_ = false;
  fault_point("forward.after_prepared");
  return event(Event::Kind::done);
}

Event Driver::commit(std::int64_t timeout_ms) {
  if (!std::exchange(commit_tried_, true)) fault_point("forward.before_commit");
  const auto commit = uplink_.commit(timeout_ms);
  if (commit.failure) return failed(commit.failure);
  fault_point("forward.after_commit");
  auto out = event(Event::Kind::committed);
  out.end_txn_requests = commit.end_txn_requests;
  out.timed_out_requests = commit.timed_out_requests;
  return out;
}

// Acknowledged is not enough: every partition must show its marker.
Event Driver::settle(std::int64_t timeout_ms) {
  if (!std::exchange(settle_tried_, true)) fault_point("forward.before_settle");
  if (options_.no_settle) return event(Event::Kind::done);
  std::vector<kafka::TopicPartition> where{prepared_->progress};
  for (const auto& partition : prepared_->partitions) where.push_back(partition.where);
  const auto stable = uplink_.stable_offsets(where, timeout_ms);
  if (stable.failure) return failed(stable.failure);
  auto unsettled = event(Event::Kind::unsettled);
  for (std::size_t i = 0; i < where.size(); ++i) {
    const auto first = i == 0 ? prepared_->progress_offset : prepared_->partitions[i - 1].first_offset;
    const auto last = i == 0 ? prepared_->progress_offset : prepared_->partitions[i - 1].last_offset;
    if (stable.offsets[i] > last) continue;
    unsettled.at_ours = unsettled.at_ours || stable.offsets[i] == first;
    unsettled.text = "waiting for topic " + where[i].topic + ", partition " + std::to_string(where[i].partition) + ", which is stable up to offset " +
                     std::to_string(stable.offsets[i]) + ", to pass " + std::to_string(last);
  }
  if (!unsettled.text.empty()) return unsettled;
  fault_point("forward.settled");
  return event(Event::Kind::done);
}

// Needs no sync of its own: lost, it is done again by resolve.
Event Driver::trim() {
  store::ForwardChange change;
  change.durable = false;
  const auto streams = transaction_.streams();
  change.acknowledged = ends_of(streams);
  std::optional<Witness> witness;
  if (prepared_) {
    witness = Witness{cluster_id_, prepared_->progress, prepared_->progress_offset, prepared_->transaction};
    change.facts.emplace_back(witness_fact, encode(*witness));
    change.facts.emplace_back(prepared_fact, std::nullopt);
  }
  if (const auto done = outbox_.change(std::move(change)); !done) return store_failed(done.error());
  fault_point("forward.after_trim");
  if (witness) witness_ = witness;
  prepared_.reset();
  forwarded_records_ += transaction_.records();
  note_settled();
  last_settled_ms_ = clock_.wall_ms();
  for (const auto& rows : streams) {
    const auto found = std::find_if(streams_.begin(), streams_.end(), [&](const auto& s) { return s.id == rows.stream; });
    if (found != streams_.end() && protocol_.holds().release(found->topic)) log::info("forward: topic {} takes records again", found->topic);
  }
  transaction_.clear();
  return event(Event::Kind::done);
}

}  // namespace rivulet::forward
