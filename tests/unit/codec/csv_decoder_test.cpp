#include "tests/unit/codec/decoded.h"

using namespace rivulet;
using rivulet::codec::CsvOptions;
using rivulet::test::Texts;

namespace {

Texts csv(const CsvOptions& options, std::string_view frame, const std::optional<std::string_view>& first_line = std::nullopt) {
  return test::decoded(*codec::make_csv_decoder(options), frame, first_line);
}
const CsvOptions kAbc{{"a", "b", "c"}, false, ',', false};
const CsvOptions kNamed{{}, true};

}  // namespace

TEST_CASE("csv: the examples of RFC 4180 section 2") {
  const Texts both{R"({"a":"aaa","b":"bbb","c":"ccc"})", R"({"a":"zzz","b":"yyy","c":"xxx"})"};
  CHECK(csv(kAbc, "aaa,bbb,ccc\r\nzzz,yyy,xxx\r\n") == both);
  CHECK(csv(kAbc, "aaa,bbb,ccc\r\nzzz,yyy,xxx") == both);
  CHECK(csv(kNamed, "field_name,field_name2,field_name3\r\naaa,bbb,ccc\r\n") == Texts{R"({"field_name":"aaa","field_name2":"bbb","field_name3":"ccc"})"});
  CHECK(csv(kAbc, "\"aaa\",\"bbb\",\"ccc\"\r\nzzz,yyy,xxx") == both);
  CHECK(csv(kAbc, "\"aaa\",\"b\r\nbb\",\"ccc\"\r\nzzz,yyy,xxx") == Texts{"{\"a\":\"aaa\",\"b\":\"b\\r\\nbb\",\"c\":\"ccc\"}", both[1]});
  CHECK(csv(kAbc, "\"aaa\",\"b\"\"bb\",\"ccc\"") == Texts{R"({"a":"aaa","b":"b\"bb","c":"ccc"})"});
  CHECK(csv(kAbc, " a ,, c") == Texts{R"({"a":" a ","b":"","c":" c"})"});
}

TEST_CASE("csv: fields without quotes that read as JSON numbers and booleans are those, an empty one is null") {
  CHECK(csv({{"v"}}, "1") == Texts{R"({"v":1})"});
  for (const char* number : {"-0.5", "1e999", "12345678901234567890123", "true", "false"}) CHECK(csv({{"v"}}, number) == Texts{"{\"v\":" + std::string(number) + "}"});
  for (const char* text : {"007", ".5", "5.", "+1", " 1", "0x10", "NaN", "True", "null"}) CHECK(csv({{"v"}}, text) == Texts{"{\"v\":\"" + std::string(text) + "\"}"});
  CHECK(csv({{"v", "w"}}, "\"1\",") == Texts{R"({"v":"1","w":null})"});
}

TEST_CASE("csv: an empty line is no record, and a row that is wrong keeps no other from being one") {
  CHECK(csv({{"a", "b"}}, "") == Texts{"nothing"});
  CHECK(csv({{"a", "b"}}, "\r\n1,2\n") == Texts{"nothing", R"({"a":1,"b":2})"});
  CHECK(csv({{"a", "b"}}, "1\n1,2,3\n1,2") ==
        Texts{"wrong: no CSV: it has 1 fields, expected the 2 that are named", "wrong: no CSV: it has 3 fields, expected the 2 that are named", R"({"a":1,"b":2})"});
  CHECK(csv({{"a", "b"}}, "x\"y,1\n\"x\"y,1\nx\ry,1\n3,4") ==
        Texts{"wrong: no CSV: a quote stands within a field without quotes", "wrong: no CSV: something follows the closing quote of a field",
              "wrong: no CSV: a carriage return stands in a field without quotes", R"({"a":3,"b":4})"});
  CHECK(csv({{"a", "b"}}, "1,\"x\n1,2") == Texts{"wrong: no CSV: a quote is not closed (a line that ends within quotes is no whole record)"});
  CHECK(csv({{"a", "b"}}, "\xFF,1\n1,2") == Texts{"wrong: no CSV: not valid UTF-8", R"({"a":1,"b":2})"});
}

TEST_CASE("csv: a header is the frame's own first line, or the first line of what the frame is a line of") {
  const auto decoder = codec::make_csv_decoder({{}, true, ';'});
  CHECK(test::decoded(*decoder, "\xEF\xBB\xBF\n\"a \"\"x\"\"\";b\n1;2\n") == Texts{R"({"a \"x\"":1,"b":2})"});
  CHECK(test::decoded(*decoder, "1;2", "b;c") == Texts{R"({"b":1,"c":2})"});
  CHECK(test::decoded(*decoder, "3;4", "b;c") == Texts{R"({"b":3,"c":4})"});
  CHECK(test::decoded(*decoder, "3;4", "c;b") == Texts{R"({"c":3,"b":4})"});
  CHECK(test::decoded(*decoder, "x;y").empty());  // a header alone
  CHECK(test::decoded(*decoder, "3;4", "b;b") == Texts{"wrong: no CSV: the field 'b' stands twice (`columns` gives names of your own) (in the header)"});
  CHECK(test::decoded(*decoder, "3;4\n5;6", "b;") == Texts{"wrong: no CSV: field 2 has no name (`columns` gives names of your own) (in the header)"});
  CHECK(test::decoded(*decoder, "3;4", "") == Texts{"wrong: no CSV: there is none: the first line names the fields (in the header)"});
  CHECK(test::decoded(*decoder, "3;4", std::string(codec::kMaxHeaderBytes + 1, 'x')).at(0).find("longer than 65536 bytes") != std::string::npos);
  CHECK(test::decoded(*decoder, "3;4", "b;c") == Texts{R"({"b":3,"c":4})"});  // and forgotten
  CHECK(csv({{"p", "q"}, true}, "a,a\n1,2\n") == Texts{R"({"p":1,"q":2})"});
}

TEST_CASE("csv: more than 4,096 fields are refused") {
  CHECK(csv({{"a"}}, std::string(4096, ',')) == Texts{"wrong: no CSV: more than 4096 fields"});
}

TEST_CASE("csv: a header that is wrong stays wrong when it comes again, and blank lines alone are nothing") {
  const auto decoder = codec::make_csv_decoder({{}, true});
  const Texts wrong{"wrong: no CSV: field 2 has no name (`columns` gives names of your own) (in the header)"};
  CHECK(test::decoded(*decoder, "a,\n1,2\n") == wrong);
  CHECK(test::decoded(*decoder, "a,\n1,2\n") == wrong);
  CHECK(test::decoded(*decoder, "\n\r\n") == Texts{"nothing", "nothing"});
  CHECK(test::decoded(*decoder, "a\n1\n") == Texts{R"({"a":1})"});
}
