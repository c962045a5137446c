#include "tests/unit/codec/decoded.h"

using namespace rivulet;
using rivulet::test::Texts;

namespace {

Texts influx(std::string_view frame) { return test::decoded(*codec::make_influx_decoder(), frame); }
std::string value(const std::string& written) {
  const std::string text = influx("m f=" + written).at(0);
  const std::string before = "{\"measurement\":\"m\",\"f\":";
  return text.rfind(before, 0) == 0 ? text.substr(before.size(), text.size() - before.size() - 1) : text;
}

}  // namespace

TEST_CASE("influx: the examples of the line protocol's documentation") {
  CHECK(influx("myMeasurement,tag1=value1,tag2=value2 fieldKey=\"fieldValue\" 1556813561098000000") ==
        Texts{R"({"measurement":"myMeasurement","tag1":"value1","tag2":"value2","fieldKey":"fieldValue","time":1556813561098000000})"});
  CHECK(influx("myMeasurementName fieldKey=\"fieldValue\" 1556813561098000000") == Texts{R"({"measurement":"myMeasurementName","fieldKey":"fieldValue","time":1556813561098000000})"});
  CHECK(influx("my\\ Measurement fieldKey=\"string value\"") == Texts{R"({"measurement":"my Measurement","fieldKey":"string value"})"});
  CHECK(influx("myMeasurement fieldKey=\"\\\"string\\\" within a string\"") == Texts{R"({"measurement":"myMeasurement","fieldKey":"\"string\" within a string"})"});
  CHECK(influx("myMeasurement,tag\\ Key1=tag\\ Value1,tag\\ Key2=tag\\ Value2 fieldKey=100") ==
        Texts{R"({"measurement":"myMeasurement","tag Key1":"tag Value1","tag Key2":"tag Value2","fieldKey":100.0})"});
  CHECK(influx("# a comment\nm,t=x,u=y a=\"x\"") == Texts{"nothing", R"({"measurement":"m","t":"x","u":"y","a":"x"})"});
  CHECK(influx("wea\\,ther,location=us\\,mid\\=west temperature=82i") == Texts{R"({"measurement":"wea,ther","location":"us,mid=west","temperature":82})"});
  CHECK(influx("we=ather f=1i") == Texts{R"({"measurement":"we=ather","f":1})"});
}

TEST_CASE("influx: each type of value") {
  for (const char* yes : {"t", "T", "true", "True", "TRUE"}) CHECK(value(yes) == "true");
  for (const char* no : {"f", "F", "false", "False", "FALSE"}) CHECK(value(no) == "false");
  CHECK(value("1") == "1.0");
  CHECK(value("1.0") == "1.0");
  CHECK(value("-1.234456e+78") == "-1.234456e+78");
  CHECK(value(".5") == "0.5");
  CHECK(value("1.") == "1.0");
  CHECK(value("12485903i") == "12485903");
  CHECK(value("-9223372036854775808i") == "-9223372036854775808");
  CHECK(value("18446744073709551615u") == "18446744073709551615");
  CHECK(value("\"\"") == "\"\"");
  CHECK(value(R"("a\b\\c\"d, e=f")") == R"("a\\b\\c\"d, e=f")");
  for (const char* bad : {"9223372036854775808i", "-1u", "18446744073709551616u", "1.5i", "NaN", "inf", "-", "", "yes", "0x1p3", "tr", "i"})
    CHECK_THAT(value(bad), ContainsSubstring("wrong: no line protocol: field 'f' has the value"));
}

TEST_CASE("influx: a line is a record, a wrong one keeps no other from being one") {
  CHECK(influx("a f=1i 1\nb f=2i 2\r\n\n c f=3i  3 \n") ==
        Texts{R"({"measurement":"a","f":1,"time":1})", R"({"measurement":"b","f":2,"time":2})", "nothing", R"({"measurement":"c","f":3,"time":3})"});
  CHECK(influx("a f=\"x\ny\" 1\nb f=1i") == Texts{R"({"measurement":"a","f":"x\ny","time":1})", R"({"measurement":"b","f":1})"});
  CHECK(influx("a,t=\"x f=1i\nb f=1i") == Texts{R"({"measurement":"a","t":"\"x","f":1})", R"({"measurement":"b","f":1})"});  // a quote in a tag is a letter
  for (const char* bad : {"a", "a ", "a,t f=1", "a,t= f=1", "a,=x f=1", "a,t=x", "a f", "a f=", "a =1", "a f=1,", "a f=1 x", "a f=1 1 2", "a f=\"x", "a f=\"x\"y", ",t=x f=1", "a f=1 9223372036854775808", "a f=1\xFF"}) {
    INFO(bad);
    CHECK_THAT(influx(std::string(bad) + (std::string(bad) == "a f=\"x" ? "" : "\nb f=1i")).at(0), ContainsSubstring("wrong: no line protocol"));
  }
  CHECK(influx("a f=\nb f=1i").at(1) == R"({"measurement":"b","f":1})");
}

TEST_CASE("influx: a name that stands twice, as tag and field or as measurement or time, is refused") {
  for (const char* twice : {"a,x=1 x=2", "a,x=1,x=2 y=2", "a x=1,x=2", "a,measurement=1 x=2", "a time=1 5"})
    CHECK(influx(twice) == Texts{"wrong: a field stands twice; which one counts is not defined (measurement and time are fields, too)"});
}
