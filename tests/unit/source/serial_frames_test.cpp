#include "agent/source/serial/frames.h"

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/seeds.h"

using namespace rivulet;
using source::Frames;

namespace {

using Texts = std::vector<std::string>;

struct Cutter {
  explicit Cutter(const config::SerialSource& given) : config(given), frames(config) { frames.reset(0); }
  // Bytes that come at `now_ms`; what they complete.
  Texts at(std::int64_t now_ms, std::string_view bytes) {
    Texts all;
    frames.add(bytes, now_ms);
    for (std::string_view frame; frames.next(frame);) all.emplace_back(frame);
    const auto more = frames.take_left();
    left.too_long += more.too_long;
    left.incomplete += more.incomplete;
    left.bytes += more.bytes;
    return all;
  }
  config::SerialSource config;
  Frames frames;
  Frames::Left left;
};

config::SerialSource lines(const std::string& delimiter = "\n", std::uint64_t max = 20) {
  config::SerialSource config;
  config.delimiter = delimiter;
  config.max_line_bytes = max;
  return config;
}

config::SerialSource fixed(std::uint32_t length, const std::string& start = "", std::int64_t gap_ms = 100) {
  config::SerialSource config;
  config.fixed = true;
  config.length = length;
  config.start = start;
  config.idle_gap_ms = gap_ms;
  return config;
}

}  // namespace

TEST_CASE("serial frames: a line that had begun before the port was opened is left out, the next one is whole") {
  Cutter cutter(lines());
  CHECK(cutter.at(5, "23.5 kg\r\n+0124.0 kg\r\n") == Texts{"+0124.0 kg"});
  CHECK(cutter.left.incomplete == 1);
}

TEST_CASE("serial frames: after silence the first line is whole, too") {
  Cutter cutter(lines());
  CHECK(cutter.at(100, "0123.5 kg\n") == Texts{"0123.5 kg"});
  CHECK(cutter.left.incomplete == 0);
}

TEST_CASE("serial frames: without an idle gap only a delimiter tells where the first line begins") {
  auto config = lines();
  config.idle_gap_ms = 0;
  Cutter cutter(config);
  CHECK(cutter.at(3'600'000, "a\nb\n") == Texts{"b"});
}

TEST_CASE("serial frames: silence within a later line changes nothing") {
  Cutter cutter(lines());
  CHECK(cutter.at(200, "ab") == Texts{});
  CHECK(cutter.at(9000, "cd\n\n\r\nx\n") == Texts{"abcd", "x"});
  CHECK(cutter.left.incomplete == 0);
}

TEST_CASE("serial frames: any delimiter, CR with or without LF, two bytes, ETX") {
  Cutter cr(lines("\r"));
  CHECK(cr.at(200, "a\rb\r\nc\r") == Texts{"a", "b", "c"});
  Cutter both(lines("\r\n"));
  CHECK(both.at(200, "a\rb\r") == Texts{});
  CHECK(both.at(201, "\nc\n\r\n") == Texts{"a\rb", "c\n"});
  Cutter etx(lines("\x03"));
  CHECK(etx.at(200, "\x02""12\x03\x02""13\x03") == Texts{"\x02""12", "\x02""13"});
}

TEST_CASE("serial frames: a line beyond the limit is left out and counted once, however it comes") {
  Cutter cutter(lines("\r\n", 10));
  const std::string sent = "0123456789\r\n0123456789x\r\nok\r\n" + std::string(5000, 'y') + "\r\nend\r\n";
  CHECK(cutter.at(200, sent) == Texts{"0123456789", "ok", "end"});
  CHECK(cutter.left.too_long == 2);
  Cutter one_by_one(lines("\r\n", 10));
  Texts all;
  for (const char c : sent) {
    for (const auto& line : one_by_one.at(200, {&c, 1})) all.push_back(line);
    CHECK(one_by_one.frames.held_bytes() < 16);
  }
  CHECK(all == Texts{"0123456789", "ok", "end"});
  CHECK(one_by_one.left.too_long == 2);
}

TEST_CASE("serial frames: fixed frames begin after silence, and a byte too few is made good by the next silence") {
  Cutter cutter(fixed(4));
  CHECK(cutter.at(10, "cd") == Texts{});
  CHECK(cutter.at(50, "abcd") == Texts{});  // still no silence
  CHECK(cutter.left.bytes == 6);
  CHECK(cutter.at(200, "abcdefg") == Texts{"abcd"});
  CHECK(cutter.at(220, "h") == Texts{"efgh"});
  CHECK(cutter.at(400, "ijk") == Texts{});
  CHECK(cutter.at(600, "lmno") == Texts{"lmno"});
  CHECK(cutter.left.incomplete == 1);
}

TEST_CASE("serial frames: a start sequence finds the frame, bytes before it are left out and counted") {
  Cutter cutter(fixed(5, "\x42\x4d"));
  CHECK(cutter.at(1, "xx\x42") == Texts{});
  CHECK(cutter.at(2, "\x42\x4d""abc??\x42\x4d""de") == Texts{"\x42\x4d""abc"});
  CHECK(cutter.left.bytes == 5);
  CHECK(cutter.at(3, "f") == Texts{"\x42\x4d""def"});
  CHECK(cutter.at(4, "\x42\x4dg") == Texts{});
  CHECK(cutter.at(500, "\x42\x4dhij") == Texts{"\x42\x4dhij"});
  CHECK(cutter.left.incomplete == 1);
}

TEST_CASE("serial frames: a pause of the reader is no silence of the device") {
  Cutter cutter(fixed(4));
  CHECK(cutter.at(200, "ab") == Texts{});
  cutter.frames.listen(9000);
  CHECK(cutter.at(9001, "cd") == Texts{"abcd"});
}

TEST_CASE("serial frames: a frame that has no room comes again") {
  Cutter cutter(lines());
  cutter.frames.add("a\nb\n", 200);
  std::string_view frame;
  REQUIRE(cutter.frames.next(frame));
  cutter.frames.put_back();
  REQUIRE(cutter.frames.next(frame));
  CHECK(frame == "a");
  REQUIRE(cutter.frames.next(frame));
  CHECK(frame == "b");
  CHECK_FALSE(cutter.frames.next(frame));
}

TEST_CASE("serial frames: what is unfinished when the port is lost is no frame") {
  Cutter cutter(lines());
  CHECK(cutter.at(200, "a\nhalf") == Texts{"a"});
  cutter.frames.lost();
  cutter.frames.reset(300);
  CHECK(cutter.at(500, "b\n") == Texts{"b"});
  CHECK(cutter.left.incomplete == 1);
}

TEST_CASE("serial frames: garbage in any pieces gives what it gives as a whole, and nothing is kept beyond the bound", "[slow]") {
  test::each_seed(200, [](std::uint64_t seed) {
    test::Random random(seed);
    const config::SerialSource kinds[] = {lines("\n", 16), lines("ab", 16), fixed(7, "ab", 0), fixed(9)};
    const config::SerialSource& kind = kinds[seed % 4];
    std::string sent;
    for (int i = 0; i < 2000; ++i) sent += "ab\n\r\0x"[random.below(6)];
    Cutter whole(kind), pieces(kind);
    const Texts expected = whole.at(200, sent);
    Texts all;
    for (std::size_t begin = 0; begin < sent.size();) {
      const std::size_t size = std::min<std::size_t>(1 + random.below(40), sent.size() - begin);
      for (const auto& frame : pieces.at(200, std::string_view(sent).substr(begin, size))) all.push_back(frame);
      CHECK(pieces.frames.held_bytes() <= 20);
      begin += size;
    }
    REQUIRE(all == expected);
    CHECK(pieces.left.too_long == whole.left.too_long);
    CHECK(pieces.left.bytes == whole.left.bytes);
  });
}
