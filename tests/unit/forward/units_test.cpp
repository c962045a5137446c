#include "agent/forward/units.h"

#include "tests/support/catch.h"

using namespace rivulet;
using namespace rivulet::forward;

namespace {

store::StreamInfo stream(StreamId id, const std::string& name, Sequence acknowledged, Sequence last) {
  store::StreamInfo info;
  info.id = id;
  info.name = name;
  info.topic = "topic-" + name;
  info.acknowledged = acknowledged;
  info.last = last;
  return info;
}

// A pack's record that keeps its bytes itself.
struct Kept {
  std::string key, value;
  operator store::PackRecord() const { return {key, value}; }
};

Kept header(std::uint64_t records, Sequence last, std::vector<store::ChangelogStream> streams) {
  store::ChangelogHeader header;
  header.own = 9;
  header.records = records;
  header.last = last;
  header.bytes = 1000;
  header.streams = std::move(streams);
  return {store::changelog_key("gateway", store::ChangelogKind::header), store::changelog_value({}, encode_body(header))};
}

const Unit unit{9, {1, 2}};

}  // namespace

TEST_CASE("an epoch of a unit is its changelog and its members' records, and nothing goes before its header is known") {
  UnitTurn turn(unit, {stream(1, "a", 10, 30), stream(2, "b", 0, 0), stream(9, "@c", 4, 9)});
  CHECK(turn.wants_header());
  CHECK_FALSE(turn.alone());
  CHECK(turn.epoch().empty());
  REQUIRE(turn.take_header(header(3, 7, {{1, "a", "t", 20, 10}, {2, "b", "t", 0, 0}})));
  CHECK_FALSE(turn.alone());
  const auto ranges = turn.epoch();
  REQUIRE(ranges.size() == 2);
  CHECK((ranges[0].stream == 9 && ranges[0].after == 4 && ranges[0].last == 7));
  CHECK((ranges[1].stream == 1 && ranges[1].after == 10 && ranges[1].last == 20));
  CHECK(turn.epoch_records() == 13);
}

TEST_CASE("an epoch that is partly sent goes on where it was, and the next one waits for its header") {
  UnitTurn turn(unit, {stream(1, "a", 10, 30), stream(9, "@c", 4, 9)});
  REQUIRE(turn.take_header(header(3, 7, {{1, "a", "t", 20, 10}})));
  turn.sent(9, 6);
  CHECK(turn.in_epoch());
  CHECK_FALSE(turn.alone());
  REQUIRE(turn.epoch().size() == 2);
  CHECK(turn.epoch()[0].after == 6);
  turn.sent(9, 7);
  turn.sent(1, 20);
  CHECK_FALSE(turn.in_epoch());
  CHECK(turn.wants_header());
  CHECK_FALSE(turn.alone());
  REQUIRE(turn.take_header(header(2, 9, {{1, "a", "t", 30, 10}})));
  turn.sent(9, 9);
  turn.sent(1, 30);
  CHECK_FALSE(turn.more());
}

TEST_CASE("what members have from before the changelog goes by itself and first") {
  UnitTurn turn(unit, {stream(1, "a", 10, 30), stream(9, "@c", 0, 2)});
  CHECK_FALSE(turn.alone());  // nobody knows yet how far
  REQUIRE(turn.take_header(header(2, 2, {{1, "a", "t", 30, 5}})));
  REQUIRE(turn.alone());
  CHECK((turn.alone()->after == 10 && turn.alone()->last == 25));
  CHECK(turn.epoch().empty());
  turn.sent(1, 25);
  CHECK_FALSE(turn.in_epoch());
  CHECK_FALSE(turn.alone());
  CHECK(turn.epoch().size() == 2);
}

TEST_CASE("a member that the next header does not name waits for the one that does") {
  UnitTurn turn(unit, {stream(1, "a", 0, 5), stream(2, "b", 0, 7), stream(9, "@c", 0, 4)});
  REQUIRE(turn.take_header(header(2, 2, {{1, "a", "t", 5, 5}})));
  CHECK_FALSE(turn.alone());
  for (const auto& range : turn.epoch()) CHECK(range.stream != 2);
}

TEST_CASE("members are free when their changelog has nothing more") {
  UnitTurn turn(unit, {stream(1, "a", 3, 5), stream(9, "@c", 4, 4)});
  CHECK_FALSE(turn.wants_header());
  REQUIRE(turn.alone());
  CHECK(turn.alone()->last == 5);
  turn.sent(1, 5);
  CHECK_FALSE(turn.more());
}

TEST_CASE("a header that does not fit to the outbox is refused and says why") {
  const std::vector<store::StreamInfo> streams{stream(1, "a", 10, 30), stream(9, "@c", 4, 9)};
  UnitTurn turn(unit, streams);
  CHECK_FALSE(turn.take_header(header(3, 8, {})));                          // other records than there are
  CHECK_FALSE(turn.take_header(header(6, 10, {})));                         // more than there are
  CHECK_FALSE(turn.take_header(header(1, 5, {{1, "a", "t", 31, 1}})));      // of a stream, too
  CHECK_FALSE(turn.take_header(header(1, 5, {{7, "x", "t", 3, 1}})));       // of one that is no member
  auto other = header(1, 5, {});
  other.key = store::changelog_key("gateway", store::ChangelogKind::catalogue);
  CHECK_FALSE(turn.take_header(other));
  other = header(1, 5, {});
  other.value.pop_back();
  CHECK_FALSE(turn.take_header(other));
  const auto refused = turn.take_header(header(3, 8, {}));
  CHECK_THAT(refused.error().message, ContainsSubstring("record 5"));
  CHECK(turn.take_header(header(1, 5, {{1, "a", "t", 10, 0}})));
}
