#include "agent/forward/resolve.h"

#include "tests/support/catch.h"

using namespace rivulet;
using namespace rivulet::forward;
using Outcome = Evidence::Outcome;
using Kind = Verdict::Kind;

namespace {

const Uuid ours = Uuid::parse("11111111-1111-4111-8111-111111111111").value();
const Uuid before = Uuid::parse("22222222-2222-4222-8222-222222222222").value();
const Uuid stranger = Uuid::parse("33333333-3333-4333-8333-333333333333").value();

Prepared prepared() {
  Prepared p;
  p.transaction = 8;
  p.cluster_id = "c";
  p.progress = {"rivulet-progress", 2};
  p.progress_offset = 100;
  p.streams = {{1, 5, 9}};
  p.partitions = {{{"data", 0}, 10, 12, 1, 7, {{1, 5, 7}}}, {{"data", 1}, 20, 21, 1, 9, {{1, 8, 9}}}};
  return p;
}

// Drained, witness at offset 90 (transaction 7), nothing since.
Evidence evidence(bool with_prepared = true) {
  Evidence e;
  e.incarnation = ours;
  e.history = {before};
  e.witness = Witness{"c", {"rivulet-progress", 2}, 90, 7};
  e.cluster_id = "c";
  e.progress = {"rivulet-progress", 2};
  e.start = 0;
  e.stable = 110;
  if (with_prepared) {
    e.prepared = prepared();
    e.partitions = {Outcome::absent, Outcome::absent};
  }
  return e;
}

Evidence with_progress(Evidence e) {
  e.seen.push_back({100, ours, 8});
  return e;
}

}  // namespace

TEST_CASE("without PREPARED nothing was under way") {
  CHECK(resolve(evidence(false)).kind == Kind::nothing);
  CHECK_FALSE(resolve(evidence(false)).witness);
}

TEST_CASE("PREPARED is committed when its records and its progress record are there") {
  auto e = with_progress(evidence());
  e.partitions = {Outcome::there, Outcome::there};
  const auto verdict = resolve(e);
  CHECK(verdict.kind == Kind::committed);
  REQUIRE(verdict.witness);
  CHECK(*verdict.witness == Witness{"c", {"rivulet-progress", 2}, 100, 8});
}

TEST_CASE("PREPARED is aborted when none of its records is there") {
  CHECK(resolve(evidence()).kind == Kind::aborted);
}

TEST_CASE("deleted, compacted or unreadable data leaves the word to the progress record") {
  auto e = evidence();
  e.partitions = {Outcome::unknown, Outcome::unknown};
  CHECK(resolve(e).kind == Kind::aborted);
  CHECK(resolve(with_progress(e)).kind == Kind::committed);
  e.partitions = {Outcome::unknown, Outcome::there};
  CHECK(resolve(with_progress(e)).kind == Kind::committed);
}

TEST_CASE("an undecided partition decides nothing") {
  auto e = with_progress(evidence());
  e.partitions = {Outcome::there, Outcome::undecided};
  CHECK(resolve(e).kind == Kind::undecided);
}

TEST_CASE("partitions that disagree, with each other or with the progress record, stop with both named") {
  auto e = with_progress(evidence());
  e.partitions = {Outcome::there, Outcome::absent};
  auto verdict = resolve(e);
  CHECK(verdict.kind == Kind::halt);
  CHECK_THAT(verdict.message, ContainsSubstring("data [0]: committed") && ContainsSubstring("data [1]: aborted") && ContainsSubstring("adopt"));
  e.partitions = {Outcome::absent, Outcome::absent};
  CHECK(resolve(e).kind == Kind::halt);
  auto without = evidence();
  without.partitions = {Outcome::there, Outcome::there};
  CHECK(resolve(without).kind == Kind::halt);
}

TEST_CASE("another agent with our id stops forwarding") {
  for (const bool under_way : {false, true}) {
    auto e = evidence(under_way);
    e.seen.push_back({95, stranger, 3});
    const auto verdict = resolve(e);
    CHECK(verdict.kind == Kind::halt);
    CHECK_THAT(verdict.message, ContainsSubstring(stranger.text()) && ContainsSubstring("rivulet adopt"));
  }
}

TEST_CASE("a transaction of our own incarnation that this store does not know is a clone or a backup") {
  auto e = evidence(false);
  e.seen.push_back({95, ours, 8});
  CHECK_THAT(resolve(e).message, ContainsSubstring("cloned"));
  auto behind = with_progress(evidence());
  behind.partitions = {Outcome::there, Outcome::there};
  behind.seen.push_back({105, ours, 9});
  CHECK(resolve(behind).kind == Kind::halt);
  auto elsewhere = evidence();
  elsewhere.seen.push_back({101, ours, 8});  // the number fits, the offset does not
  CHECK(resolve(elsewhere).kind == Kind::halt);
}

TEST_CASE("the successor of a damaged store adopts its predecessor by itself, once") {
  auto e = evidence(false);
  e.witness.reset();
  e.seen.push_back({95, before, 700});
  const auto verdict = resolve(e);
  CHECK(verdict.kind == Kind::nothing);
  REQUIRE(verdict.witness);
  CHECK(verdict.witness->offset == 109);
  auto later = evidence(false);
  later.seen.push_back({95, before, 701});  // it lives on somewhere
  CHECK(resolve(later).kind == Kind::halt);
}

TEST_CASE("a first look remembers where the progress topic ended") {
  auto e = evidence(false);
  e.witness.reset();
  e.stable = 0;
  const auto verdict = resolve(e);
  REQUIRE(verdict.witness);
  CHECK(verdict.witness->offset == -1);
  CHECK(verdict.witness->transaction == 0);
  e.witness = verdict.witness;
  CHECK(resolve(e).kind == Kind::nothing);
}

TEST_CASE("another cluster, or a progress topic that lost our record, stops forwarding") {
  auto other = evidence();
  other.cluster_id = "d";
  CHECK_THAT(resolve(other).message, ContainsSubstring("another cluster (d)"));
  auto shorter = evidence(false);
  shorter.stable = 90;
  CHECK(resolve(shorter).kind == Kind::halt);
  auto deleted = evidence(false);
  deleted.start = 92;
  CHECK_THAT(resolve(deleted).message, ContainsSubstring("cleanup.policy=compact"));
  auto cut = evidence();
  cut.stable = 100;  // drained, and yet before X
  CHECK(resolve(cut).kind == Kind::halt);
  auto replaced = evidence();
  replaced.partitions = {Outcome::other, Outcome::absent};
  CHECK_THAT(resolve(replaced).message, ContainsSubstring("data [0]"));
}

TEST_CASE("an unknown cluster id proves nothing") {
  auto e = evidence(false);
  e.cluster_id.clear();
  CHECK(resolve(e).kind == Kind::nothing);
}

TEST_CASE("adopt takes the progress topic as it is: the witness moves to its end, the progress record decides") {
  auto e = evidence();
  e.adopt = true;
  e.cluster_id = "d";
  e.seen.push_back({105, stranger, 4});
  e.seen.push_back({106, ours, 12});
  auto verdict = resolve(e);
  CHECK(verdict.kind == Kind::aborted);
  CHECK(verdict.adopted);
  REQUIRE(verdict.witness);
  CHECK(*verdict.witness == Witness{"d", {"rivulet-progress", 2}, 109, 12});
  e.cluster_id = "c";
  CHECK(resolve(with_progress(e)).kind == Kind::committed);
  auto nothing = evidence(false);
  nothing.adopt = true;
  CHECK(resolve(nothing).kind == Kind::nothing);
}
