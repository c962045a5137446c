// Hostile input for the codecs: whatever comes, a decoder ends, gives JSON or an error, and goes over every byte once. And what is written by
// another's rules is read back.
#include "agent/codec/csv.h"
#include "tests/support/seeds.h"
#include "tests/unit/codec/decoded.h"

using namespace rivulet;
using rivulet::test::Random;
using rivulet::test::Texts;

namespace {

std::string soup(Random& random, std::string_view letters) {
  std::string text;
  for (auto left = random.below(80); left > 0; --left) text += random.one_in(12) ? static_cast<char>(random.below(256)) : letters[random.below(letters.size())];
  return text;
}

// Each byte belongs to exactly one piece, and what is a record is JSON (decoded() looks).
void hostile(codec::Decoder& decoder, const std::string& frame) {
  INFO(frame);
  const Texts all = test::decoded(decoder, frame);
  CHECK(all.size() <= frame.size() + 1);
  codec::JsonObject object;
  decoder.begin(frame);
  std::size_t bytes = frame.size() - decoder.rest().size();  // a header
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto found = decoder.next(object);
    REQUIRE((all[i].rfind("wrong: ", 0) == 0) == !found.has_value());
    bytes += decoder.piece().size();
  }
  REQUIRE(bytes == frame.size());
  REQUIRE(decoder.rest().empty());
}

std::string random_cbor(Random& random, int depth) {
  const auto head = [](unsigned major, std::uint64_t n) {
    std::string out;
    const auto put = [&](unsigned low, int bytes) {
      out += static_cast<char>(major << 5 | low);
      for (int i = bytes; i-- > 0;) out += static_cast<char>(n >> (8 * i));
    };
    if (n < 24) put(static_cast<unsigned>(n), 0);
    else if (n < 256) put(24, 1);
    else if (n < 65536) put(25, 2);
    else if (n >> 32 == 0) put(26, 4);
    else put(27, 8);
    return out;
  };
  const std::uint64_t count = random.below(5);
  switch (random.below(depth > 0 ? 9 : 6)) {
    case 0: return head(0, random.below(1ULL << random.below(63)));
    case 1: return head(1, random.below(1ULL << random.below(63)));
    case 2: return head(2, count) + std::string(count, '\xFE');
    case 3: return head(3, count) + std::string(count, 'q');
    case 4: return random.pick(std::vector<std::string>{"\xF4", "\xF6", "\xF9\x3E\x01", std::string("\xFA\x47\xC3\x50\x00", 5), "\xF7", "\xF8\xFF"});
    case 5: return head(6, random.below(30)) + random_cbor(random, depth - 1);
    case 6: {
      std::string out = head(4, count);
      for (std::uint64_t i = 0; i < count; ++i) out += random_cbor(random, depth - 1);
      return out;
    }
    case 7: {
      std::string out = "\x9F";
      for (std::uint64_t i = 0; i < count; ++i) out += random_cbor(random, depth - 1);
      return out + "\xFF";
    }
    default: {
      std::string out = head(5, count);
      for (std::uint64_t i = 0; i < count; ++i) out += head(0, i) + random_cbor(random, depth - 1);
      return out;
    }
  }
}

std::string damaged(Random& random, std::string bytes) {
  for (auto left = random.below(3); left > 0 && !bytes.empty(); --left) {
    const auto at = random.below(bytes.size());
    if (random.one_in(3)) bytes.erase(at, 1 + random.below(3));
    else if (random.one_in(2)) bytes[at] = static_cast<char>(random.below(256));
    else bytes.insert(at, 1, static_cast<char>(random.below(256)));
  }
  return bytes;
}

}  // namespace

TEST_CASE("any bytes are CSV, line protocol, CBOR or a match, nothing, or an error, byte by byte") {
  const auto csv = codec::make_csv_decoder({{"a", "b"}}), named = codec::make_csv_decoder({{}, true}), influx = codec::make_influx_decoder(), cbor = codec::make_cbor_decoder();
  auto pattern = codec::make_pattern_decoder("^(?<a>[a-z]+)?(?<b>.*?)(?<c>\\d*)$", true);
  REQUIRE(pattern);
  test::each_seed(4000, [&](std::uint64_t seed) {
    Random random(seed);
    hostile(*csv, soup(random, "a1,,,\"\n\r "));
    hostile(*named, soup(random, "ab1,,\"\n\r "));
    hostile(*influx, random.one_in(2) ? soup(random, "mt,=  \"\\1i\n#") : damaged(random, "m,t=a\\ b f=1i,g=\"x\\\"y\",h=t 15\nn x=-1.5e3\n"));
    hostile(*cbor, soup(random, std::string_view("\x00\x81\xA1\x61q\x9F\xBF\xFF\xC2\x41", 10)));
    hostile(**pattern, soup(random, "ab12 \n"));
  });
}

TEST_CASE("random CBOR is taken, and damaged CBOR is taken or refused") {
  const auto cbor = codec::make_cbor_decoder();
  int taken = 0, refused = 0, runs = 0;
  test::each_seed(4000, [&](std::uint64_t seed) {
    Random random(seed);
    const std::string bytes = random_cbor(random, 5);
    hostile(*cbor, bytes);
    const std::string broken = damaged(random, bytes);
    if (!broken.empty()) ++(test::decoded(*cbor, broken).at(0).rfind("wrong: ", 0) == 0 ? refused : taken);
    ++runs;
  });
  if (runs >= 100) CHECK((taken > runs / 10 && refused > runs / 10));
}

TEST_CASE("any table that is written as RFC 4180 has it is read back, by both CSV readers alike") {
  test::each_seed(2000, [](std::uint64_t seed) {
    Random random(seed);
    const std::size_t width = 1 + random.below(4), height = 1 + random.below(5);
    codec::CsvOptions options;
    options.guess = false;
    for (std::size_t i = 0; i < width; ++i) options.columns.push_back("c" + std::to_string(i));
    std::string text;
    Texts expected;
    for (std::size_t row = 0; row < height; ++row) {
      std::string json = "{";
      for (std::size_t i = 0; i < width; ++i) {
        std::string field;
        for (auto left = random.below(6); left > 0; --left) field += random.pick(std::vector<std::string>{"a", "\"", ",", "\n", "\r", " ", "\xC3\xA9", "7", "\t"});
        const bool quote = width == 1 || field.find_first_of("\",\n\r") != std::string::npos || random.one_in(3);
        std::string written;
        for (const char c : field) written += c == '"' ? "\"\"" : std::string(1, c);
        text += (i > 0 ? "," : "") + (quote ? "\"" + written + "\"" : field);
        json += (i > 0 ? ",\"c" : "\"c") + std::to_string(i) + "\":";
        codec::append_json_string(json, field);
      }
      text += row + 1 < height || random.one_in(2) ? random.pick(std::vector<std::string>{"\n", "\r\n"}) : "";
      expected.push_back(json + "}");
    }
    INFO(text);
    const auto decoder = codec::make_csv_decoder(options);
    REQUIRE(test::decoded(*decoder, text) == expected);
    Texts streamed;
    codec::CsvReader reader([&](const std::vector<codec::CsvField>& fields) -> result<void> {
      std::string json = "{";
      for (std::size_t i = 0; i < fields.size(); ++i) {
        json += (i > 0 ? ",\"c" : "\"c") + std::to_string(i) + "\":";
        codec::append_json_string(json, fields[i].text);
      }
      streamed.push_back(json + "}");
      return {};
    });
    REQUIRE(reader.feed(text));
    REQUIRE(reader.finish());
    REQUIRE(streamed == expected);
  });
}
