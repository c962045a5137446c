// What each aggregate function means, with hostile values.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "tests/unit/pipeline/aggregate_fixture.h"

using namespace rivulet;
using namespace rivulet::pipeline;

TEST_CASE("count(*) counts records, tombstones too, and count(x) what is not null") {
  AggregateFixture both(Fields{{"all", "count(*)"}, {"some", "count(x)"}, {"none", "count()"}});
  both.windowed = false;
  CHECK(both.whole() == R"({"all":0,"some":0,"none":0})");
  for (const char* record : {R"({"x":1})", R"({"x":null})", R"({"y":1})", "null", R"({"x":false})", R"({"x":{"a":1}})"}) REQUIRE(both.add(record));
  CHECK(both.whole() == R"({"all":6,"some":3,"none":6})");
}

TEST_CASE("sums of integers are exact integers, beyond 64 bits too") {
  CHECK(result_of("sum(x)", {"1", "2", "-4"}) == "-1");
  CHECK(result_of("sum(x)", {"9223372036854775807", "9223372036854775807", "1"}) == "18446744073709551615");
  CHECK(result_of("sum(x)", {"-9223372036854775808", "-9223372036854775808"}) == "-18446744073709551616");
  CHECK(result_of("sum(x)", {"9223372036854775807", "9223372036854775807", "-9223372036854775807"}) == "9223372036854775807");
  CHECK(result_of("avg(x)", {"9223372036854775807", "9223372036854775807"}) == "9.223372036854776e+18");
  std::vector<std::string> many(3000, "9223372036854775807");
  CHECK(result_of("sum(x)", many) == "27670116110564327421000");
}

TEST_CASE("sums of reals lose nothing on the way, and mixed ones are real") {
  CHECK(result_of("sum(x)", {"1e17", "1.0", "-1e17"}) == "1.0");
  CHECK(result_of("sum(x)", std::vector<std::string>(10, "0.1")) == "1.0");
  CHECK(result_of("sum(x)", {"1", "0.5"}) == "1.5");
  CHECK(result_of("sum(x)", {"9007199254740993", "0.0", "-9007199254740993"}) == "0.0");
  CHECK(result_of("avg(x)", {"1", "2"}) == "1.5");
  CHECK(result_of("avg(x)", {"2", "2"}) == "2.0");
}

TEST_CASE("an aggregate that saw only nulls is null, a count is 0") {
  for (const char* name : {"sum", "avg", "min", "max", "first", "last", "delta", "collect", "collect_set", "stddev", "stddev_pop", "variance", "var_pop", "median", "time_weighted_avg"})
    CHECK(result_of(name + std::string("(x)"), {"null", "null"}) == "null");
  for (const char* expression : {"percentile(x, 5)", "topk(x, 2)", "histogram(x, 1)", "rate(x)"}) CHECK(result_of(expression, {"null"}) == "null");
  CHECK(result_of("count(x)", {"null"}) == "0");
  CHECK(result_of("count_distinct(x)", {"null"}) == "0");
}

TEST_CASE("true counts as 1, text that is a number as the number") {
  CHECK(result_of("sum(x)", {"true", "false", "true"}) == "2");
  CHECK(result_of("avg(x)", {"true", "false"}) == "0.5");
  CHECK(result_of("sum(x)", {"\"12\"", "\" 3.5 \""}) == "15.5");
  CHECK(result_of("sum(x)", {"\"+12\"", "\"-1e1\""}) == "2.0");
  CHECK(result_of("max(x)", {"false", "true"}) == "1");
}

TEST_CASE("text that came without JSON is text, and a number where it reads as one") {
  AggregateFixture raw(Fields{{"s", "sum(value)"}, {"m", "max(value)"}, {"f", "first(value)"}, {"l", "collect(value)"}});
  raw.windowed = false;
  for (const std::string_view text : {"12", "7.5"}) {
    Row row;
    row.bytes = text;
    row.fields.push_back({"value", "\"value\"", text, true});
    REQUIRE(raw.aggregates->take(row));
    raw.aggregates->add(raw.state, ++raw.arrival);
  }
  CHECK(raw.whole() == R"({"s":19.5,"m":"7.5","f":"12","l":["12","7.5"]})");
  Row row;
  row.fields.push_back({"value", "\"value\"", "", true});
  CHECK_FALSE(raw.aggregates->take(row));
}

TEST_CASE("what cannot be summed fails at its record with its reason, and changes nothing") {
  CHECK_THAT(failure_of("sum(x)", "\"warm\""), ContainsSubstring("sum(x): \"warm\" is text, expected a number"));
  CHECK_THAT(failure_of("avg(x)", "\"\""), ContainsSubstring("expected a number"));
  CHECK_THAT(failure_of("avg(x)", "\"inf\""), ContainsSubstring("expected a number"));
  CHECK_THAT(failure_of("sum(x)", "{\"a\":1}"), ContainsSubstring("an object or an array"));
  CHECK_THAT(failure_of("sum(x)", "[1]"), ContainsSubstring("an object or an array"));
  CHECK_THAT(failure_of("sum(x)", "1e308"), ContainsSubstring("1e308 is beyond"));
  CHECK_THAT(failure_of("sum(x)", "1e999"), ContainsSubstring("beyond"));
  CHECK_THAT(failure_of("sum(x)", "\"-1e999\""), ContainsSubstring("beyond"));
  CHECK_THAT(failure_of("stddev(x)", "1e150"), ContainsSubstring("1e140"));
  CHECK(failure_of("sum(x)", "1e150") == "no failure");
  CHECK_THAT(failure_of("max(x)", "{\"a\":1}"), ContainsSubstring("an object"));
  CHECK_THAT(failure_of("min(x)", "-1e300"), ContainsSubstring("beyond"));
  CHECK_THAT(failure_of("first(x)", "\"" + std::string(70'000, 'a') + "\""), ContainsSubstring("64 KiB"));
  CHECK_THAT(failure_of("max(x)", "\"" + std::string(70'000, 'a') + "\""), ContainsSubstring("64 KiB"));
  CHECK(failure_of("count(x)", "\"" + std::string(70'000, 'a') + "\"") == "no failure");

  AggregateFixture three(Fields{{"n", "count(*)"}, {"s", "sum(x + 0)"}, {"m", "max(y)"}});
  REQUIRE(three.add(R"({"x":1,"y":2})"));
  const std::string before = three.bytes();
  CHECK_FALSE(three.add(R"({"x":"9223372036854775807","y":{}})"));
  CHECK_FALSE(three.add(R"({"x":1e999,"y":1})"));
  CHECK(three.bytes() == before);
}

TEST_CASE("min and max follow SQLite's order: numbers, then text by its bytes") {
  CHECK(result_of("min(x)", {"3", "2.5", "10"}) == "2.5");
  CHECK(result_of("max(x)", {"3", "2.5", "10"}) == "10");
  CHECK(result_of("min(x)", {"2.0", "2", "2.0"}) == "2");
  CHECK(result_of("max(x)", {"3", "\"a\"", "10"}) == "\"a\"");
  CHECK(result_of("min(x)", {"\"a\"", "\"B\"", "\"\""}) == "\"\"");
  CHECK(result_of("min(x)", {"\"a\"", "5", "\"b\""}) == "5");
  CHECK(result_of("max(x)", {"\"b\"", "\"\\u00e4\"", "\"z\""}) == "\"\xC3\xA4\"");
  CHECK(result_of("max(x)", {"9223372036854775807", "9223372036854775808"}) == "9.223372036854776e+18");
  CHECK(result_of("min(x)", {"9223372036854775807", "9223372036854775808"}) == "9223372036854775807");
  CHECK(result_of("max(x)", {"9007199254740993", "9007199254740992.0"}) == "9007199254740993");
}

TEST_CASE("first and last copy the token as it came, by arrival") {
  CHECK(result_of("first(x)", {"null", "21.50", "1"}) == "21.50");
  CHECK(result_of("last(x)", {"1", "12345678901234567890123", "null"}) == "12345678901234567890123");
  CHECK(result_of("last(x)", {"1", "{\"a\": [1, 2, 3], \"b\": true}"}) == "{\"a\": [1, 2, 3], \"b\": true}");
  CHECK(result_of("first(x)", {"true"}) == "true");
  CHECK(result_of("first(x > 1)", {"2"}) == "true");
  AggregateFixture a("first(x) || last(x)");
  AggState later = a.aggregates->fresh(), earlier = a.aggregates->fresh();
  REQUIRE(a.take(R"({"x":"late and rather long"})"));
  a.aggregates->add(later, 9);
  REQUIRE(a.take(R"({"x":"early"})"));
  a.aggregates->add(earlier, 3);
  a.aggregates->merge(a.state, later);
  a.aggregates->merge(a.state, earlier);
  CHECK(a.result_text() == "\"earlylate and rather long\"");
}

TEST_CASE("collect lists what is not null in the order of arrival, collect_set each value once") {
  CHECK(result_of("collect(x)", {"1", "null", "\"a\"", "1", "{\"b\":2}"}) == R"([1,"a",1,{"b":2}])");
  CHECK(result_of("collect_set(x)", {"1", "1.0", "\"1\"", "true", "\"a\"", "\"\\u0061\"", "2.50", "2.5"}) == R"([1,"1","a",2.50])");
  CHECK(result_of("collect_set(x)", {"12345678901234567890123", "12345678901234567890124", "1e400", "1e401"}) == "[12345678901234567890123,12345678901234567890124,1e400,1e401]");
}

TEST_CASE("collect keeps the first 1,000 values and 64 KiB and counts what it leaves out") {
  AggregateFixture many("collect(x)");
  for (int i = 0; i < 1005; ++i) many.values({std::to_string(i)});
  const std::string text = many.result_text();
  CHECK(std::count(text.begin(), text.end(), ',') == 999);
  CHECK(text.substr(text.size() - 5) == ",999]");
  CHECK(many.aggregates->left_out() == 5);
  AggregateFixture large("collect(x)");
  const std::string word = "\"" + std::string(29'998, 'a') + "\"";
  large.values({word, word, word, "1"});
  CHECK(large.result_text().size() == 2 * 30'000 + 3);
  CHECK(large.aggregates->left_out() == 2);
  CHECK(large.aggregates->size_bytes(large.state) < 100'000);
}

TEST_CASE("count_distinct is exact up to 1,024 values and within some per cent beyond", "[slow]") {
  CHECK(result_of("count_distinct(x)", {"1", "1.0", "true", "\"1\"", "null", "\"a\"", "\"a\""}) == "3");
  AggregateFixture exact("count_distinct(x)");
  for (int round = 0; round < 2; ++round)
    for (int i = 0; i < 1024; ++i) exact.values({std::to_string(i)});
  CHECK(exact.result_text() == "1024");
  AggregateFixture estimated("count_distinct(x)");
  for (int i = 0; i < 50'000; ++i) {
    estimated.values({"\"device-" + std::to_string(i % 25'000) + "\""});
    if (i != 1024 && i != 1999 && i != 9999 && i != 49'999) continue;
    const double counted = std::atof(estimated.result_text().c_str()), real = std::min(i + 1, 25'000);
    CHECK(std::fabs(counted - real) / real < 0.04);
  }
  CHECK(estimated.aggregates->size_bytes(estimated.state) < 9000);
}

TEST_CASE("stddev and variance are of a sample, stddev_pop and var_pop of all") {
  const std::vector<std::string> values = {"2", "4", "4", "4", "5", "5", "7", "9"};
  CHECK(result_of("stddev_pop(x)", values) == "2.0");
  CHECK(result_of("var_pop(x)", values) == "4.0");
  CHECK(result_of("round(variance(x), 6)", values) == "4.571429");
  CHECK(result_of("round(stddev(x), 6)", values) == "2.13809");
  CHECK(result_of("stddev(x)", {"5"}) == "null");
  CHECK(result_of("stddev_pop(x)", {"5"}) == "0.0");
  CHECK(result_of("var_pop(x)", {"1000000000001", "1000000000003"}) == "1.0");
}

TEST_CASE("percentile is within 1 % of the values it lies between, exact at both ends") {
  AggregateFixture all(Fields{{"p0", "percentile(x, 0)"}, {"p50", "median(x)"}, {"p95", "percentile(x, 95)"}, {"p100", "percentile(x, 100)"}});
  for (int i = 1; i <= 1001; ++i) all.values({std::to_string((i * 787) % 1001 + 1)});
  const auto parsed = all.whole();
  double p50 = 0, p95 = 0;
  REQUIRE(std::sscanf(parsed.c_str(), R"({"p0":1.0,"p50":%lf,"p95":%lf,"p100":1001.0,)", &p50, &p95) == 2);
  CHECK(std::fabs(p50 - 501) <= 5.01);
  CHECK(std::fabs(p95 - 951) <= 9.51);
  CHECK(result_of("median(x)", {"1", "2"}) == "1.5");
  CHECK(result_of("median(x)", {"7"}) == "7.0");
  CHECK(result_of("median(x)", {"-5", "0", "5"}) == "0.0");
  CHECK(result_of("percentile(x, 50)", {"-1e280", "0", "0", "0", "1e280"}) == "0.0");
  const double low = std::atof(result_of("percentile(x, 25)", {"-100", "-90", "-80", "-70", "-60"}).c_str());
  CHECK(std::fabs(low + 90) <= 0.9);
  AggregateFixture wide("percentile(x, 99)");
  for (int i = -280; i < 280; ++i) wide.values({"1e" + std::to_string(i), "-1e" + std::to_string(i)});
  CHECK(wide.aggregates->size_bytes(wide.state) < 80'000);
}

TEST_CASE("topk lists the highest numbers, the highest first") {
  CHECK(result_of("topk(x, 3)", {"5", "1", "9", "null", "7.5", "7.5"}) == "[9,7.5,7.5]");
  CHECK(result_of("topk(x, 3)", {"5"}) == "[5]");
  CHECK_THAT(failure_of("topk(x, 3)", "\"a\""), ContainsSubstring("expected a number"));
}

TEST_CASE("histogram counts below each bound, a value on a bound in the bucket above") {
  CHECK(result_of("histogram(x, 10, 20)", {"9.99", "10", "19", "20", "1000", "-5", "null"}) == "[2,2,2]");
}

TEST_CASE("rate is per second of the window") {
  AggregateFixture both(Fields{{"n", "rate(*)"}, {"s", "rate(x)"}});
  both.values({"5", "null", "15"});
  CHECK(both.whole() == R"({"n":0.3,"s":2.0,"window_start":10000,"window_end":20000})");
  both.window.end_ms = both.window.start_ms;
  CHECK(both.whole() == R"({"n":null,"s":null,"window_start":10000,"window_end":10000})");
}

TEST_CASE("delta is the last value less the first by event time, of equal times by arrival") {
  AggregateFixture delta("delta(x)");
  REQUIRE(delta.add(R"({"x":50})", 3000));
  CHECK(delta.result_text() == "0");
  REQUIRE(delta.add(R"({"x":10})", 1000));
  REQUIRE(delta.add(R"({"x":99})", 2000));
  CHECK(delta.result_text() == "40");
  REQUIRE(delta.add(R"({"x":60.5})", 3000));
  CHECK(delta.result_text() == "50.5");
  CHECK(result_of("delta(x)", {"-9223372036854775808", "9223372036854775807"}) == "18446744073709551615");
}

TEST_CASE("time_weighted_avg holds each value until the next, the last until the window's end") {
  AggregateFixture mean("time_weighted_avg(x)");
  REQUIRE(mean.add(R"({"x":10})", 12'000));
  CHECK(mean.in_window() == "10.0");
  REQUIRE(mean.add(R"({"x":30})", 18'000));
  CHECK(mean.in_window() == "15.0");
  REQUIRE(mean.add(R"({"x":20})", 14'000));
  CHECK(mean.in_window() == "20.0");
  REQUIRE(mean.add(R"({"x":70})", 18'000));
  CHECK(mean.in_window() == "30.0");
  CHECK(mean.result_text() == "16.666666666666668");
  AggregateFixture instant("time_weighted_avg(x)");
  REQUIRE(instant.add(R"({"x":4})", 5));
  CHECK(instant.result_text() == "4.0");
}

TEST_CASE("time_weighted_avg stays right over many records and leaves out one from far behind") {
  AggregateFixture mean("time_weighted_avg(x)");
  mean.window = {0, 100'000, false};
  for (int i = 1; i <= 5000; ++i) REQUIRE(mean.add("{\"x\":" + std::to_string(i % 10) + "}", i * 10));
  REQUIRE(mean.add(R"({"x":8})", 50'001));
  const double expected = (4.5 * 49'990 - 9 * 0 + 8 * 49'999 + 0) / 99'990;
  CHECK(std::fabs(std::atof(mean.in_window().c_str()) - expected) < 0.01);
  CHECK(mean.aggregates->left_out() == 0);
  CHECK(mean.aggregates->size_bytes(mean.state) < 60'000);
  const std::string before = mean.in_window();
  REQUIRE(mean.add(R"({"x":1000})", 20));
  CHECK(mean.in_window() == before);
  CHECK(mean.aggregates->left_out() == 1);
  REQUIRE(mean.add(R"({"x":0})", 0));
  CHECK(mean.aggregates->left_out() == 1);
  CHECK(std::atof(mean.in_window().c_str()) < std::atof(before.c_str()));
}
