// Driver's part in "Recover" (PROTOCOL.md): drain, gather the evidence, apply the verdict.

#include <set>

#include "agent/base/fault_point.h"
#include "agent/base/log.h"
#include "agent/forward/driver.h"
#include "agent/forward/progress.h"
#include "agent/kafka/rv_header.h"

namespace rivulet::forward {
namespace {

std::string named(const kafka::TopicPartition& where) {
  return "topic " + where.topic + ", partition " + std::to_string(where.partition);
}

// Our witness in this topic from before another was the progress topic.
result<std::optional<Witness>> former_witness(Outbox& outbox, const std::string& topic) {
  const auto bytes = outbox.fact(former_witness_fact(topic));
  if (!bytes) return bytes.error();
  if (!*bytes) return std::optional<Witness>{};
  auto decoded = decode_witness(**bytes);
  if (!decoded) return decoded.error();
  return std::optional<Witness>(std::move(*decoded));
}

}  // namespace

// Every partition that data under way may have gone to, and the progress partition.
Event Driver::drain_targets(std::int64_t timeout_ms) {
  auto streams = outbox_.streams();
  if (!streams) return failed({FailureKind::retry, 0, streams.error().message});
  if (const auto failure = find_progress(timeout_ms)) return failed(failure);
  std::set<kafka::TopicPartition> targets{progress_};
  std::set<std::string> topics;
  if (prepared_) {
    targets.insert(prepared_->progress);
    for (const auto& p : prepared_->partitions) topics.insert(p.where.topic);
  }
  for (const auto& stream : *streams) {
    if (stream.acknowledged < stream.last) topics.insert(stream.topic);
  }
  for (const auto& topic : topics) {
    if (options_.told_to_stop()) return event(Event::Kind::pending);
    const auto answer = uplink_.metadata(topic, timeout_ms);
    if (answer.failure.kind == FailureKind::topic) continue;  // nothing can have gone to a topic that is not there for us
    if (answer.failure) return failed(answer.failure);
    for (std::int32_t p = 0; p < answer.metadata.partitions; ++p) targets.insert({topic, p});
  }
  if (options_.told_to_stop()) return event(Event::Kind::pending);
  std::vector<kafka::TopicPartition> list(targets.begin(), targets.end());
  auto ends = uplink_.high_watermarks(list, timeout_ms);
  if (ends.failure) return failed(ends.failure);
  drain_partitions_ = std::move(list);
  drain_ends_ = std::move(ends.offsets);
  return event(Event::Kind::done);
}

Event Driver::drain(std::int64_t timeout_ms) {
  if (options_.no_drain) return event(Event::Kind::done);
  if (drain_partitions_.empty()) {
    if (auto targets = drain_targets(timeout_ms); targets.kind != Event::Kind::done) return targets;
  }
  if (options_.told_to_stop()) return event(Event::Kind::pending);
  const auto stable = uplink_.stable_offsets(drain_partitions_, timeout_ms);
  if (stable.failure) return failed(stable.failure);
  for (std::size_t i = 0; i < drain_ends_.size(); ++i) {
    if (stable.offsets[i] >= drain_ends_[i]) continue;
    auto waiting = event(Event::Kind::undrained);
    waiting.text = named(drain_partitions_[i]) + " is stable up to offset " + std::to_string(stable.offsets[i]) + " of " +
                   std::to_string(drain_ends_[i]);
    return waiting;
  }
  fault_point("forward.drained");
  return event(Event::Kind::done);
}

// Where our progress records are: as stored, else chosen now.
Failure Driver::find_progress(std::int64_t timeout_ms) {
  if (prepared_) {
    progress_ = prepared_->progress;
  } else if (witness_ && witness_->progress.topic == options_.progress_topic) {
    progress_ = witness_->progress;
  } else {
    const auto answer = uplink_.metadata(options_.progress_topic, timeout_ms);
    if (answer.failure.kind == FailureKind::topic) {
      return {FailureKind::settings, answer.failure.code,
              "kafka: progress topic " + options_.progress_topic + ": " + answer.failure.message +
                  "; make it with `rivulet topics --create`, or grant read, write and describe"};
    }
    if (answer.failure) return answer.failure;
    progress_ = {options_.progress_topic, choose_partition(options_.agent_id, answer.metadata.partitions)};
    const auto former = former_witness(outbox_, options_.progress_topic);
    if (!former) return {FailureKind::retry, 0, former.error().message};
    if (*former && (*former)->progress.partition < answer.metadata.partitions) progress_ = (*former)->progress;
  }
  return {};
}

void Driver::check_progress_policy() {
  if (std::exchange(policy_checked_, true)) return;
  const auto policy = uplink_.cleanup_policy(progress_.topic, 2'000);
  if (policy == Uplink::Cleanup::deletes || policy == Uplink::Cleanup::both) {
    log::warn("kafka: progress topic {} deletes old records; set its cleanup.policy to compact, or forwarding will stop one day "
                 "for want of this agent's record", progress_.topic);
  }
}

Event Driver::gather(std::int64_t timeout_ms) {
  if (const auto failure = find_progress(timeout_ms)) return failed(failure);
  auto out = event(Event::Kind::resolved);
  if (options_.no_resolve) {
    out.verdict.kind = prepared_ ? Verdict::Kind::aborted : Verdict::Kind::nothing;
    return out;
  }
  if (options_.told_to_stop()) return event(Event::Kind::pending);
  check_progress_policy();
  if (options_.told_to_stop()) return event(Event::Kind::pending);
  cluster_id_ = uplink_.cluster_id(timeout_ms);
  Evidence evidence;
  evidence.incarnation = options_.incarnation;
  evidence.history = options_.history;
  evidence.prepared = prepared_;
  if (witness_ && witness_->progress == progress_) {
    evidence.witness = witness_;
  } else {
    const auto former = former_witness(outbox_, progress_.topic);
    if (!former) return failed({FailureKind::retry, 0, former.error().message});
    if (*former && (*former)->progress == progress_) evidence.witness = *former;
  }
  evidence.adopt = adopt_;
  evidence.cluster_id = cluster_id_;
  evidence.progress = progress_;
  if (options_.told_to_stop()) return event(Event::Kind::pending);
  if (const auto failure = read_progress(evidence, timeout_ms)) return failed(failure);
  if (prepared_ && !adopt_) {
    for (const auto& partition : prepared_->partitions) {
      if (options_.told_to_stop()) return event(Event::Kind::pending);
      auto outcome = Evidence::Outcome::undecided;
      if (const auto failure = look_at(partition, outcome, timeout_ms)) return failed(failure);
      evidence.partitions.push_back(outcome);
    }
  }
  out = event(Event::Kind::resolved);
  out.verdict = resolve(evidence);
  const bool former_counts = out.verdict.kind == Verdict::Kind::nothing && !out.verdict.witness && evidence.witness != witness_;
  if (former_counts) out.verdict.witness = evidence.witness;
  return out;
}

Failure Driver::read_progress(Evidence& evidence, std::int64_t timeout_ms) {
  const auto marks = uplink_.committed_range(progress_, timeout_ms, options_.told_to_stop);
  if (marks.failure.kind == FailureKind::topic) {
    return {FailureKind::settings, marks.failure.code,
            "kafka: progress topic " + progress_.topic + ": " + marks.failure.message + "; this agent has to read it"};
  }
  if (marks.failure) return marks.failure;
  evidence.start = marks.start;
  evidence.stable = marks.end;
  // Made anew while another was the progress topic: a first look, for nothing of ours can be under way there.
  if (evidence.witness != witness_ && !prepared_ && replaced(evidence)) evidence.witness.reset();
  const auto from = std::max(marks.start, evidence.witness ? evidence.witness->offset + 1 : marks.start);
  if (from >= marks.end) return {};
  const auto progress = uplink_.read({progress_, from, marks.end}, 5'000, options_.told_to_stop, [&](const kafka::Fetched& record) {
    if (record.key != std::optional<std::string_view>(options_.agent_id) || !record.value) return true;
    const auto seen = decode_progress(*record.value);
    // A predecessor may have left thousands; the record at X must be among those that are kept.
    const bool is_x = evidence.prepared && record.offset == evidence.prepared->progress_offset;
    if (seen && (is_x || evidence.seen.size() < max_seen)) evidence.seen.push_back({record.offset, seen->incarnation, seen->transaction});
    return true;
  });
  return progress.failure;
}

// Is the last record of this transaction in this partition committed?
Failure Driver::look_at(const PreparedPartition& partition, Evidence::Outcome& outcome, std::int64_t timeout_ms) {
  const auto unknown = [&](const std::string& why) {
    log::warn("kafka: {}: {}; the progress record alone decides about the transaction under way", named(partition.where), why);
    outcome = Evidence::Outcome::unknown;
    return Failure{};
  };
  const auto marks = uplink_.committed_range(partition.where, timeout_ms, options_.told_to_stop);
  if (marks.failure.kind == FailureKind::topic) return unknown(marks.failure.message);
  if (marks.failure) return marks.failure;
  if (marks.start > partition.last_offset) return unknown("the records were deleted since");
  if (marks.end <= partition.last_offset) {  // drained: it will not grow to there by itself
    outcome = Evidence::Outcome::other;
    return {};
  }
  bool found = false, ours = true;
  const auto progress = uplink_.read({partition.where, partition.last_offset, partition.last_offset + 1}, 5'000, options_.told_to_stop, [&](const kafka::Fetched& record) {
    found = true;
    // Without a header there is nothing to compare, whatever the setting is today: it may have been another when the record was sent.
    if (const auto rv = record.rv ? kafka::decode_rv(*record.rv) : std::nullopt)
      ours = rv->agent == options_.agent_id && rv->incarnation == options_.incarnation && rv->stream == partition.last_stream &&
             rv->sequence == partition.last_sequence;
    return false;
  });
  if (progress.failure.kind == FailureKind::topic || progress.failure.kind == FailureKind::uncertain) return unknown(progress.failure.message);
  if (progress.failure) return progress.failure;
  if (found) {
    outcome = ours ? Evidence::Outcome::there : Evidence::Outcome::other;
    return {};
  }
  if (options_.told_to_stop()) return {FailureKind::pending, 0, "told to stop"};
  const auto policy = uplink_.cleanup_policy(partition.where.topic, timeout_ms);
  if (policy == Uplink::Cleanup::compacts || policy == Uplink::Cleanup::both) return unknown("the topic is compacted");
  // Unknown policy (not permitted to ask): data topics delete by default.
  outcome = Evidence::Outcome::absent;
  return {};
}

Event Driver::apply() {
  const auto& verdict = protocol_.verdict();
  store::ForwardChange change;
  if (prepared_) change.facts.emplace_back(prepared_fact, std::nullopt);
  if (verdict.adopted) change.facts.emplace_back(adopt_fact, std::nullopt);
  if (verdict.witness) change.facts.emplace_back(witness_fact, encode(*verdict.witness));
  if (verdict.witness && witness_ && verdict.witness->progress.topic != witness_->progress.topic) {  // kept for the way back
    change.facts.emplace_back(former_witness_fact(witness_->progress.topic), encode(*witness_));
    change.facts.emplace_back(former_witness_fact(verdict.witness->progress.topic), std::nullopt);
  }
  if (verdict.kind == Verdict::Kind::committed) change.acknowledged = ends_of(prepared_->streams);
  change.durable = verdict.adopted;
  if (const auto done = outbox_.change(std::move(change)); !done) return store_failed(done.error());
  fault_point("forward.resolved");
  if (prepared_) {
    log::info("forward: transaction {} of the last run was {}", prepared_->transaction,
                 verdict.kind == Verdict::Kind::committed ? "committed" : "aborted; its records are sent again");
    if (verdict.kind == Verdict::Kind::committed) {
      for (const auto& rows : prepared_->streams) forwarded_records_ += rows.last - rows.first + 1;
      last_settled_ms_ = clock_.wall_ms();
    }
  }
  if (verdict.witness) witness_ = verdict.witness;
  if (verdict.adopted) adopt_ = false;
  prepared_.reset();
  outbox_.protect({});
  return event(Event::Kind::done);
}

}  // namespace rivulet::forward
