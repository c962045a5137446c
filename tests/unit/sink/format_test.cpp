#include "agent/sink/format.h"

#include "agent/codec/csv.h"
#include "tests/support/catch.h"

using namespace rivulet;
using namespace rivulet::sink;

namespace {

config::FileOutput csv(std::vector<std::string> columns) {
  config::FileOutput settings;
  settings.csv = true;
  settings.columns = std::move(columns);
  return settings;
}

std::string line(Format format, std::optional<std::string_view> value, std::optional<std::string_view> key = std::nullopt, std::optional<Window> window = std::nullopt) {
  std::string to;
  format.append(to, {key, value, 1000, window});
  return to;
}

}  // namespace

TEST_CASE("a line of NDJSON is the value, whatever it is") {
  const Format format{config::FileOutput{}};
  CHECK(line(format, R"({"a": 1.50, "b":"x\n"})") == "{\"a\": 1.50, \"b\":\"x\\n\"}\n");
  CHECK(line(format, "123456789012345678901234567890") == "123456789012345678901234567890\n");
  CHECK(line(format, "{\"a\":\r\n1}\n") == "{\"a\":  1}\n");  // a line end is white space in JSON
  CHECK(line(format, "no \"JSON\"\n") == "\"no \\\"JSON\\\"\\n\"\n");
  CHECK(line(format, "\xff") == "\"\xef\xbf\xbd\"\n");
  CHECK(line(format, "") == "\"\"\n");
  CHECK(line(format, std::nullopt) == "null\n");
}

TEST_CASE("a whole record has its key, time and window, as replay prints them") {
  config::StdoutOutput whole;
  whole.whole = true;
  const Format format{whole};
  CHECK(line(format, "{\"a\":1}", "k\"1") == "{\"key\":\"k\\\"1\",\"value\":{\"a\":1},\"ts\":1000}\n");
  CHECK(line(format, std::nullopt, std::nullopt, Window{0, 5000}) == "{\"key\":null,\"value\":null,\"ts\":1000,\"window\":{\"start\":0,\"end\":5000}}\n");
}

TEST_CASE("CSV is quoted as RFC 4180 says, and where it would be read as something else") {
  const Format format{csv({"a", "b"})};
  CHECK(line(format, R"({"b":2,"a":"x"})") == "x,2\r\n");
  CHECK(line(format, R"({"a":"x,y","b":"say \"hi\""})") == "\"x,y\",\"say \"\"hi\"\"\"\r\n");
  CHECK(line(format, R"({"a":"1\n2","b":"1\r2"})") == "\"1\n2\",\"1\r2\"\r\n");
  CHECK(line(format, R"({"a":"","b":null})") == "\"\",\r\n");
  CHECK(line(format, R"({"a":"007.5e1","b":"17"})") == "007.5e1,\"17\"\r\n");
  CHECK(line(format, R"({"a":"true","b":true})") == "\"true\",true\r\n");
  CHECK(line(format, R"({"a":{"x":1,"y":2},"b":[1]})") == "\"{\"\"x\"\":1,\"\"y\"\":2}\",[1]\r\n");
  CHECK(line(format, "17") == ",\r\n");
  CHECK(line(format, std::nullopt) == ",\r\n");
  CHECK(line(Format{csv({"value"})}, "17") == "17\r\n");
  CHECK(line(Format{csv({"value"})}, "a\xff,b") == "\"a\xef\xbf\xbd,b\"\r\n");
}

TEST_CASE("the header names the columns, with the separator, and can be left out") {
  auto settings = csv({"a", "b;c"});
  settings.separator = ';';
  CHECK(Format{settings}.header() == "a;\"b;c\"\r\n");
  settings.header = false;
  CHECK(Format{settings}.header().empty());
}

TEST_CASE("what is written as CSV is read back by the CSV reader") {
  const std::vector<std::string> texts{"plain", "", "with,comma", "with \"quotes\"", "line\nend", "\r\n", " blanks ", "ümlaut", "17"};
  std::string file;
  std::vector<std::string> columns;
  std::string value = "{";
  for (std::size_t i = 0; i < texts.size(); ++i) {
    columns.push_back("c" + std::to_string(i));
    value += (i == 0 ? "" : ",") + std::string("\"c") + std::to_string(i) + "\":";
    codec::append_json_string(value, texts[i]);
  }
  Format format{csv(columns)};
  format.append(file, {std::nullopt, value + "}", 0});
  std::vector<std::string> found;
  codec::CsvReader reader([&](const std::vector<codec::CsvField>& fields) -> result<void> {
    for (const auto& field : fields) found.push_back(field.text);
    return {};
  });
  REQUIRE(reader.feed(file));
  REQUIRE(reader.finish());
  CHECK(found == texts);
}

TEST_CASE("a format is kept and known again, and nonsense is not") {
  auto settings = csv({"a", "b\"\n"});
  settings.separator = ';';
  settings.header = false;
  const auto again = Format::described(Format{settings}.description());
  REQUIRE(again);
  CHECK(again->csv);
  CHECK(again->columns == settings.columns);
  CHECK(again->separator == ';');
  CHECK_FALSE(again->header);
  CHECK(Format{*again}.description() == Format{settings}.description());
  CHECK_FALSE(Format::described(""));
  CHECK_FALSE(Format::described(Format{settings}.description() + "x"));
  CHECK_FALSE(Format::described(std::string("\1\1,\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 13)));
}
