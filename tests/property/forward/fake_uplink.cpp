#include "tests/property/forward/fake_uplink.h"

#include <algorithm>

namespace rivulet::sim {

using forward::Failure;
using forward::FailureKind;

Failure FakeUplink::step() {
  if (dice_.hit(faults_.crash)) throw Crash{};
  cluster_.elapse(dice_.hit(faults_.pause) ? dice_.between(1'000, 90'000) : dice_.between(0, 5));
  if (dice_.hit(faults_.cut)) cluster_.link_up = false;
  if (cluster_.link_up) return {};
  disturbed_ = true;
  if (dice_.hit(300)) cluster_.link_up = true;
  return {FailureKind::pending, 0, "the link is down"};
}

Failure FakeUplink::reachable(std::int64_t) { return step(); }

forward::TimeLimits FakeUplink::time_limits(const std::string& topic, std::int64_t) {
  ++cluster_.asked_for_limits;
  const auto found = cluster_.latest_ms.find(topic);
  forward::TimeLimits limits;
  if (cluster_.says_limits && found != cluster_.latest_ms.end()) limits.after_ms = found->second;
  return limits;
}

Failure FakeUplink::open(bool) {
  close();
  return {};
}

void FakeUplink::close() {
  session_ = {};
  waiting_.clear();
  report_ = {};
  names_.clear();
}

Failure FakeUplink::init(std::int64_t) {
  if (auto failure = step()) return failure;
  return cluster_.init(session_);
}

kafka::TopicAnswer FakeUplink::metadata(const std::string& topic, std::int64_t) {
  if (auto failure = step()) return {failure, {}};
  const auto found = cluster_.topics().find(topic);
  if (found == cluster_.topics().end()) return {{FailureKind::topic, 3, "unknown topic"}, {}};
  return {{}, {static_cast<std::int32_t>(found->second.size()), 1}};
}

Failure FakeUplink::begin() {
  if (dice_.hit(faults_.crash)) throw Crash{};
  waiting_.clear();
  report_ = {};
  begun_ = {};
  return {};
}

int FakeUplink::topic(const std::string& name) {
  const auto found = std::find(names_.begin(), names_.end(), name);
  if (found != names_.end()) return static_cast<int>(found - names_.begin());
  names_.push_back(name);
  return static_cast<int>(names_.size()) - 1;
}

Failure FakeUplink::send(const kafka::Message& message, std::int64_t) {
  if (dice_.hit(faults_.crash / 4)) throw Crash{};
  Waiting waiting;
  waiting.where.topic = names_.at(static_cast<std::size_t>(message.topic));
  const auto found = cluster_.topics().find(waiting.where.topic);
  const auto partitions = found == cluster_.topics().end() ? 1 : found->second.size();
  waiting.where.partition = message.partition >= 0 ? message.partition : static_cast<std::int32_t>(std::hash<std::string_view>{}(message.key.value_or("")) % partitions);
  waiting.entry.has_key = message.key.has_value();
  waiting.entry.key = message.key.value_or("");
  waiting.entry.has_value = message.value.has_value();
  waiting.entry.value = message.value.value_or("");
  waiting.entry.rv = message.rv;
  waiting.entry.rv_gap = message.rv_gap;
  waiting.index = message.index;
  waiting.timestamp_ms = message.timestamp_ms;
  waiting_.push_back(std::move(waiting));
  return {};
}

Failure FakeUplink::flush(std::int64_t) {
  if (auto failure = step()) return failure;
  std::map<kafka::TopicPartition, kafka::Delivered> delivered;
  const bool lost = dice_.hit(faults_.lost_report);
  std::set<kafka::TopicPartition> refused;  // a batch for each partition: one record's time refuses all of it
  for (const auto& waiting : waiting_)
    if (!cluster_.takes_time(waiting.where.topic, waiting.timestamp_ms)) refused.insert(waiting.where);
  // Partitions are independent: any interleaving that keeps the order within each.
  for (auto& waiting : waiting_) {
    if (dice_.hit(faults_.crash / 4)) throw Crash{};
    if (faults_.late_end_txn > 0 && dice_.hit(100)) cluster_.elapse(dice_.between(0, 200));  // what is late may arrive half-way
    std::int64_t offset = -1;
    auto failure = refused.contains(waiting.where) ? Failure{FailureKind::record, kafka::invalid_timestamp, "invalid timestamp"}
                                                   : cluster_.append(session_, waiting.where, waiting.entry, offset);
    if (!failure && lost && dice_.hit(300)) failure = {FailureKind::timeout, -192, "message timed out"};
    if (failure) {
      if (failure.kind == report_.failure.kind && failure.code == report_.failure.code) {
        ++report_.failed_records;
      } else if (kafka::rank_of(failure.kind) > kafka::rank_of(report_.failure.kind)) {
        report_.failure = failure;
        report_.failed_topic = waiting.where.topic;
        report_.failed_index = waiting.index;
        report_.failed_records = 1;
      }
      continue;
    }
    auto& to = delivered[waiting.where];
    to.where = waiting.where;
    if (to.first_offset < 0) to.first_offset = offset;
    to.last_offset = offset;
    to.last_index = waiting.index;
    if (!to.rows.empty() && to.rows.back().last + 1 == waiting.index) to.rows.back().last = waiting.index;
    else to.rows.push_back({waiting.index, waiting.index});
  }
  waiting_.clear();
  for (auto& [where, partition] : delivered) report_.partitions.push_back(std::move(partition));
  return {};
}

forward::Uplink::Commit FakeUplink::commit(std::int64_t) {
  if (dice_.hit(faults_.crash)) {
    if (dice_.hit(500)) (void)cluster_.end_txn(session_, true, Cluster::Arrives::late);  // on its way when the process died
    throw Crash{};
  }
  if (auto failure = step()) return {failure, begun_.end_txn_requests, 0};
  ++begun_.end_txn_requests;
  if (dice_.hit(faults_.late_end_txn)) {
    (void)cluster_.end_txn(session_, true, Cluster::Arrives::late);
    return {{FailureKind::pending, -185, "timed out"}, begun_.end_txn_requests, 0};
  }
  const auto failure = cluster_.end_txn(session_, true, Cluster::Arrives::now);
  if (dice_.hit(faults_.crash)) throw Crash{};
  if (!failure && dice_.hit(faults_.lost_end_txn_reply)) return {{FailureKind::pending, -185, "timed out"}, begun_.end_txn_requests, 0};
  return {failure, begun_.end_txn_requests, 0};
}

kafka::Offsets FakeUplink::stable_offsets(const std::vector<kafka::TopicPartition>& where, std::int64_t) {
  if (auto failure = step()) return {failure, {}};
  if (dice_.hit(faults_.no_leader)) return {{FailureKind::link, 5, "no leader"}, {}};
  kafka::Offsets answer;
  for (const auto& partition : where) answer.offsets.push_back(cluster_.stable(partition));
  return answer;
}

kafka::Offsets FakeUplink::high_watermarks(const std::vector<kafka::TopicPartition>& where, std::int64_t) {
  if (auto failure = step()) return {failure, {}};
  kafka::Offsets answer;
  for (const auto& partition : where) answer.offsets.push_back(cluster_.end(partition));
  return answer;
}

kafka::Reader::Watermarks FakeUplink::committed_range(const kafka::TopicPartition& where, std::int64_t, const std::function<bool()>& give_up) {
  if (auto failure = step()) return {failure, 0, 0};
  if (give_up()) return {{forward::FailureKind::pending, 0, "told to stop"}, 0, 0};
  return {{}, 0, cluster_.stable(where)};
}

kafka::Reader::Progress FakeUplink::read(const kafka::ReadRange& range, std::int64_t, const std::function<bool()>&, const std::function<bool(const kafka::Fetched&)>& take) {
  if (auto failure = step()) return {failure, {range.from}};
  const auto visible = cluster_.committed(range.where.topic, range.where.partition);
  std::map<std::string, std::int64_t> latest;
  if (cluster_.compacted.contains(range.where.topic))
    for (const auto& [offset, entry] : visible) latest[entry.key] = offset;
  for (const auto& [offset, entry] : visible) {
    if (offset < range.from || offset >= range.until) continue;
    if (!latest.empty() && latest[entry.key] != offset && dice_.hit(600)) continue;
    kafka::Fetched fetched;
    fetched.topic = range.where.topic;
    fetched.partition = range.where.partition;
    fetched.offset = offset;
    if (entry.has_key) fetched.key = entry.key;
    if (entry.has_value) fetched.value = entry.value;
    if (!entry.rv.empty()) fetched.rv = entry.rv;
    if (!entry.rv_gap.empty()) fetched.rv_gap = entry.rv_gap;
    if (!take(fetched)) break;
  }
  return {{}, {range.until}};
}

}  // namespace rivulet::sim
