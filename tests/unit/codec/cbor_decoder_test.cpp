#include "tests/unit/codec/decoded.h"

using namespace rivulet;
using rivulet::test::Texts;

namespace {

std::string cbor(std::string_view hex) { return test::decoded(*codec::make_cbor_decoder(), test::from_hex(hex)).at(0); }

struct Example {
  const char *hex, *json;
};

}  // namespace

TEST_CASE("cbor: the examples of RFC 8949 appendix A") {
  static constexpr Example examples[] = {
      {"00", "0"}, {"01", "1"}, {"0a", "10"}, {"17", "23"}, {"1818", "24"}, {"1819", "25"}, {"1864", "100"}, {"1903e8", "1000"}, {"1a000f4240", "1000000"},
      {"1b000000e8d4a51000", "1000000000000"}, {"1bffffffffffffffff", "18446744073709551615"}, {"c249010000000000000000", "18446744073709551616"},
      {"3bffffffffffffffff", "-18446744073709551616"}, {"c349010000000000000000", "-18446744073709551617"}, {"20", "-1"}, {"29", "-10"}, {"3863", "-100"},
      {"3903e7", "-1000"}, {"f90000", "0.0"}, {"f98000", "-0.0"}, {"f93c00", "1.0"}, {"fb3ff199999999999a", "1.1"}, {"f93e00", "1.5"}, {"f97bff", "65504.0"},
      {"fa47c35000", "100000.0"}, {"fa7f7fffff", "3.4028234663852886e+38"}, {"fb7e37e43c8800759c", "1e+300"}, {"f90001", "5.960464477539063e-08"},
      {"f90400", "6.103515625e-05"}, {"f9c400", "-4.0"}, {"fbc010666666666666", "-4.1"}, {"f97c00", "null"}, {"f97e00", "null"}, {"f9fc00", "null"},
      {"fa7f800000", "null"}, {"fa7fc00000", "null"}, {"faff800000", "null"}, {"fb7ff0000000000000", "null"}, {"fb7ff8000000000000", "null"},
      {"fbfff0000000000000", "null"}, {"f4", "false"}, {"f5", "true"}, {"f6", "null"}, {"f7", "null"}, {"f0", "null"}, {"f8ff", "null"},
      {"c074323031332d30332d32315432303a30343a30305a", "\"2013-03-21T20:04:00Z\""}, {"c11a514b67b0", "1363896240"}, {"c1fb41d452d9ec200000", "1363896240.5"},
      {"d74401020304", "\"01020304\""}, {"d818456449455446", "\"ZElFVEY\""},
      {"d82076687474703a2f2f7777772e6578616d706c652e636f6d", "\"http://www.example.com\""}, {"40", "\"\""}, {"4401020304", "\"AQIDBA\""}, {"60", "\"\""},
      {"6161", "\"a\""}, {"6449455446", "\"IETF\""}, {"62225c", R"("\"\\")"}, {"62c3bc", "\"\xC3\xBC\""}, {"63e6b0b4", "\"\xE6\xB0\xB4\""},
      {"64f0908591", "\"\xF0\x90\x85\x91\""}, {"80", "[]"}, {"83010203", "[1,2,3]"}, {"8301820203820405", "[1,[2,3],[4,5]]"},
      {"98190102030405060708090a0b0c0d0e0f101112131415161718181819", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25]"}, {"a0", "{}"},
      {"a201020304", R"({"1":2,"3":4})"}, {"a26161016162820203", R"({"a":1,"b":[2,3]})"}, {"826161a161626163", R"(["a",{"b":"c"}])"},
      {"a56161614161626142616361436164614461656145", R"({"a":"A","b":"B","c":"C","d":"D","e":"E"})"}, {"5f42010243030405ff", "\"AQIDBAU\""},
      {"7f657374726561646d696e67ff", "\"streaming\""}, {"9fff", "[]"}, {"9f018202039f0405ffff", "[1,[2,3],[4,5]]"}, {"9f01820203820405ff", "[1,[2,3],[4,5]]"},
      {"83018202039f0405ff", "[1,[2,3],[4,5]]"}, {"83019f0203ff820405", "[1,[2,3],[4,5]]"},
      {"9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25]"},
      {"bf61610161629f0203ffff", R"({"a":1,"b":[2,3]})"}, {"826161bf61626163ff", R"(["a",{"b":"c"}])"}, {"bf6346756ef563416d7421ff", R"({"Fun":true,"Amt":-2})"}};
  for (const auto& [hex, json] : examples) {
    INFO(hex);
    CHECK(cbor(hex) == json);
  }
}

TEST_CASE("cbor: what is not well-formed, RFC 8949 appendix F, is undecodable") {
  for (const char* hex : {"18", "19", "1a", "1b", "1901", "1a0102", "1b01020304050607", "38", "58", "78", "98", "9a01ff00", "b8", "d8", "f8", "f900", "fa0000", "fb000000",
                          "41", "61", "5affffffff00", "5bffffffffffffffff010203", "7affffffff00", "7b7fffffffffffffff010203", "81", "818181818181818181", "8200", "a1", "a20102", "a100",
                          "a2000000", "c0", "5f4100", "7f6100", "9f", "9f0102", "bf", "bf01020102", "819f", "9f8000", "9f9f9f9f9fffffffff", "9f819f819f9fffffff", "fc", "fd", "fe", "5f00ff", "5f21ff",
                          "5f6100ff", "5f80ff", "5fa0ff", "5fc000ff", "5fe0ff", "7f4100ff", "5f5f4100ffff", "7f7f6100ffff", "ff", "81ff", "8200ff", "a1ff", "a1ff00", "a100ff", "a20000ff",
                          "9f81ff", "9f829f819f9fffffffff", "bf00ff", "bf000000ff", "1c", "1d", "1e", "1f", "3c", "3d", "3e", "3f", "5c", "dc", "df", "f800", "f801", "f818", "f81f", "9fc0ff"}) {
    INFO(hex);
    CHECK_THAT(cbor(hex), ContainsSubstring("wrong: no CBOR: "));
  }
}

TEST_CASE("cbor: what is well-formed and no record is undecodable") {
  CHECK(cbor("0000") == "wrong: no CBOR: more bytes after the value");
  CHECK(cbor("a2616101616102") == "wrong: no CBOR: a field stands twice; which one counts is not defined");
  CHECK(cbor("a20101613102") == "wrong: no CBOR: a field stands twice; which one counts is not defined");  // 1 and "1"
  CHECK(cbor("a1f501") == "wrong: no CBOR: a map's key is neither text nor an integer");
  CHECK(cbor("61ff") == "wrong: no CBOR: text that is not valid UTF-8");
  CHECK(cbor("a161ff01") == "wrong: no CBOR: text that is not valid UTF-8");
  CHECK(cbor("7f61c361bcff") == "wrong: no CBOR: text that is not valid UTF-8");  // RFC 8949 section 3.2.3: each chunk is
  CHECK(cbor("c201") == "wrong: no CBOR: a bignum's tag stands before something else than bytes");
  CHECK(cbor("c25841" + std::string(130, '1')) == "wrong: no CBOR: a bignum of more than 64 bytes");
  CHECK(test::decoded(*codec::make_cbor_decoder(), "") == Texts{"nothing"});
}

TEST_CASE("cbor: depth is bounded, a length that is only claimed costs nothing") {
  std::string deep;
  for (int i = 0; i < 127; ++i) deep += "81";
  CHECK(cbor(deep + "00") == std::string(127, '[') + "0" + std::string(127, ']'));
  CHECK(cbor(deep + "8100") == "wrong: no CBOR: nested deeper than 128 levels");
  CHECK(cbor("9bffffffffffffffff00") == "wrong: no CBOR: it ends too early");
  CHECK(cbor("bb800000000000000000") == "wrong: no CBOR: it ends too early");
  for (const char* type : {"5b", "7b", "9b", "bb"}) {  // one byte, element or pair where only the lower half of the length is looked at
    INFO(type);
    CHECK(cbor(std::string(type) + "0000000100000001" + "6161") == "wrong: no CBOR: it ends too early");
    CHECK(cbor(std::string(type) + "0000000100000000") == "wrong: no CBOR: it ends too early");
  }
}

TEST_CASE("cbor: expected encodings reach into arrays and maps, bignums have every digit") {
  CHECK(cbor("d6824102a16178d74103") == R"(["Ag==",{"x":"03"}])");
  CHECK(cbor("8342fffe00d64101") == R"(["__4",0,"AQ=="])");
  CHECK(cbor("c240") == "0");
  CHECK(cbor("c340") == "-1");
  CHECK(cbor("c24a0de0b6b3a764000000ff") == "65536000000000000000255");
  CHECK(cbor("d9d9f7a1617801") == R"({"x":1})");
  CHECK(cbor("a163226100f6") == R"({"\"a\u0000":null})");
}
