#include "agent/forward/resolve.h"

#include <algorithm>

namespace rivulet::forward {
namespace {

constexpr const char* way_out = "Data is still stored. When you are sure that no other agent uses this id, stop the agent, run `rivulet adopt`, and start it";

std::string named(const kafka::TopicPartition& where) { return where.topic + " [" + std::to_string(where.partition) + "]"; }

Verdict halt(std::string what) { return {Verdict::Kind::halt, std::move(what), std::nullopt, false}; }

Witness at(const Evidence& e, std::int64_t offset, std::uint64_t transaction) {
  return {e.cluster_id, e.progress, offset, transaction};
}

bool is_prepared(const Evidence& e, const Evidence::Seen& seen) {
  return e.prepared && seen.incarnation == e.incarnation && seen.offset == e.prepared->progress_offset &&
         seen.transaction == e.prepared->transaction;
}

}  // namespace

std::optional<Verdict> replaced(const Evidence& e) {
  const std::string known = e.witness ? e.witness->cluster_id : e.prepared ? e.prepared->cluster_id : "";
  if (!known.empty() && !e.cluster_id.empty() && known != e.cluster_id) {
    return halt("kafka: this is another cluster (" + e.cluster_id + ") than the one this agent has forwarded to (" + known +
                "). What became of the records under way cannot be known. Correct kafka.brokers, or, to go on with the new cluster: " + way_out);
  }
  if (!e.witness || e.witness->offset < 0) return std::nullopt;
  if (e.stable <= e.witness->offset) {
    return halt("kafka: progress topic " + named(e.progress) + " ends at offset " + std::to_string(e.stable) +
                ", before this agent's last progress record (offset " + std::to_string(e.witness->offset) +
                "): the topic was deleted and made again, or lost data. " + way_out);
  }
  if (e.start > e.witness->offset + 1) {
    return halt("kafka: progress topic " + named(e.progress) + " begins at offset " + std::to_string(e.start) +
                ", after this agent's last progress record (offset " + std::to_string(e.witness->offset) +
                "): records were deleted. The topic needs cleanup.policy=compact. " + way_out);
  }
  return std::nullopt;
}

namespace {

// Progress records that we did not write.
std::optional<Verdict> not_ours(const Evidence& e) {
  for (const auto& seen : e.seen) {
    if (is_prepared(e, seen)) continue;
    const auto where = named(e.progress) + " offset " + std::to_string(seen.offset);
    if (seen.incarnation == e.incarnation) {
      return halt("kafka: the progress topic (" + where + ") has transaction " + std::to_string(seen.transaction) +
                  " of this very store, which this store does not know: it is a copy (a cloned card) or went back in time (a restored "
                  "backup). " + way_out);
    }
    const bool predecessor = std::find(e.history.begin(), e.history.end(), seen.incarnation) != e.history.end();
    if (predecessor && (!e.witness || e.witness->transaction == 0)) continue;  // the store that this one succeeds
    return halt("kafka: another agent has forwarded with the same agent.id (progress topic " + where + ", incarnation " +
                seen.incarnation.text() + "): a second device, or the predecessor of a replaced disk. " + way_out);
  }
  return std::nullopt;
}

Verdict decide(const Evidence& e, bool progress_there) {
  const auto& prepared = *e.prepared;
  bool there = false, absent = false;
  for (std::size_t i = 0; i < prepared.partitions.size(); ++i) {
    const auto outcome = i < e.partitions.size() ? e.partitions[i] : Evidence::Outcome::undecided;
    if (outcome == Evidence::Outcome::undecided) return {Verdict::Kind::undecided, "", std::nullopt, false};
    if (outcome == Evidence::Outcome::other) {
      return halt("kafka: topic " + named(prepared.partitions[i].where) + " holds somebody else's record at offset " +
                  std::to_string(prepared.partitions[i].last_offset) + ", where this agent's was: the topic was replaced. " + way_out);
    }
    there = there || outcome == Evidence::Outcome::there;
    absent = absent || outcome == Evidence::Outcome::absent;
  }
  if ((there && absent) || (there && !progress_there) || (absent && progress_there)) {
    std::string list;
    for (std::size_t i = 0; i < prepared.partitions.size(); ++i) {
      list += (list.empty() ? "" : ", ") + named(prepared.partitions[i].where) +
              (e.partitions[i] == Evidence::Outcome::there    ? ": committed"
               : e.partitions[i] == Evidence::Outcome::absent ? ": aborted"
                                                              : ": unknown");
    }
    return halt("kafka: the brokers committed transaction " + std::to_string(prepared.transaction) +
                " in some partitions and not in others (" + list + "; progress record: " + (progress_there ? "committed" : "aborted") +
                "). Data is still stored. `rivulet adopt` takes the progress record's word for all of them");
  }
  if (progress_there) {
    return {Verdict::Kind::committed, "", at(e, prepared.progress_offset, prepared.transaction), false};
  }
  return {Verdict::Kind::aborted, "", std::nullopt, false};
}

}  // namespace

Verdict resolve(const Evidence& e) {
  const bool same_cluster = !e.prepared || e.prepared->cluster_id.empty() || e.cluster_id.empty() || e.prepared->cluster_id == e.cluster_id;
  const bool progress_there =
      same_cluster && std::any_of(e.seen.begin(), e.seen.end(), [&](const auto& seen) { return is_prepared(e, seen); });
  const auto known = std::max(e.witness ? e.witness->transaction : 0, e.prepared ? e.prepared->transaction : 0);
  if (e.adopt) {
    Verdict verdict{e.prepared ? (progress_there ? Verdict::Kind::committed : Verdict::Kind::aborted) : Verdict::Kind::nothing, "", {}, true};
    auto transaction = known;
    for (const auto& seen : e.seen) {
      if (seen.incarnation == e.incarnation) transaction = std::max(transaction, seen.transaction);
    }
    verdict.witness = at(e, e.stable - 1, transaction);
    return verdict;
  }
  if (auto verdict = replaced(e)) return *verdict;
  if (e.prepared && e.stable <= e.prepared->progress_offset) {
    // Drained, so nothing is open; the end can only be below X if the topic is not the one that gave us X.
    return halt("kafka: progress topic " + named(e.progress) + " ends at offset " + std::to_string(e.stable) +
                ", before the record this agent wrote at offset " + std::to_string(e.prepared->progress_offset) +
                ": the topic was deleted and made again, or lost data. " + way_out);
  }
  if (auto verdict = not_ours(e)) return *verdict;
  if (e.prepared) return decide(e, progress_there);
  if (e.witness) return {};
  // A first look at this topic: from here on only what is new has to be read.
  return {Verdict::Kind::nothing, "", at(e, e.stable - 1, 0), false};
}

}  // namespace rivulet::forward
