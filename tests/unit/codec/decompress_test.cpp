#include "agent/codec/decompress.h"

#include <vector>

#include "tests/support/compressed.h"
#include "tests/support/seeds.h"

using namespace rivulet;
using codec::Compression;
using codec::Decompressor;

namespace {

struct Read {
  std::string text, error;
  bool at_end = false;
};

Read read(Compression compression, std::string_view bytes, std::size_t in_chunk, std::size_t out_chunk, std::size_t most = SIZE_MAX) {
  const auto decompressor = Decompressor::make(compression);
  Read all;
  std::vector<char> out(out_chunk);
  for (;;) {
    const auto step = decompressor->run(bytes.substr(0, in_chunk), out);
    if (!step) {
      all.error = step.error().message;
      return all;
    }
    if (step->made > out_chunk) FAIL("more than there is room for");
    all.text.append(out.data(), step->made);
    bytes.remove_prefix(step->used);
    if ((bytes.empty() && step->made == 0) || all.text.size() > most) break;
  }
  all.at_end = decompressor->at_end();
  return all;
}

std::string lines(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "line " + std::to_string(i * 7919 % 1000) + "\n";
  return text;
}

}  // namespace

TEST_CASE("decompress: gzip and zstd come out whole, in whatever pieces, also several members", "[slow]") {
  const std::string one = lines(20'000), two = lines(3);
  for (const bool gz : {true, false}) {
    const auto packed = [&](std::string_view text) { return gz ? test::gzip(text) : test::zstd(text); };
    const Compression compression = gz ? Compression::gzip : Compression::zstd;
    const std::string bytes = packed(one) + packed("") + packed(two);
    CHECK(codec::compression_of(bytes) == compression);
    for (const std::size_t in : {std::size_t{1}, std::size_t{1000}, std::size_t{1} << 20})
      for (const std::size_t out : {std::size_t{1}, std::size_t{777}, std::size_t{65536}}) {
        if (in * out == 1) continue;
        const Read all = read(compression, bytes, in, out);
        CHECK(all.error.empty());
        CHECK((all.text == one + two && all.at_end));
      }
    CHECK_FALSE(read(compression, std::string_view(bytes).substr(0, packed(one).size() - 1), 1000, 1000).at_end);
    CHECK(read(compression, "", 1, 1).at_end);
  }
}

TEST_CASE("decompress: damage is an error or a member that does not end, never another text that is taken for whole") {
  const std::string text = lines(2000);
  test::each_seed(400, [&](std::uint64_t seed) {
    test::Random random(seed);
    const bool gz = random.one_in(2);
    std::string bytes = gz ? test::gzip(text) : test::zstd(text);
    if (random.one_in(3)) bytes.resize(random.below(bytes.size()));
    else bytes[random.below(bytes.size())] ^= static_cast<char>(1 + random.below(255));
    const Read all = read(gz ? Compression::gzip : Compression::zstd, bytes, 4096, 4096, 10 * text.size());
    if (all.error.empty() && all.at_end && !bytes.empty()) CHECK(all.text == text);
  });
}

TEST_CASE("decompress: a bomb fills the room that it is given, and a window beyond 8 MiB is refused") {
  const std::string zeros(50 << 20, '\0');
  const std::string bomb = test::gzip(zeros);
  CHECK(bomb.size() < zeros.size() / 500);
  CHECK(read(Compression::gzip, bomb, SIZE_MAX, 4096, 1 << 20).text.size() <= (1 << 20) + 4096);
  CHECK_THAT(read(Compression::zstd, test::zstd(std::string_view(zeros).substr(0, 1 << 20), 27), 4096, 4096).error, ContainsSubstring("too much memory"));
  CHECK(read(Compression::zstd, test::zstd(std::string_view(zeros).substr(0, 1 << 20), 23), 4096, 4096).at_end);
}
