// Expressions inside and over aggregates, having, states as bytes, taking back.
#include "tests/unit/pipeline/aggregate_fixture.h"

using namespace rivulet;
using namespace rivulet::pipeline;

TEST_CASE("expressions stand inside and over aggregates") {
  CHECK(result_of("round(avg(x * 1.8 + 32), 1)", {"10", "20.1"}) == "59.1");
  CHECK(result_of("max(x) - min(x)", {"3", "10", "5"}) == "7");
  CHECK(result_of("max(x)-min(x)", {"3", "10"}) == "7");
  CHECK(result_of("(sum(x))", {"3", "10"}) == "13");
  CHECK(result_of("SUM(x) > 10", {"3", "10"}) == "true");
  CHECK(result_of("count(CASE WHEN x > 4 THEN 1 END)", {"3", "10", "null"}) == "1");
  CHECK(result_of("CASE WHEN count(*) > 1 THEN 'many' ELSE 'one' END", {"3", "10"}) == "\"many\"");
  CHECK(result_of("max(avg(x), 7)", {"1", "2"}) == "7");
  CHECK(result_of("min(max(x, 5))", {"1", "6"}) == "5");
  CHECK(result_of("max(max(x), min(x) + 100)", {"1", "6"}) == "101");
  CHECK(result_of("\"sum\"(\"x\")", {"1"}) == "1");
  CHECK(result_of("coalesce(sum(x), -1)", {"null"}) == "-1");
  CHECK(result_of("sum(x ->> '$.v')", {R"({"v":2})", R"({"v":"3"})"}) == "5");
  CHECK(result_of("42", {}) == "42");
  CHECK(result_of("'sum(x)' || count(*)", {"1"}) == "\"sum(x)1\"");
  CHECK(result_of("sum(x) / 2", {"9223372036854775807", "9223372036854775807"}) == "9.223372036854776e+18");
}

TEST_CASE("a list stays a list inside JSON functions, and is its text for the others") {
  CHECK(result_of("json_object('all', collect(x), 'n', count(*))", {"1", "\"a\""}) == R"({"all":[1,"a"],"n":2})");
  CHECK(result_of("json_array_length(collect_set(x))", {"1", "1", "2"}) == "2");
  CHECK(result_of("topk(x, 2) ->> 1", {"1", "5", "3"}) == "3");
  CHECK(result_of("(collect(x))", {"1"}) == "[1]");
  CHECK(result_of("json_array_length(collect(x))", {"null"}) == "null");
}

TEST_CASE("equal arguments are one and calls share what they can") {
  AggregateFixture one(Fields{{"a", "avg(x+1)"}, {"b", "sum( x + 1 )"}, {"c", "round(avg(x + 1), 2)"}, {"d", "percentile(x, 5)"}, {"e", "median(x)"}, {"f", "percentile(x, 99)"}});
  CHECK(one.aggregates->definition() == "aggregates 1\nquantiles(x)\nsum(x + 1)\n");
  AggregateFixture other(Fields{{"z", "sum(x + 1) * 2"}, {"y", "median(x) + 1"}});
  CHECK(other.aggregates->definition() == one.aggregates->definition());
  REQUIRE(one.add(R"({"x":1})"));
  CHECK(other.aggregates->decode(one.bytes()));
  CHECK(AggregateFixture(Fields{{"a", "histogram(x, 1)"}, {"b", "histogram(x, 2)"}}).aggregates->definition() == "aggregates 1\nhistogram(x, 1)\nhistogram(x, 2)\n");
}

TEST_CASE("the key and the window can stand outside of aggregates") {
  AggregateFixture fixture(Fields{{"who", "key"}, {"label", "key || ':' || window_start"}, {"seconds", "(window_end - window_start) / 1000"}, {"window_end", "window_end"}});
  CHECK(fixture.whole() == R"({"who":"k","label":"k:10000","seconds":10,"window_end":20000,"window_start":10000})");
  CHECK_THAT(problem_of("window_start", false), ContainsSubstring("no window"));
}

TEST_CASE("no field of a result takes the place of the window's own") {
  for (const char* name : {"window_start", "window_end"})
    for (const char* other : {"count(*)", "key", "window_start + 1", "0"}) {
      AggregateFixture fixture(Fields{{name, other}});
      INFO(name << ": " << other);
      REQUIRE(fixture.problems.size() == 1);
      CHECK_THAT(fixture.problems[0].message, ContainsSubstring(std::string("'") + name + "' is a field of the window's own"));
    }
}

TEST_CASE("having keeps results back, and knows the fields of select by their names") {
  for (const char* having : {"count(*) > 1", "n > 1", "n > 1 AND total IS NOT NULL", "key = 'k' AND sum(x) + 0 >= 3"}) {
    AggregateFixture fixture(Fields{{"n", "count(*)"}, {"total", "round(sum(x), 1)"}}, having);
    fixture.windowed = false;
    REQUIRE(fixture.add(R"({"x":1})"));
    CHECK(fixture.whole() == "none");
    REQUIRE(fixture.add(R"({"x":2})"));
    CHECK(fixture.whole() == R"({"n":2,"total":3.0})");
  }
  CHECK(AggregateFixture(Fields{{"n", "count(*)"}}, "sum(x)").whole() == "none");
  const AggregateFixture wrong(Fields{{"n", "count(*)"}}, "x > 1");
  REQUIRE(wrong.problems.size() == 1);
  CHECK(wrong.problems[0].path == "p.steps[0].having");
}

TEST_CASE("an expression over aggregates that fails says which") {
  AggregateFixture fixture(Fields{{"n", "count(*)"}, {"bad", "abs(min(x))"}});
  REQUIRE(fixture.add(R"({"x":-9223372036854775808})"));
  CHECK(fixture.whole() == "error: select.bad: integer overflow");
}

TEST_CASE("what is wrong with an aggregate expression is said before a record comes") {
  CHECK_THAT(problem_of("temperature"), ContainsSubstring("'temperature' stands outside of an aggregate"));
  CHECK_THAT(problem_of("avg(x) + y"), ContainsSubstring("first(y) or last(y)"));
  CHECK_THAT(problem_of("sum(max(x))"), ContainsSubstring("max() inside sum()"));
  CHECK_THAT(problem_of("sum(abs(avg(x)))"), ContainsSubstring("avg() inside sum()"));
  CHECK_THAT(problem_of("averag(x)"), ContainsSubstring("averag"));
  CHECK_THAT(problem_of("sum(unheard(x))"), ContainsSubstring("no such function: unheard"));
  CHECK_THAT(problem_of("group_concat(count(*))"), ContainsSubstring("of SQLite's own aggregates"));
  CHECK_THAT(problem_of("sum(group_concat(x))"), ContainsSubstring("misuse of aggregate"));
  CHECK_THAT(problem_of("sum()"), ContainsSubstring("expected sum(x)"));
  CHECK_THAT(problem_of("sum(*)"), ContainsSubstring("expected sum(x)"));
  CHECK_THAT(problem_of("sum(x, y)"), ContainsSubstring("expected sum(x)"));
  CHECK_THAT(problem_of("sum(,x)"), ContainsSubstring("empty"));
  CHECK_THAT(problem_of("percentile(x)"), ContainsSubstring("percentile(x, 95)"));
  CHECK_THAT(problem_of("percentile(x, 101)"), ContainsSubstring("0 to 100"));
  CHECK_THAT(problem_of("percentile(x, y)"), ContainsSubstring("'y' is a field"));
  CHECK_THAT(problem_of("percentile(x, 'a')"), ContainsSubstring("is no number"));
  CHECK(problem_of("percentile(x, 90 + 5)") == "no problem");
  CHECK_THAT(problem_of("topk(x, 0)"), ContainsSubstring("from 1 to 1000"));
  CHECK_THAT(problem_of("topk(x, 2.5)"), ContainsSubstring("from 1 to 1000"));
  CHECK_THAT(problem_of("histogram(x, 2, 1)"), ContainsSubstring("ascend"));
  CHECK_THAT(problem_of("count(DISTINCT x)"), ContainsSubstring("count_distinct"));
  CHECK_THAT(problem_of("count(*) FILTER (WHERE x > 1)"), ContainsSubstring("CASE WHEN"));
  CHECK_THAT(problem_of("rate(x)", false), ContainsSubstring("needs a window"));
  CHECK_THAT(problem_of("sum(x"), ContainsSubstring("("));
  CHECK_THAT(problem_of("sum(x))"), ContainsSubstring(")"));
  CHECK_THAT(problem_of("sum((SELECT 1))"), ContainsSubstring("SELECT"));
  CHECK_THAT(problem_of("sum(random())"), ContainsSubstring("random"));
  CHECK_THAT(problem_of("sum(x); DROP"), ContainsSubstring(";"));
  CHECK_THAT(problem_of("rivulet_aggregate_0 + sum(x)"), ContainsSubstring("rivulet itself"));
  CHECK_THAT(problem_of(""), ContainsSubstring("empty"));
  std::string many = "count(*)";
  for (int i = 0; i < 201; ++i) many += " + count(*)";
  CHECK_THAT(problem_of(many), ContainsSubstring("more than 200"));
  CHECK_THAT(problem_of("max(x)", true, true), ContainsSubstring("cannot take back"));
  CHECK(problem_of("count(*) + sum(x) + avg(x) + count(x) + json_array_length(collect(x))", true, true) == "no problem");
}

TEST_CASE("what is subtracted was never there") {
  AggregateFixture table(Fields{{"n", "count(*)"}, {"c", "count(x)"}, {"s", "sum(x)"}, {"a", "avg(x)"}, {"l", "collect(x)"}, {"h", "histogram(x, 2)"}}, "", false, true);
  table.windowed = false;
  REQUIRE(table.add(R"({"x":1})"));
  const std::string before = table.whole();
  REQUIRE(table.add(R"({"x":0.1})"));
  REQUIRE(table.add(R"({"x":-9223372036854775808})"));
  REQUIRE(table.add(R"({"x":null})"));
  for (const char* record : {R"({"x":-9223372036854775808})", R"({"x":null})", R"({"x":0.1})"}) {
    REQUIRE(table.take(record));
    table.aggregates->subtract(table.state);
  }
  CHECK(table.whole() == before);
  REQUIRE(table.take(R"({"x":1})"));
  table.aggregates->subtract(table.state);
  CHECK(table.whole() == R"({"n":0,"c":0,"s":null,"a":null,"l":null,"h":null})");
  table.aggregates->subtract(table.state);
  CHECK(table.whole() == R"({"n":0,"c":0,"s":null,"a":null,"l":null,"h":null})");
}

TEST_CASE("a state that was cut, changed, lengthened or written by another definition is refused") {
  AggregateFixture fixture(Fields{{"a", "avg(x)"}, {"n", "count(*)"}, {"l", "collect(x)"}, {"p", "median(x)"}, {"d", "count_distinct(x)"}, {"w", "time_weighted_avg(x)"}});
  for (int i = 0; i < 20; ++i) REQUIRE(fixture.add("{\"x\":" + std::to_string(i * 1.5) + "}", i));
  const std::string bytes = fixture.bytes();
  REQUIRE(fixture.aggregates->decode(bytes));
  for (std::size_t size = 0; size < bytes.size(); ++size) CHECK_FALSE(fixture.aggregates->decode(std::string_view(bytes).substr(0, size)));
  for (std::size_t i = 0; i < bytes.size() * 8; ++i) {
    std::string changed = bytes;
    changed[i / 8] = static_cast<char>(changed[i / 8] ^ (1 << i % 8));
    CHECK_FALSE(fixture.aggregates->decode(changed));
  }
  CHECK_FALSE(fixture.aggregates->decode(bytes + "x"));
  AggregateFixture other("topk(x, 3)");
  CHECK_FALSE(other.aggregates->decode(bytes));
  CHECK(other.aggregates->decode(bytes).error().code == ErrorCode::corrupt);
}

TEST_CASE("a small state takes no memory of its own, and a large step no more than its words") {
  AggregateFixture small(Fields{{"a", "avg(x)"}, {"n", "count(*)"}});
  small.values({"1.5", "2"});
  CHECK(small.aggregates->size_bytes(small.state) == sizeof(AggState));
  CHECK(sizeof(AggState) <= 80);
  CHECK(small.bytes().size() < 32);
  AggregateFixture extremes(Fields{{"a", "min(x)"}, {"b", "max(x)"}, {"c", "last(x)"}});
  extremes.values({"1.5", "2"});
  CHECK(extremes.aggregates->size_bytes(extremes.state) == sizeof(AggState));
  AggregateFixture large(Fields{{"a", "avg(x)"}, {"b", "avg(y)"}, {"c", "stddev(x)"}, {"d", "delta(x)"}});
  CHECK(large.whole() == R"({"a":null,"b":null,"c":null,"d":null,"window_start":10000,"window_end":20000})");
  REQUIRE(large.add(R"({"x":1,"y":2})"));
  CHECK(large.whole() == R"({"a":1.0,"b":2.0,"c":null,"d":0,"window_start":10000,"window_end":20000})");
}
