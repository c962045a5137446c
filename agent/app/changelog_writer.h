// ChangelogWriter: puts an epoch's changes of state and positions into the changelogs' streams, beside the results that they belong to.
//
// Everything of an epoch that a unit (pipeline/changelog_units.h) has changed becomes records of the stream "@<topic>", behind a header, in the
// same epoch: whatever the store and the forwarder do with it, they do with all. The format is store/changelog.h.
// Writing anew: a changelog that does not hold everything yet (it is new, its steps changed, the agent ran without it) is filled in chunks
// before sources start; the position "generation" of "@<topic>" then says that it does, in the same transaction as the last chunk.
// Thread: io. Lifetime: store and state outlive it. Bound: a chunk.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/config/config.h"
#include "agent/forward/units.h"
#include "agent/pipeline/changelog_units.h"
#include "agent/pipeline/state/state.h"
#include "agent/pipeline/topology.h"
#include "store/changelog.h"
#include "store/store.h"

namespace rivulet::app {

class ChangelogWriter {
 public:
  struct Parts {
    const config::Config& config;
    store::Store& store;
    const std::vector<pipeline::Output>& outputs;
    pipeline::StateStore* state;  // after its load(); none without stateful steps
    const Clock& clock;
  };
  // Start-up (blocks). None: there is no changelog, and none has been.
  static result<std::unique_ptr<ChangelogWriter>> open(Parts parts);

  // For the forwarder: also what is left of changelogs that the configuration no longer has.
  std::vector<forward::Unit> units() const;

  bool writing_anew() const;
  // Prepares the next chunk of about max_bytes: it goes into the epoch that ends next.
  result<void> next_chunk(std::size_t max_bytes);

  // The last thing that happens to an epoch. `last_of`: the last sequence number given of an output.
  void end_epoch(store::Epoch& epoch, const store::StateChanges& changes, const std::function<Sequence(std::size_t output)>& last_of);

 private:
  struct Entry {
    std::string key;
    std::optional<std::string> value;
  };
  struct Member {
    std::size_t output;
    StreamId id;
    Sequence last;  // in the last header
  };
  struct Written {
    std::string topic;
    StreamId stream = 0;
    Sequence last = 0;
    std::vector<Member> members;
    std::vector<StreamId> may_be_named;  // by headers that are not yet forwarded
    bool members_changed = false;
    std::set<std::string> sources;
    store::ChangelogCatalogue catalogue;
    store::Generation generation{};
    bool complete = false;
    // Writing anew: what comes next, and what waits for the epoch's end.
    std::size_t step = 0;
    std::uint32_t part = 0;
    std::string from;
    bool begun = false, ends = false;
    std::vector<Entry> chunk;
  };
  struct Place {
    std::size_t unit;
    const pipeline::StateStore::Opened* step;
  };

  explicit ChangelogWriter(Parts parts) : parts_(parts) {}
  result<void> add(const pipeline::ChangelogUnit& unit);
  result<void> leave(const store::StreamInfo& stream);
  result<void> begin_anew(Written& unit);
  void write(Written& unit, std::size_t number, store::Epoch& epoch, const store::StateChanges& changes, const std::function<Sequence(std::size_t)>& last_of);
  const Place* place_of(std::uint32_t table) const;

  Parts parts_;
  std::vector<Written> units_;
  std::vector<forward::Unit> left_;       // not configured any more
  std::vector<std::string> forgotten_;    // their generations go with the first epoch
  std::map<std::uint32_t, Place> steps_;  // by id
};

}  // namespace rivulet::app
