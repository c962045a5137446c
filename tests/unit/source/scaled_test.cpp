#include "agent/source/scaled.h"

#include <cmath>
#include <limits>

#include "tests/support/catch.h"

using namespace rivulet;

namespace {

template <class Raw>
std::string scaled(const char* scale, const char* offset, Raw raw) {
  const auto linear = config::linear_of(scale, offset);
  REQUIRE(linear);
  std::string to;
  source::append_scaled(to, *linear, raw);
  return to;
}

}  // namespace

TEST_CASE("scaled: whole numbers stay exact, up to all 64 bits") {
  CHECK(scaled("1", "0", std::uint64_t{18446744073709551615ULL}) == "18446744073709551615");
  CHECK(scaled("1", "0", std::numeric_limits<std::int64_t>::min()) == "-9223372036854775808");
  CHECK(scaled("0.001", "0", std::uint64_t{18446744073709551615ULL}) == "18446744073709551.615");
  CHECK(scaled("1", "-40", std::int64_t{0}) == "-40");
  CHECK(scaled("10", "5", std::int64_t{-7}) == "-65");
}

TEST_CASE("scaled: a scale with decimals gives the decimals that a person expects, and at least one") {
  CHECK(scaled("0.1", "0", std::int64_t{2301}) == "230.1");
  CHECK(scaled("0.1", "0", std::int64_t{2300}) == "230.0");
  CHECK(scaled("0.01", "0", std::int64_t{-5}) == "-0.05");
  CHECK(scaled("0.125", "0", std::int64_t{6}) == "0.75");
  CHECK(scaled("1e-3", "0", std::int64_t{1}) == "0.001");
  CHECK(scaled("0.03125", "-273.15", std::int64_t{9000}) == "8.1");
  CHECK(scaled("1", "0.5", std::int64_t{1}) == "1.5");
  CHECK(scaled("0.1", "-0.1", std::int64_t{1}) == "0.0");
}

TEST_CASE("scaled: what does not fit 64 bits is computed in doubles") {
  CHECK(scaled("2.5", "0", std::uint64_t{18446744073709551615ULL}) == "4.611686018427388e+19");
  CHECK(scaled("1e30", "0", std::int64_t{2}) == "2e+30");
  CHECK(scaled("0.12345678901234567890123", "0", std::int64_t{2}) == "0.24691357802469135");
}

TEST_CASE("scaled: floats are the shortest text that reads back, and what is no number is null") {
  CHECK(scaled("1", "0", 0.1F) == "0.1");
  CHECK(scaled("1", "0", 230.0F) == "230.0");
  CHECK(scaled("1", "0", 16777216.0F) == "16777216.0");
  CHECK(scaled("1", "0", 0.1) == "0.1");
  CHECK(scaled("1", "0", 1.7976931348623157e308) == "1.7976931348623157e+308");
  CHECK(scaled("1", "0", 5e-324) == "5e-324");
  CHECK(scaled("1", "0", 1.17549435e-38F) == "1.1754944e-38");
  CHECK(scaled("0.1", "0", 2301.0F) == "230.1");
  CHECK(scaled("10", "0", 1.7976931348623157e308) == "null");
  for (const double none : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    CHECK(scaled("1", "0", none) == "null");
    CHECK(scaled("2", "1", static_cast<float>(none)) == "null");
  }
}

TEST_CASE("scaled: what is no number is no scale") {
  for (const char* text : {"", "x", "1x", "nan", "inf", "1e999", "0x10", "--1", "1e"}) {
    INFO(text);
    CHECK_FALSE(config::linear_of(text, "0"));
    CHECK_FALSE(config::linear_of("1", text));
  }
  CHECK(config::linear_of("+0.5", "+1e2"));
}
