// Writer: one destination besides Kafka: a file, an MQTT server, the standard output.
//
// Whoever owns it (worker.h) opens it, hands it a stretch of a stream, and acknowledges in the store what is there for good; after an error it
// waits and opens it again. Thread: its worker's. Lifetime: within its worker's. Bounds: one stretch in memory. Errors: why nothing goes on, for
// people; every one may pass (a full disk, a server that is away), so that it is tried again for ever.
#pragma once
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/result.h"
#include "store/store.h"

namespace rivulet::sink {

// Neighbouring packs of one stream, oldest first.
struct Stretch {
  const store::StreamInfo& stream;
  const std::vector<store::Pack>& packs;
};

struct Delivery {
  Sequence up_to = 0;  // 0: nothing; else all up to it is there for good, or refused
  std::uint64_t records = 0, bytes = 0;
  struct Refused {
    Sequence sequence;
    std::string reason;
  };
  std::vector<Refused> refused;  // that the destination will never take; they go to quarantine
  std::vector<std::pair<std::string, std::optional<std::string>>> facts;  // of the store, in the transaction that acknowledges
  std::optional<Error> trouble;  // why it is not all
};

class Writer {
 public:
  virtual ~Writer() = default;
  // Ready to take records. False also when that is found out between two deliveries.
  virtual bool ready() const = 0;
  virtual result<void> open() = 0;
  // Only while ready(). Ends early, with what is done, when `stop` becomes true.
  virtual Delivery deliver(const Stretch& stretch, const std::atomic<bool>& stop) = 0;
  // The end, or trouble; open() may come again.
  virtual void close() = 0;
  virtual std::string state() const = 0;  // in some words, while ready()
  // Why what open() opened is no longer ready(), although nobody asked for anything.
  virtual Error ended() const { return {ErrorCode::unavailable, "it was closed"}; }
};

}  // namespace rivulet::sink
