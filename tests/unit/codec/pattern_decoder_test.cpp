#include "tests/unit/codec/decoded.h"

using namespace rivulet;
using rivulet::test::Texts;

namespace {

Texts by(const std::string& pattern, std::string_view frame, bool guess = true) {
  auto decoder = codec::make_pattern_decoder(pattern, guess);
  REQUIRE(decoder);
  return test::decoded(**decoder, frame);
}
std::string problem(const std::string& pattern) {
  auto decoder = codec::make_pattern_decoder(pattern, true);
  return decoder ? "" : decoder.error().message;
}

}  // namespace

TEST_CASE("pattern: named groups become fields in their order, those that took no part are null") {
  CHECK(by("^(?<level>[A-Z]+) (?<text>.*)$", "WARN it's \"hot\"") == Texts{R"({"level":"WARN","text":"it's \"hot\""})"});
  CHECK(by("(?<z>\\d+)(?<a>x)?(?<n>y*)", "17") == Texts{R"({"z":17,"a":null,"n":""})"});
  CHECK(by("(?<z>\\d+)", "17", false) == Texts{R"({"z":"17"})"});
  CHECK(by("^(?<c>.)$", "\xE2\x82\xAC") == Texts{"{\"c\":\"\xE2\x82\xAC\"}"});
}

TEST_CASE("pattern: what does not match, is no UTF-8 or takes too many steps is undecodable, a blank line is nothing") {
  CHECK(by("^(?<a>\\d)$", "x") == Texts{"wrong: it does not match the pattern"});
  CHECK(by("^(?<a>.)$", "\xFF") == Texts{"wrong: not valid UTF-8"});
  CHECK(by("^(?<a>\\d)$", " \r\n") == Texts{"nothing"});
  CHECK(by("^(?<a>(x+x+)+)[yz]$", std::string(40, 'x')) == Texts{"wrong: the pattern gave up on it: match limit exceeded"});
  CHECK_THAT(by("^(?<a>(?:(?:a|b)(?R)?)*)$", std::string(100'000, 'a')).at(0), ContainsSubstring("wrong: the pattern gave up on it: "));
}

TEST_CASE("pattern: a pattern that cannot be meant is refused with its place") {
  CHECK(problem("(?<a>") == "is no regular expression: missing closing parenthesis at character 5");
  CHECK_THAT(problem("(a)"), ContainsSubstring("names no group"));
  CHECK(problem("(?J)(?<a>x)|(?<a>y)") == "names the group 'a' twice");
  CHECK_THAT(problem("(?<a>\\C)"), ContainsSubstring("is no regular expression"));
  CHECK_THAT(problem("\xFF"), ContainsSubstring("UTF-8"));
  CHECK_THAT(problem("(?<a>" + std::string(20'000, 'x') + ")"), ContainsSubstring("longer than"));
}
