// Windows, worked out by hand. What they mean is Kafka Streams' meaning; where it is not, the test says so.
#include "tests/unit/pipeline/replay_cases.h"

using namespace rivulet;
using namespace rivulet::test;
using Lines = std::vector<std::string>;

namespace {

std::string aggregate(const std::string& window, const std::string& emit, const std::string& more = "") {
  return "{aggregate: {" + (window.empty() ? "" : "window: {" + window + "}, ") + "select: {n: count(*)}, emit: " + emit + more + "}}";
}

}  // namespace

TEST_CASE("a tumbling window begins at a multiple of its size, holds its start and not its end") {
  CHECK(short_replay(aggregate("tumbling: 10ms", "every-change"), {at(0, "k"), at(9, "k"), at(10, "k"), at(25, "k")}) ==
        Lines{"0: k 1 @0 [0,10]", "1: k 2 @9 [0,10]", "2: k 1 @10 [10,20]", "3: k 1 @25 [20,30]", "late 0, dropped 0"});
}

TEST_CASE("an update carries the highest timestamp in its window, not the one of the record that made it") {
  CHECK(short_replay(aggregate("tumbling: 10ms", "every-change"), {at(7, "k"), at(3, "k")}) == Lines{"0: k 1 @7 [0,10]", "1: k 2 @7 [0,10]", "late 0, dropped 0"});
}

TEST_CASE("hopping windows are updated by ascending start, none begins before 0") {
  CHECK(short_replay(aggregate("hopping: {size: 10ms, advance: 4ms}", "every-change"), {at(9, "k"), at(2, "k")}) ==
        Lines{"0: k 1 @9 [0,10]", "0: k 1 @9 [4,14]", "0: k 1 @9 [8,18]", "1: k 2 @9 [0,10]", "late 0, dropped 0"});
}

TEST_CASE("a record is late for a window that ends at or before stream time less grace, and still goes into the others") {
  pipeline::ReplayOptions options;
  options.drops = true;
  // Stream time 20, grace 5: [0,10) and [5,15) are closed, [10,20) is open.
  CHECK(short_replay(aggregate("hopping: {size: 10ms, advance: 5ms}, grace: 5ms", "every-change"), {at(20, "k"), at(9, "j"), at(10, "j")}, options) ==
        Lines{"0: k 1 @20 [15,25]", "0: k 1 @20 [20,30]", "1: drop 2", "2: j 1 @10 [10,20]", "2: drop 1", "late 3, dropped 0"});
}

TEST_CASE("a window closes when stream time reaches its end and grace, in the order of start and key, once") {
  CHECK(short_replay(aggregate("tumbling: 10ms, grace: 5ms", "closed"), {at(1, "b"), at(12, "b"), at(3, "a"), at(14, "x"), at(15, "x"), at(16, "x"), at(60, "x")}) ==
        Lines{"4: a 1 @3 [0,10]", "4: b 1 @1 [0,10]", "6: b 1 @12 [10,20]", "6: x 3 @16 [10,20]", "late 0, dropped 0"});
}

TEST_CASE("null keys are dropped and move no time, null values count") {
  CHECK(short_replay(aggregate("tumbling: 10ms", "closed"), {at(1, "k"), at(50, "null"), at(2, "k", "null"), at(10, "k", "null")}) == Lines{"3: k 2 @2 [0,10]", "late 0, dropped 1"});
}

TEST_CASE("sliding windows and those without a window drop null values, and they move no time") {
  CHECK(short_replay(aggregate("sliding: 10ms", "closed"), {at(1, "k"), at(50, "k", "null"), at(2, "k")}) == Lines{"late 0, dropped 1"});
  CHECK(short_replay(aggregate("", "every-change"), {at(5, "k"), at(50, "k", "null"), at(2, "k")}) == Lines{"0: k 1 @5", "2: k 2 @5", "late 0, dropped 1"});
}

TEST_CASE("a sliding window holds both its ends, and there is one for each set of records") {
  CHECK(short_replay(aggregate("sliding: 5ms, grace: 100ms", "every-change"), {at(10, "k"), at(15, "k"), at(16, "k")}) ==
        Lines{"0: k 1 @10 [5,10]", "1: k 1 @15 [11,16]", "1: k 2 @15 [10,15]", "2: k 2 @16 [11,16]", "2: k 1 @16 [16,21]", "late 0, dropped 0"});
}

TEST_CASE("a late sliding record goes into windows by descending start, then the previous one's right, its own left, its own right") {
  CHECK(short_replay(aggregate("sliding: 5ms, grace: 100ms", "every-change"), {at(10, "k"), at(14, "k"), at(12, "k")}) ==
        Lines{"0: k 1 @10 [5,10]", "1: k 1 @14 [11,16]", "1: k 2 @14 [9,14]", "2: k 2 @14 [11,16]", "2: k 3 @14 [9,14]", "2: k 2 @12 [7,12]", "2: k 1 @14 [13,18]", "late 0, dropped 0"});
}

TEST_CASE("before the first difference sliding records share one window from 0, updated last") {
  CHECK(short_replay(aggregate("sliding: 10ms, grace: 100ms", "every-change"), {at(3, "k"), at(5, "k"), at(4, "k")}) ==
        Lines{"0: k 1 @3 [0,10]", "1: k 1 @5 [4,14]", "1: k 2 @5 [0,10]", "2: k 2 @5 [4,14]", "2: k 1 @5 [5,15]", "2: k 3 @5 [0,10]", "late 0, dropped 0"});
}

TEST_CASE("sliding windows of difference 0 work, where Kafka Streams crashes") {
  CHECK(short_replay(aggregate("sliding: 0ms", "every-change"), {at(3, "k"), at(3, "k"), at(4, "k")}) ==
        Lines{"0: k 1 @3 [3,3]", "1: k 2 @3 [3,3]", "2: k 1 @4 [4,4]", "late 0, dropped 0"});
}

TEST_CASE("a sliding window is updated once by a record, also where Kafka Streams emits it twice") {
  // 10 + 1 + 4 = 15: the right window of 10 is the left one of 15.
  CHECK(short_replay(aggregate("sliding: 4ms, grace: 100ms", "every-change"), {at(10, "k"), at(15, "k")}) == Lines{"0: k 1 @10 [6,10]", "1: k 1 @15 [11,15]", "late 0, dropped 0"});
}

TEST_CASE("a late sliding record that a window took is in windows that are made later, where Kafka Streams forgets it") {
  // Stream time 17, grace 1: the own window [6,11] of 11 is closed, [11,16] is open and takes it, so [10,15] has it as well.
  CHECK(short_replay(aggregate("sliding: 5ms, grace: 1ms", "every-change"), {at(10, "k"), at(16, "k"), at(17, "j"), at(11, "k"), at(13, "k")}) ==
        Lines{"0: k 1 @10 [5,10]", "1: k 1 @16 [11,16]", "2: j 1 @17 [12,17]", "3: k 2 @16 [11,16]", "3: k 1 @16 [12,17]", "4: k 2 @16 [12,17]", "4: k 3 @16 [11,16]", "4: k 1 @16 [14,19]",
              "late 2, dropped 0"});
}

TEST_CASE("a sliding window is final after its end and grace, not at it") {
  CHECK(short_replay(aggregate("sliding: 5ms, grace: 2ms", "closed"), {at(10, "k"), at(12, "j"), at(13, "j")}) == Lines{"2: k 1 @10 [5,10]", "late 0, dropped 0"});
}

TEST_CASE("a session that grows is withdrawn before the one that takes its place, ascending by end") {
  CHECK(short_replay(aggregate("session: 5ms, grace: 100ms", "every-change"), {at(10, "k"), at(20, "k"), at(15, "k"), at(12, "k")}) ==
        Lines{"0: k 1 @10 [10,10]", "1: k 1 @20 [20,20]", "2: k gone @10 [10,10]", "2: k gone @20 [20,20]", "2: k 3 @20 [10,20]", "3: k gone @20 [10,20]", "3: k 4 @20 [10,20]", "late 0, dropped 0"});
}

TEST_CASE("records at one moment make one session without a tombstone between") {
  CHECK(short_replay(aggregate("session: 5ms", "every-change"), {at(10, "k"), at(10, "k")}) == Lines{"0: k 1 @10 [10,10]", "1: k 2 @10 [10,10]", "late 0, dropped 0"});
}

TEST_CASE("a final session grows no more, where Kafka Streams revises it") {
  // Gap 5, grace 0: [10,10] is final above 15. At 16 the record 11 is not late for a session of its own: 11 >= 16 - 5.
  CHECK(short_replay(aggregate("session: 5ms", "every-change"), {at(10, "k"), at(16, "j"), at(11, "k"), at(10, "k")}) ==
        Lines{"0: k 1 @10 [10,10]", "1: j 1 @16 [16,16]", "2: k 1 @11 [11,11]", "3: k gone @11 [11,11]", "3: k 2 @11 [10,11]", "late 0, dropped 0"});
}

TEST_CASE("closed sessions come in the order of end, start and key, and after suppress by end, key and start") {
  const std::vector<Line> lines = {at(6, "b"), at(10, "b"), at(8, "a"), at(10, "a"), at(5, "c"), at(10, "c"), at(100, "x")};
  const Lines closed = {"6: c 2 @10 [5,10]", "6: b 2 @10 [6,10]", "6: a 2 @10 [8,10]", "late 0, dropped 0"};
  CHECK(short_replay(aggregate("session: 5ms", "closed"), lines) == closed);
  CHECK(short_replay(aggregate("session: 5ms", "updates") + ", {suppress: {until: closed}}", lines) == Lines{closed[2], closed[1], closed[0], closed[3]});
}

TEST_CASE("a late record starts no session, unless it merges into a live one") {
  CHECK(short_replay(aggregate("session: 5ms", "every-change"), {at(10, "k"), at(14, "k"), at(8, "j"), at(8, "k")}) ==
        Lines{"0: k 1 @10 [10,10]", "1: k gone @10 [10,10]", "1: k 2 @14 [10,14]", "3: k gone @14 [10,14]", "3: k 3 @14 [8,14]", "late 1, dropped 0"});
}

TEST_CASE("updates are thinned to the last one of a key and window in an epoch, in the order of the last change") {
  pipeline::ReplayOptions options;
  options.epoch_lines = 4;
  CHECK(short_replay(aggregate("tumbling: 10ms, grace: 100ms", "updates"), {at(1, "a"), at(2, "b"), at(11, "a"), at(3, "a"), at(4, "a")}, options) ==
        Lines{"3: b 1 @2 [0,10]", "3: a 1 @11 [10,20]", "3: a 2 @3 [0,10]", "4: a 3 @4 [0,10]", "late 0, dropped 0"});
}

TEST_CASE("a session that came and went within an epoch was never there") {
  pipeline::ReplayOptions options;
  options.epoch_lines = 2;
  CHECK(short_replay(aggregate("session: 5ms, grace: 100ms", "updates"), {at(10, "k"), at(12, "k"), at(11, "k")}, options) ==
        Lines{"1: k 2 @12 [10,12]", "2: k 3 @12 [10,12]", "late 0, dropped 0"});
}

TEST_CASE("a result that having refuses is no row, and takes back the one before") {
  // count(*) > 1 is false for the first record of a window and for none after it.
  CHECK(short_replay(aggregate("tumbling: 10ms", "every-change", ", having: count(*) > 1"), {at(1, "k"), at(2, "k"), at(11, "k")}) == Lines{"1: k 2 @2 [0,10]", "late 0, dropped 0"});
  CHECK(short_replay(aggregate("tumbling: 10ms", "closed", ", having: count(*) > 1"), {at(1, "k"), at(2, "k"), at(11, "k"), at(21, "k")}) == Lines{"2: k 2 @2 [0,10]", "late 0, dropped 0"});
}

TEST_CASE("suppress with a limit lets the latest result through so long after the first, and later ones do not extend it") {
  CHECK(short_replay(aggregate("", "updates") + ", {suppress: {limit: 5ms}}", {at(10, "b"), at(10, "a"), at(14, "a"), at(15, "c"), at(16, "b"), at(20, "c"), at(21, "c")}) ==
        Lines{"3: a 2 @14", "3: b 1 @10", "5: c 2 @20", "6: b 2 @16", "late 0, dropped 0"});
}

TEST_CASE("a window's bounds are in its value, and steps after an aggregate see it") {
  CHECK(replayed(aggregate("tumbling: 10ms", "closed") + ", {where: n > 1}, {set: {twice: n * 2}}", {at(1, "k"), at(2, "k"), at(3, "j"), at(10, "j")})[0] ==
        R"({"topic":"out","key":"k","value":{"n":2,"window_start":0,"window_end":10,"twice":4},"ts":2,"window":{"start":0,"end":10},"after":3})");
}

TEST_CASE("late records go to their topic, once each") {
  const Lines lines = replayed(aggregate("hopping: {size: 10ms, advance: 5ms}", "closed", ", late: {topic: tardy}"), {at(100, "k"), at(8, "k", "{\"v\":7}")});
  REQUIRE(lines.size() == 2);
  CHECK(lines[0] == R"({"topic":"tardy","key":"k","value":{"v":7},"ts":8,"after":1})");
  CHECK(in_short(lines[1]) == "late 2, dropped 0");
}
