// Driver's part in units (units.h): what must travel together is held, sent and ended together.

#include <algorithm>
#include <utility>

#include "agent/base/log.h"
#include "agent/forward/driver.h"
#include "agent/forward/progress.h"

namespace rivulet::forward {
namespace {

constexpr std::uint64_t record_overhead_bytes = 400;  // as in driver_send.cpp
constexpr const char* lost_header =
    "its changelog does not fit to what the outbox has: ";

}  // namespace

// Of a unit everything that has records may go, or nothing of it.
void Driver::keep_units_together(std::vector<const store::StreamInfo*>& ready) const {
  if (options_.changelog_apart) {  // the negative control: each by itself
    if (!ready.empty()) ready = {ready[turn_ % ready.size()]};
    return;
  }
  for (const auto& unit : options_.units) {
    const auto is_ready = [&](StreamId id) { return std::any_of(ready.begin(), ready.end(), [&](const auto* one) { return one->id == id; }); };
    const bool held = std::any_of(streams_.begin(), streams_.end(), [&](const auto& s) { return unit.has(s.id) && s.acknowledged < s.last && !is_ready(s.id); });
    if (held) std::erase_if(ready, [&](const auto* one) { return unit.has(one->id); });
  }
}

std::vector<Driver::Sending::Lane> Driver::lanes_of(const std::vector<const store::StreamInfo*>& ready) const {
  std::vector<Sending::Lane> lanes;
  for (const auto* stream : ready) {
    const auto unit = std::find_if(options_.units.begin(), options_.units.end(), [&](const auto& one) { return one.has(stream->id); });
    if (unit == options_.units.end() || options_.changelog_apart) {
      lanes.push_back({stream->id, stream->acknowledged, std::nullopt});
      continue;
    }
    if (std::any_of(lanes.begin(), lanes.end(), [&](const auto& lane) { return lane.unit && lane.stream == unit->changelog; })) continue;
    lanes.push_back({unit->changelog, 0, UnitTurn(*unit, streams_)});
  }
  return lanes;
}

Failure Driver::send_lane(Sending& sending, std::size_t which) {
  auto& lane = sending.lanes[which];
  if (lane.unit) return send_unit(sending, which);
  const auto& stream = info(lane.stream);
  if (lane.stopped || lane.after >= stream.last) return {};
  sending.may_stop = true;
  const auto failure = send_stream(sending, stream, lane.after, stream.last);
  sending.may_stop = false;
  lane.stopped = std::exchange(sending.stopped, false);
  return failure;
}

// A slice of what goes by itself, or one epoch. An epoch that was begun goes to its end: the queue may only hold it up.
Failure Driver::send_unit(Sending& sending, std::size_t which) {
  auto& turn = *sending.lanes[which].unit;
  if (turn.wants_header()) {
    if (const auto failure = next_epoch(turn)) return failure;
  }
  if (const auto alone = turn.alone()) {
    auto after = alone->after;
    const auto failure = send_stream(sending, info(alone->stream), after, alone->last);
    turn.sent(alone->stream, after);
    return failure;
  }
  auto ranges = turn.epoch();
  if (ranges.empty()) return {};
  if (!sending.open) {
    const auto records = transaction_.records(), of_epoch = static_cast<std::uint32_t>(std::min<std::uint64_t>(turn.epoch_records(), UINT32_MAX));
    const auto bytes = sending.bytes + turn.epoch_bytes() + record_overhead_bytes * of_epoch;
    if (records > 0 && (records >= sending.max_records || of_epoch > sending.max_records - records || bytes > options_.transaction_max_bytes)) {
      sending.full = true;
      return {};
    }
    if (records == 0) sending.least_records = of_epoch;
    sending.open = which;
  }
  for (auto& range : ranges) {
    while (range.after < range.last) {
      const auto before = range.after;
      const auto failure = send_stream(sending, info(range.stream), range.after, range.last);
      turn.sent(range.stream, range.after);
      if (failure || sending.blocked || !sending.trouble.empty()) return failure;
      if (range.after == before) {
        sending.trouble = "forward: stream " + info(range.stream).name + " has no record " + std::to_string(before + 1) + " in the store";
        return {};
      }
    }
  }
  sending.open.reset();
  return {};
}

Failure Driver::next_epoch(UnitTurn& turn) {
  const auto packs = outbox_.read(turn.changelog(), turn.changelog_after(), 1);
  if (!packs) return {FailureKind::uncertain, 0, packs.error().message};
  if (packs->empty() || packs->front().gap || packs->front().records.empty()) return {FailureKind::topic, 0, std::string(lost_header) + "an epoch's header is lost"};
  if (const auto taken = turn.take_header(packs->front().records.front()); !taken) return {FailureKind::topic, 0, lost_header + taken.error().message};
  return {};
}

// An epoch has more records than may be refused at once: they go in parts, so that the one that is refused can be found.
Failure Driver::flush_part(Sending& sending) {
  if (transaction_.records() - sending.flushed_records < sending.max_records) return {};
  const auto failure = uplink_.flush(std::max<std::int64_t>(sending.until_ms - clock_.steady_ms(), 0));
  if (failure.kind == FailureKind::pending) {
    sending.blocked = true;
    return {};
  }
  if (failure) return failure;
  sending.flushed_records = transaction_.records();
  const auto report = uplink_.report();
  sending.reported = static_cast<bool>(report.failure);
  return report.failure;
}

Failure Driver::choose_changelog_partition(const std::string& topic, std::int64_t timeout_ms) {
  if (changelogs_.contains(topic)) return {};
  const auto answer = uplink_.metadata(topic, timeout_ms);
  if (answer.failure) return answer.failure;
  if (const auto policy = uplink_.cleanup_policy(topic, 2'000); policy == Uplink::Cleanup::deletes || policy == Uplink::Cleanup::both)
    log::warn("kafka: changelog {} deletes old records; set its cleanup.policy to compact, or state that does not change will be missing after a restore", topic);
  changelogs_[topic] = choose_partition(options_.agent_id, answer.metadata.partitions);
  changelogs_chosen_ = true;
  return {};
}

Event Driver::not_a_gap(Event refused) const {
  const auto of_changelog = [&](const Rows& rows) { return store::is_changelog(info(rows.stream).name); };
  const auto found = std::find_if(refused.refused.begin(), refused.refused.end(), of_changelog);
  if (found == refused.refused.end()) return refused;
  const auto code = refused.failure.code;
  const char* what_to_do = code == kafka::invalid_timestamp ? "; its time is that of sending: put right the device's clock or raise the topic's message.timestamp.before.max.ms and message.timestamp.after.max.ms"
                           : code == kafka::invalid_record  ? ""
                                                            : "; raise the topic's max.message.bytes (and message.max.bytes under kafka.librdkafka)";
  refused.failure.kind = FailureKind::topic;
  refused.failure.message = "it refuses record " + std::to_string(found->first) + " of the changelog, which cannot be left out: " + refused.failure.message + what_to_do;
  refused.topic = info(found->stream).topic;
  refused.refused.clear();
  return refused;
}

}  // namespace rivulet::forward
