#include "tests/property/forward/fake_kafka.h"

#include <algorithm>

namespace rivulet::sim {

using forward::Failure;
using forward::FailureKind;

constexpr std::uint64_t somebody_else = 99;

void Cluster::create(const std::string& topic, int partitions) { topics_[topic].resize(static_cast<std::size_t>(partitions)); }
void Cluster::remove(const std::string& topic) { topics_.erase(topic); }

bool Cluster::takes_time(const std::string& topic, Timestamp timestamp_ms) const {
  const auto found = latest_ms.find(topic);
  return found == latest_ms.end() || timestamp_ms <= 0 || timestamp_ms - (clock_.wall_ms() + clock_ahead_ms) <= found->second;
}

// Is the record at `offset` still undecided? If not, `commit` tells how it ended.
bool Cluster::open(const std::vector<Entry>& log, std::size_t offset, bool& commit) const {
  for (auto i = offset + 1; i < log.size(); ++i) {
    if (log[i].producer == log[offset].producer && log[i].kind != Entry::Kind::data) {
      commit = log[i].kind == Entry::Kind::commit;
      return false;
    }
  }
  return true;
}

std::int64_t Cluster::stable(const kafka::TopicPartition& where) const {
  const auto& entries = log(where);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    bool commit = false;
    if (entries[i].kind == Entry::Kind::data && open(entries, i, commit)) return static_cast<std::int64_t>(i);
  }
  return static_cast<std::int64_t>(entries.size());
}

std::vector<std::pair<std::int64_t, Entry>> Cluster::committed(const std::string& topic, int partition) const {
  const auto& entries = log({topic, partition});
  std::vector<std::pair<std::int64_t, Entry>> visible;
  const auto until = stable({topic, partition});
  for (std::int64_t i = 0; i < until; ++i) {
    const auto at = static_cast<std::size_t>(i);
    bool commit = false;
    if (entries[at].kind == Entry::Kind::data && !open(entries, at, commit) && commit) visible.emplace_back(i, entries[at]);
  }
  return visible;
}

void Cluster::elapse(std::int64_t ms) {
  clock_.advance(ms);
  check_time();
}

void Cluster::check_time() {
  const auto now = clock_.steady_ms();
  for (std::size_t i = 0; i < late_.size();) {
    if (late_[i].due_ms > now) {
      ++i;
      continue;
    }
    const auto due = late_[i];
    late_.erase(late_.begin() + static_cast<std::ptrdiff_t>(i));
    if (due.marker) {
      Entry marker;
      marker.kind = due.commit ? Entry::Kind::commit : Entry::Kind::abort;
      marker.producer = due.session.producer;
      log(due.where).push_back(marker);
    } else {
      (void)apply_end_txn(due.session, due.commit);
    }
  }
  if (state_ == State::ongoing && now - began_ms_ > transaction_timeout_ms) {
    ++current_.epoch;  // fences whoever began it
    finish(false);
  }
  for (auto i = others_.begin(); i != others_.end();) {
    if (i->second > now) {
      ++i;
      continue;
    }
    Entry marker;
    marker.kind = dice_.hit(500) ? Entry::Kind::commit : Entry::Kind::abort;
    marker.producer = somebody_else;
    log(i->first).push_back(marker);
    i = others_.erase(i);
  }
}

void Cluster::finish(bool commit) {
  state_ = commit ? State::committed : State::aborted;
  for (const auto& where : in_transaction_) {
    if (dice_.hit(faults_.late_marker)) {
      late_.push_back({clock_.steady_ms() + dice_.between(1, 6'000), true, where, current_, commit});
      continue;
    }
    Entry marker;
    marker.kind = commit ? Entry::Kind::commit : Entry::Kind::abort;
    marker.producer = current_.producer;
    log(where).push_back(marker);
  }
  in_transaction_.clear();
}

Failure Cluster::init(Session& session) {
  ++current_.epoch;
  if (state_ == State::ongoing) finish(false);
  state_ = State::empty;
  session = current_;
  return {};
}

Failure Cluster::append(const Session& session, const kafka::TopicPartition& where, Entry entry, std::int64_t& offset) {
  if (session.epoch != current_.epoch) return {FailureKind::fenced, 0, "fenced"};
  if (!topics_.contains(where.topic)) return {FailureKind::topic, 0, "unknown topic"};
  if (denied.contains(where.topic)) return {FailureKind::topic, 0, "denied"};
  if (poison.contains(entry.value)) return {FailureKind::record, 0, "invalid record"};
  if (state_ != State::ongoing) {
    state_ = State::ongoing;
    began_ms_ = clock_.steady_ms();
  }
  in_transaction_.insert(where);
  entry.producer = session.producer;
  offset = end(where);
  log(where).push_back(std::move(entry));
  return {};
}

Failure Cluster::apply_end_txn(const Session& session, bool commit) {
  if (session.epoch != current_.epoch) return {FailureKind::fenced, 47, "invalid producer epoch"};
  if (state_ == State::committed && commit) return {};  // a retried request
  if (state_ != State::ongoing) return {FailureKind::uncertain, 48, "invalid transaction state"};
  finish(commit);
  return {};
}

Failure Cluster::end_txn(const Session& session, bool commit, Arrives when) {
  if (when == Arrives::now) return apply_end_txn(session, commit);
  late_.push_back({clock_.steady_ms() + dice_.between(0, 3'000), false, {}, session, commit});
  return {};
}

void Cluster::other_agent(const kafka::TopicPartition& where) {
  if (others_.contains(where)) return;
  Entry entry;
  entry.producer = somebody_else;
  entry.has_key = true;
  entry.key = "somebody";
  log(where).push_back(entry);
  others_[where] = clock_.steady_ms() + dice_.between(10, 8'000);
}

}  // namespace rivulet::sim
