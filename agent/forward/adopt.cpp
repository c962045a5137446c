#include "agent/forward/adopt.h"

#include "agent/forward/prepared.h"

namespace rivulet::forward {

result<void> adopt(store::Store& store) {
  store::ForwardChange change;
  change.facts.emplace_back(adopt_fact, "1");
  return store.change(std::move(change));
}

result<std::string> describe(store::Store& store) {
  const auto prepared_bytes = store.fact(prepared_fact);
  if (!prepared_bytes) return prepared_bytes.error();
  const auto witness_bytes = store.fact(witness_fact);
  if (!witness_bytes) return witness_bytes.error();
  std::string text;
  if (*witness_bytes) {
    const auto witness = decode_witness(**witness_bytes);
    if (!witness) return witness.error();
    text += "last acknowledged: transaction " + std::to_string(witness->transaction) + ", cluster " + witness->cluster_id + ", topic " +
            witness->progress.topic + " [" + std::to_string(witness->progress.partition) + "] offset " + std::to_string(witness->offset) + "\n";
  } else {
    text += "last acknowledged: nothing yet\n";
  }
  if (*prepared_bytes) {
    const auto prepared = decode_prepared(**prepared_bytes);
    if (!prepared) return prepared.error();
    text += "under way: transaction " + std::to_string(prepared->transaction) + ", cluster " + prepared->cluster_id + ", progress record at offset " +
            std::to_string(prepared->progress_offset) + "\n";
    for (const auto& p : prepared->partitions) {
      text += "  " + p.where.topic + " [" + std::to_string(p.where.partition) + "] offsets " + std::to_string(p.first_offset) + " to " +
              std::to_string(p.last_offset) + "\n";
    }
  } else {
    text += "under way: nothing\n";
  }
  return text;
}

}  // namespace rivulet::forward
