#include "agent/base/bytes.h"

#include <limits>

#include "agent/base/clock.h"
#include "agent/base/ids.h"
#include "tests/support/catch.h"

using namespace rivulet;

TEST_CASE("integers of every size come back as they were put") {
  for (const std::uint64_t value : {0ULL, 1ULL, 127ULL, 128ULL, 16'383ULL, 16'384ULL, (1ULL << 63) - 1, 1ULL << 63, ~0ULL}) {
    std::string bytes;
    put_varint(bytes, value);
    put_zigzag(bytes, static_cast<std::int64_t>(value));
    put_u64_be(bytes, value);
    put_u32_be(bytes, static_cast<std::uint32_t>(value));
    put_u16_be(bytes, static_cast<std::uint16_t>(value));
    put_sized(bytes, "abc");
    Reader reader(bytes);
    CHECK(reader.varint() == value);
    CHECK(reader.zigzag() == static_cast<std::int64_t>(value));
    CHECK(reader.u64_be() == value);
    CHECK(reader.u32_be() == static_cast<std::uint32_t>(value));
    CHECK(reader.u16_be() == static_cast<std::uint16_t>(value));
    CHECK(reader.sized() == "abc");
    CHECK(reader.ok());
    CHECK(reader.at_end());
  }
}

TEST_CASE("a reader that ran out stays failed and gives zeros") {
  Reader cut(std::string_view("\x80", 1));
  CHECK(cut.varint() == 0);
  CHECK_FALSE(cut.ok());
  CHECK(cut.u8() == 0);
  Reader too_long(std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10));
  too_long.varint();
  CHECK_FALSE(too_long.ok());
  Reader size(std::string_view("\x05" "ab", 3));
  CHECK(size.sized().empty());
  CHECK_FALSE(size.ok());
}

TEST_CASE("a length beyond 32 bits is not taken for its lower half") {
  for (const std::uint64_t length : {(std::uint64_t{1} << 32) + 2, (std::uint64_t{7} << 32), UINT64_MAX}) {
    std::string text;
    put_varint(text, length);
    text += "abcd";
    Reader sized(text);
    CHECK(sized.sized().empty());
    CHECK_FALSE(sized.ok());
    Reader bytes("abcd");
    CHECK(bytes.bytes(length).empty());
    CHECK_FALSE(bytes.ok());
  }
}

TEST_CASE("a UUID survives its text, and what is none is refused") {
  const Uuid id = Uuid::random();
  CHECK(Uuid::parse(id.text()) == id);
  CHECK(Uuid::from_bytes(id.view()) == id);
  CHECK(id.text()[14] == '4');
  CHECK(Uuid::random() != id);
  for (const char* text : {"", "x", "00000000-0000-0000-0000-00000000000g", "00000000x0000-0000-0000-000000000000"}) CHECK_FALSE(Uuid::parse(text));
}

TEST_CASE("a manual clock moves only when told") {
  ManualClock clock(100);
  clock.advance(5);
  CHECK(clock.wall_ms() == 105);
  CHECK(clock.steady_ms() == 5);
  clock.set_wall(1);
  CHECK(clock.wall_ms() == 1);
  CHECK(clock.steady_ms() == 5);
}
