// restore(): fills an empty store from an agent's changelogs, so that a replaced device goes on where its results in Kafka end.
//
// The device before is fenced for good before anything is read: init_transactions ends its transaction, and a progress record of the new
// incarnation stops it for good when it should come back. Then the changelogs are read, read_committed, up to their last stable
// offsets. Until the last batch the fact "restoring" is in the store: it must not be used, and restore() begins again from nothing.
// Afterwards state, positions and sequence numbers are those of the last transaction that was forwarded; what the lost device had
// stored and not yet forwarded is not in Kafka, and comes again from sources that can send it again.
// Thread: the caller's; blocks. Bounds: batches of about 1 MiB. Errors: not_found: Kafka has nothing of this agent, and the store is untouched; conflict: it
// cannot be restored as things are; the message says why and what to do.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/forward/uplink.h"
#include "store/changelog.h"
#include "store/store.h"

namespace rivulet::forward {

struct RestoreOptions {
  std::string agent_id;
  std::string progress_topic = "rivulet-progress";
  std::vector<std::string> changelogs;  // topics
  std::int64_t timeout_ms = 60'000;     // without progress
  // Says whether what the steps of a changelog mean is what the configuration means.
  std::function<result<void>(const store::ChangelogCatalogue&)> accept;
};

struct Restored {
  std::uint64_t rows = 0, positions = 0, streams = 0;  // read, not all different
  Uuid predecessor;
};

result<Restored> restore(const RestoreOptions& options, store::Store& store, Uplink& uplink, const Clock& clock);

// What one agent's records of one changelog come to; in the order of their offsets. The reading apart, for tests.
class ChangelogReplay {
 public:
  ChangelogReplay(std::string agent_id, store::Generation generation) : agent_id_(std::move(agent_id)), generation_(generation) {}
  // Error corrupt: a record of this agent's that makes no sense.
  result<void> take(std::string_view key, std::optional<std::string_view> value);
  std::size_t batch_bytes() const { return bytes_; }
  store::Rebuild take_batch();
  const std::optional<store::ChangelogCatalogue>& catalogue() const { return catalogue_; }
  const std::optional<store::ChangelogHeader>& header() const { return header_; }
  std::uint64_t rows() const { return rows_; }
  std::uint64_t positions() const { return positions_; }

 private:
  bool knows(std::string_view pipeline, std::string_view step) const;
  std::string agent_id_;
  store::Generation generation_;
  store::Rebuild batch_;
  std::size_t bytes_ = 0;
  std::optional<store::ChangelogCatalogue> catalogue_;
  std::optional<store::ChangelogHeader> header_;
  std::uint64_t rows_ = 0, positions_ = 0;
};

}  // namespace rivulet::forward
