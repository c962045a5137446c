// Units: which records may go into a transaction together. A unit is a changelog (store/changelog.h) and the streams that it is about.
//
// The rule: of a unit whole epochs go into a transaction, changelog and results, or nothing. An epoch begins with a header in the
// changelog that says how far each stream goes; until the changelog has no more, its members go no further than the next header lets them.
// What members have from before the changelog was switched on goes by itself, before the first epoch.
// Pure; the driver asks it before it sends. Thread: the owner's. Bound: one header a unit.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/ids.h"
#include "agent/base/result.h"
#include "store/changelog.h"
#include "store/store.h"

namespace rivulet::forward {

struct Unit {
  StreamId changelog = 0;
  std::vector<StreamId> members;  // all that headers which are not yet forwarded may name
  bool has(StreamId stream) const;
};

// What is left to do for one unit in the transaction that is being filled.
class UnitTurn {
 public:
  struct Range {
    StreamId stream = 0;
    Sequence after = 0, last = 0;  // (after, last]
  };

  // `streams`: of the unit, as the outbox has them now.
  UnitTurn(const Unit& unit, const std::vector<store::StreamInfo>& streams);

  StreamId changelog() const { return unit_.changelog; }
  bool wants_header() const { return pending(unit_.changelog) && !header_; }
  Sequence changelog_after() const { return at(unit_.changelog).after; }
  // The first record of the next epoch. An error: it does not fit to what the outbox has.
  result<void> take_header(const store::PackRecord& record);

  // What may go by itself: what lies before the next epoch, or, when the changelog has no more, everything.
  std::optional<Range> alone() const;
  // The next epoch, changelog first, when nothing goes before it. Partly sent ones go on where they were.
  std::vector<Range> epoch() const;
  bool in_epoch() const { return started_; }
  std::uint64_t epoch_records() const { return header_ ? records_ : 0; }
  std::uint64_t epoch_bytes() const { return header_ ? header_->bytes : 0; }

  void sent(StreamId stream, Sequence up_to);  // of alone() or epoch()
  bool more() const;                           // something is left for another transaction

 private:
  struct Place {
    Sequence after = 0, last = 0;
  };
  const Place& at(StreamId stream) const { return places_.at(stream); }
  bool pending(StreamId stream) const;
  Sequence limit(StreamId member) const;  // up to where it goes by itself

  Unit unit_;
  std::map<StreamId, Place> places_;
  std::optional<store::ChangelogHeader> header_;
  std::uint64_t records_ = 0;
  bool started_ = false;
};

}  // namespace rivulet::forward
