#include "agent/base/words.h"

#include <cstdint>

#include "tests/support/catch.h"

using namespace rivulet;

TEST_CASE("words: a whole number is digits and nothing else, within its type") {
  std::uint16_t port = 7;
  CHECK(whole_number("65535", port));
  CHECK(port == 65'535);
  for (const char* text : {"", "65536", "-1", "+1", " 1", "1 ", "1x", "0x1"}) {
    port = 7;
    INFO("'" << text << "'");
    CHECK_FALSE(whole_number(text, port));
  }
  std::int64_t number = 0;
  CHECK(whole_number("-9223372036854775808", number));
  CHECK(number == INT64_MIN);
}

TEST_CASE("words: numbers and words are taken off the front") {
  std::string_view text = "12ab rest of it";
  int number = 0;
  CHECK(take_number(text, number));
  CHECK(number == 12);
  CHECK_FALSE(take_number(text, number));
  CHECK(text == "ab rest of it");
  CHECK(take_number(text, number, 16));
  CHECK(number == 0xab);
  CHECK(next_word(text).empty());
  CHECK(next_word(text) == "rest");
  CHECK(next_word(text) == "of");
  CHECK(next_word(text) == "it");
  CHECK(next_word(text).empty());
}
