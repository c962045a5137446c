// What `rivulet top` shows of two answers of /status.
#include "agent/app/json_view.h"
#include "agent/app/printable.h"
#include "agent/app/top/screen.h"
#include "tests/support/catch.h"

namespace rivulet {
namespace {

using app::JsonView;

std::string status(std::uint64_t uptime_ms, std::uint64_t records, std::size_t sources = 1, const std::string& name = "machines") {
  std::string text = R"({"agent":"gw","now_ms":1700000000000,"uptime_ms":)" + std::to_string(uptime_ms) + R"(,"healthy":false,"problems":["the disk is full"],"resident_bytes":12582912,"sources":[)";
  for (std::size_t i = 0; i < sources; ++i)
    text += (i == 0 ? "" : ",") + (R"({"name":")" + name + (i == 0 ? "" : std::to_string(i)) + R"(","type":"mqtt","state":"connected","records":)" + std::to_string(records) + R"(,"bytes":4096,"waiting":false,"events":{"dropped_qos0":3}})");
  return text + R"(],"tables":[],"pipelines":[{"name":"p","in":)" + std::to_string(records) + R"(,"out":7,"late":0,"failed":1}],"totals":{"in":)" + std::to_string(records) +
         R"(,"late":0,"failed":1,"undecodable":0,"stored":5},"store":{"outbox_records":1234567,"outbox_bytes":2048,"used_bytes":96,"limit_bytes":100,"quarantine_records":1},)"
         R"("forward":{"link":"offline","last_error":"no route","forwarded_records":9},"streams":[{"name":"s","topic":"t","last":20,"acknowledged":5,"waiting":15,"bytes":9,"held":"not authorized"}],)"
         R"("last_errors":[{"level":"error","text":"bad \u001b[31m thing","first_ms":1,"last_ms":1700000000000,"count":12}]})";
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const auto& line : lines) text += line + "\n";
  return text;
}

TEST_CASE("rates are of the time between two answers, and unknown with one") {
  CHECK_THAT(joined(app::top_screen("", status(1000, 100), {80, 24, true})), ContainsSubstring(" in -/s"));
  const std::string two = joined(app::top_screen(status(1000, 100), status(3000, 1100), {80, 24, true}));
  CHECK_THAT(two, ContainsSubstring(" in 500/s"));
  CHECK_THAT(two, ContainsSubstring("machines"));
  CHECK_THAT(joined(app::top_screen(status(90'000, 100), status(1000, 5), {80, 24, true})), ContainsSubstring(" in -/s"));  // started anew in between
}

TEST_CASE("problems, a link that is down, held streams and last errors are on a screen of 80 by 24") {
  const auto lines = app::top_screen(status(1000, 100), status(3000, 1100), {80, 24, true});
  const std::string text = joined(lines);
  for (const char* part : {"NEEDS A LOOK", "the disk is full", "link offline", "link: no route", "1.23 M", "held: not authorized", "(12x) bad ?[31m thing", "96 %"}) CHECK_THAT(text, ContainsSubstring(part));
  CHECK(lines.size() <= 24);
}

TEST_CASE("streams of one name have a rate each, and what is gone does not wait") {
  const auto streams = [](std::uint64_t uptime_ms, int good, int slow) {
    return R"({"uptime_ms":)" + std::to_string(uptime_ms) + R"(,"streams":[{"name":"s","topic":"good","last":)" + std::to_string(good) + R"(,"acknowledged":100,"waiting":0},{"name":"s","topic":"slow","last":)" +
           std::to_string(slow) + R"(,"acknowledged":1000,"waiting":4321}]})";
  };
  const auto lines = app::top_screen(streams(1000, 100, 9000), streams(3000, 300, 9040), {80, 24, true});
  const auto line_of = [&](const std::string& topic) {
    for (const auto& line : lines)
      if (line.find(topic) != std::string::npos) return line;
    return std::string();
  };
  CHECK_THAT(line_of("good"), ContainsSubstring(" 100 ") && Catch::Matchers::EndsWith(" 0"));
  CHECK_THAT(line_of("slow"), ContainsSubstring(" 20 ") && Catch::Matchers::EndsWith(" 4,321"));
}

TEST_CASE("no line is wider than the screen and no more lines come than it has") {
  const std::string long_name(300, 'n');
  for (const std::size_t columns : {10U, 39U, 80U, 200U})
    for (const std::size_t rows : {1U, 5U, 24U, 60U}) {
      const auto lines = app::top_screen(status(1000, 1, 40, long_name), status(2000, 2, 40, long_name), {columns, rows, true});
      CHECK(lines.size() <= rows);
      for (const auto& line : lines) CHECK(app::characters(line) <= columns);
    }
  CHECK_THAT(joined(app::top_screen("", status(1000, 1, 40), {80, 24, true})), ContainsSubstring(" more\n"));
}

TEST_CASE("colours are put around whole lines only, and plain has no escape") {
  for (const auto& line : app::top_screen("", status(1000, 1), {80, 24, false}))
    if (line.find('\x1b') != std::string::npos) CHECK(line.substr(line.size() - 4) == "\x1b[0m");
  CHECK(joined(app::top_screen("", status(1000, 1), {80, 24, true})).find('\x1b') == std::string::npos);
}

TEST_CASE("an answer that is none of ours is a line that says so, and one that lacks things shows what it has") {
  CHECK_THAT(joined(app::top_screen("", "<html>", {80, 24, true})), ContainsSubstring("not an answer of rivulet"));
  CHECK_THAT(joined(app::top_screen("{}", "{\"agent\":\"old\",\"sources\":7,\"forward\":null}", {80, 24, true})), ContainsSubstring("rivulet old"));
}

TEST_CASE("text of others cannot move a terminal's cursor, and is cut between characters") {
  CHECK(app::shown("a\x1b[2J\r\n\x7f", 80) == "a?[2J???");
  CHECK(app::shown("\xC2\x9B" "31m", 80) == "?31m");
  CHECK(app::escaped("a\x1b\xC2\x9B" "31m\xC3\xA9\xC2\xA0\xC2") == "a\\x1b\\xc2\\x9b" "31m\xC3\xA9\xC2\xA0\xC2");
  CHECK(app::shown("\xff", 80) == "\xEF\xBF\xBD");
  CHECK(app::shown("\xC3\xA9\xC3\xA9\xC3\xA9", 3) == "\xC3\xA9\xC3\xA9\xC3\xA9");
  CHECK(app::shown("\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9", 3) == "\xC3\xA9\xC3\xA9~");
  CHECK(app::left("ab", 4) == "ab  ");
  CHECK(app::right("abcdef", 4) == "abc~");
}

TEST_CASE("figures for people") {
  CHECK(app::count_text(999) == "999");
  CHECK(app::count_text(12'034) == "12,034");
  CHECK(app::count_text(2'481'022) == "2.48 M");
  CHECK(app::rate_text(0.05) == "<0.1");
  CHECK(app::rate_text(1123.6) == "1,124");
  CHECK(app::size_text(1536) == "1.5 KiB");
  CHECK(app::span_text(119'000) == "119 s");
  CHECK(app::span_text(312'000'000) == "3 d 14 h");
}

TEST_CASE("a view of JSON finds what is there, and nothing elsewhere") {
  const std::string text = R"({"a":[1,{"b":"x,]}\" y"},[],"s,"], "n":18446744073709551615,"t":true,"neg":-1})";
  const auto view = JsonView::of(text);
  REQUIRE(view);
  const auto items = view->at("a").items();
  REQUIRE(items.size() == 4);
  CHECK(items[0].number() == 1);
  CHECK(items[1].at("b").text() == "x,]}\" y");
  CHECK(items[2].items().empty());
  CHECK(items[3].text() == "s,");
  CHECK(view->at("n").number() == 18446744073709551615ULL);
  CHECK(view->at("t").yes());
  CHECK(view->at("neg").number() == 0);
  CHECK(view->at("none").at("deeper").items().empty());
  CHECK_FALSE(JsonView::of("[1]"));
  CHECK_FALSE(JsonView::of("{\"a\":"));
}

}  // namespace
}  // namespace rivulet
