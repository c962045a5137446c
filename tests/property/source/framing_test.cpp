// Random frames, cut at random places, with random refusals, come out as they went in.
#include "agent/source/framing.h"

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "agent/base/bytes.h"
#include "tests/support/seeds.h"

using rivulet::source::Framer;

namespace {

constexpr std::uint64_t limit = 300;

struct Stream {
  std::string bytes;
  std::vector<std::string> frames;  // that have to come out
  std::uint64_t skipped = 0;
};

Stream make(std::mt19937_64& random, Framer::Kind kind, bool with_long_lines) {
  Stream stream;
  const auto count = random() % 60;
  for (std::uint64_t i = 0; i < count; ++i) {
    const bool too_long = with_long_lines && random() % 10 == 0;
    std::string frame(too_long ? limit + 1 + random() % 1000 : random() % (limit + 1), '\0');
    for (auto& c : frame) c = static_cast<char>(random());
    if (kind == Framer::Kind::length) {
      rivulet::put_u32_be(stream.bytes, static_cast<std::uint32_t>(frame.size()));
      stream.bytes += frame;
    } else {
      for (auto& c : frame) c = c == '\n' || c == '\r' ? 'n' : c;
      stream.bytes += frame + (random() % 2 == 0 ? "\n" : "\r\n");
    }
    if (too_long) {
      ++stream.skipped;
    } else {
      stream.frames.push_back(frame);
    }
  }
  return stream;
}

void run(std::uint64_t seed) {
  INFO("RIVULET_SEED=" << seed);
  std::mt19937_64 random(seed);
  const auto kind = random() % 2 == 0 ? Framer::Kind::newline : Framer::Kind::length;
  const bool skip = kind == Framer::Kind::newline && random() % 2 == 0;
  const Stream stream = make(random, kind, skip);
  Framer framer(kind, limit, skip ? Framer::TooLong::skip : Framer::TooLong::fail);
  std::vector<std::string> got;
  const Framer::OnFrame each = [&](std::string_view frame) {
    const auto dice = random() % 16;
    if (dice == 0) return Framer::Verdict::refused;
    got.emplace_back(frame);
    return dice == 1 ? Framer::Verdict::taken_and_stop : Framer::Verdict::taken;
  };
  std::uint64_t skipped = 0;
  const std::uint64_t widest = 1 + random() % 700;
  for (std::size_t at = 0; at < stream.bytes.size();) {
    const std::size_t width = 1 + random() % widest;
    auto status = framer.feed(std::string_view(stream.bytes).substr(at, width), each);
    at += width;
    while (status == Framer::Status::stopped) status = framer.resume(each);
    REQUIRE(status == Framer::Status::more);
    if (random() % 4 == 0) framer.shrink();
    REQUIRE(framer.held_bytes() <= 2 * (limit + 64) + 2 * widest);
    skipped += framer.take_skipped();
  }
  REQUIRE(got == stream.frames);
  REQUIRE(skipped == stream.skipped);
  REQUIRE(framer.rest().empty());
}

}  // namespace

TEST_CASE("framing: any frames cut anywhere come out as they went in") {
  rivulet::test::each_seed(2000, run);
}

TEST_CASE("framing: any bytes at all are a frame, an error, or waited for") {
  rivulet::test::each_seed(2000, [](std::uint64_t seed) {
    std::mt19937_64 random(seed);
    Framer framer(random() % 2 == 0 ? Framer::Kind::newline : Framer::Kind::length, limit);
    std::uint64_t frame_bytes = 0, fed = 0;
    const Framer::OnFrame each = [&](std::string_view frame) {
      frame_bytes += frame.size();
      return Framer::Verdict::taken;
    };
    auto status = Framer::Status::more;
    while (status == Framer::Status::more && fed < 5000) {
      std::string chunk(random() % 400, '\0');
      for (auto& c : chunk) c = static_cast<char>(random() % 3 == 0 ? 0 : random() % 12);
      fed += chunk.size();
      status = framer.feed(chunk, each);
    }
    REQUIRE(status != Framer::Status::stopped);
    REQUIRE(frame_bytes + framer.rest().size() <= fed);
  });
}
