#include "agent/source/framing.h"

#include <string>
#include <vector>

#include "tests/support/catch.h"

using rivulet::source::Framer;
using Frames = std::vector<std::string>;

namespace {

Framer::OnFrame into(Frames& frames) {
  return [&frames](std::string_view frame) {
    frames.emplace_back(frame);
    return Framer::Verdict::taken;
  };
}

}  // namespace

TEST_CASE("framing: a line cut into single bytes comes out whole") {
  Framer framer(Framer::Kind::newline, 100);
  Frames frames;
  for (const char c : std::string("ab\r\ncd\n")) REQUIRE(framer.feed({&c, 1}, into(frames)) == Framer::Status::more);
  CHECK(frames == Frames{"ab", "cd"});
  CHECK(framer.rest().empty());
}

TEST_CASE("framing: a line of exactly the limit passes, one byte more does not, finished or not") {
  for (const bool cr : {false, true}) {
    const std::string end = cr ? "\r\n" : "\n";
    Frames frames;
    Framer exact(Framer::Kind::newline, 5);
    CHECK(exact.feed("12345" + end, into(frames)) == Framer::Status::more);
    CHECK(frames == Frames{"12345"});
    Framer more(Framer::Kind::newline, 5);
    CHECK(more.feed("123456" + end, into(frames)) == Framer::Status::too_long);
    Framer unfinished(Framer::Kind::newline, 5);
    CHECK(unfinished.feed("1234567", into(frames)) == Framer::Status::too_long);
  }
}

TEST_CASE("framing: a length beyond the limit is refused before its bytes come") {
  Framer framer(Framer::Kind::length, 5);
  Frames frames;
  CHECK(framer.feed(std::string("\0\0\0\5abcde\0\0\0", 12), into(frames)) == Framer::Status::more);
  CHECK(framer.feed("\6", into(frames)) == Framer::Status::too_long);
  CHECK(frames == Frames{"abcde"});
}

TEST_CASE("framing: lines beyond the limit are left out and counted when asked to") {
  Framer framer(Framer::Kind::newline, 3, Framer::TooLong::skip);
  Frames frames;
  framer.feed("abc\nabcd\nabcdefgh", into(frames));
  CHECK(framer.take_skipped() == 1);
  CHECK(framer.skipping());
  framer.feed("ijk", into(frames));
  framer.feed("lm\nno\n", into(frames));
  CHECK(framer.take_skipped() == 1);
  CHECK(frames == Frames{"abc", "no"});
}

TEST_CASE("framing: a refused frame comes again at resume, once") {
  Framer framer(Framer::Kind::newline, 100);
  Frames frames;
  int room = 1;
  const Framer::OnFrame limited = [&](std::string_view frame) {
    if (room == 0) return Framer::Verdict::refused;
    --room;
    frames.emplace_back(frame);
    return Framer::Verdict::taken;
  };
  CHECK(framer.feed("a\nb\nc\nd", limited) == Framer::Status::stopped);
  CHECK(framer.resume(limited) == Framer::Status::stopped);
  room = 1;
  CHECK(framer.resume(limited) == Framer::Status::stopped);
  room = 5;
  CHECK(framer.resume(limited) == Framer::Status::more);
  CHECK(framer.feed("e\n", limited) == Framer::Status::more);
  CHECK(frames == Frames{"a", "b", "c", "de"});
}

TEST_CASE("framing: the memory of a long frame is given back") {
  Framer framer(Framer::Kind::newline, 1'000'000);
  Frames frames;
  framer.feed(std::string(500'000, 'x'), into(frames));
  CHECK(framer.held_bytes() >= 500'000);
  framer.feed("\n", into(frames));
  framer.shrink();
  CHECK(framer.held_bytes() < 1000);
  CHECK(frames.size() == 1);
}
