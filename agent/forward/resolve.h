// resolve(): what became of the transaction under way when the last process (or producer) ended. Pure: evidence in,
// verdict out. The rules are those of PROTOCOL.md, "Recover" 4; the driver gathers the evidence after "Drained?".
//
// Thread: any. Bound: Evidence::seen holds at most max_seen records, the oldest, and the one at X.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "agent/forward/prepared.h"

namespace rivulet::forward {

inline constexpr std::size_t max_seen = 64;

struct Evidence {
  Uuid incarnation;
  std::vector<Uuid> history;
  std::optional<Prepared> prepared;
  std::optional<Witness> witness;  // of this progress topic; absent: nothing was ever acknowledged to this store there
  bool adopt = false;              // an operator accepts the progress topic as it is

  std::string cluster_id;          // empty: unknown
  kafka::TopicPartition progress;
  std::int64_t start = 0;          // of the progress partition
  std::int64_t stable = 0;         // its last stable offset
  struct Seen {                    // committed records of our agent id after the witness
    std::int64_t offset = 0;
    Uuid incarnation;
    std::uint64_t transaction = 0;
  };
  std::vector<Seen> seen;

  enum class Outcome {
    there,      // the record at the partition's last offset is ours and committed
    absent,     // the offset was passed without it, and nothing but an abort explains that
    unknown,    // deleted or compacted since, or not readable: the progress record decides
    other,      // somebody else's record stands there
    undecided,  // not yet stable
  };
  std::vector<Outcome> partitions;  // as in Prepared::partitions
};

struct Verdict {
  enum class Kind {
    nothing,    // nothing was under way
    committed,  // PREPARED is done: trim
    aborted,    // PREPARED never happened: send again
    undecided,  // ask again
    halt,       // an operator must decide; `message` says what and how
  };
  Kind kind = Kind::nothing;
  std::string message;
  std::optional<Witness> witness;  // to be stored with it
  bool adopted = false;            // the operator's decision was used up
};

// Why the cluster or the progress topic is not the one that the witness is from; none: it is.
std::optional<Verdict> replaced(const Evidence& evidence);

Verdict resolve(const Evidence& evidence);

}  // namespace rivulet::forward
