// Signals are what cantools reads of the same bytes (can_signals.tsv, made by can_signals.py); random frames and maps never read past the data.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <sstream>

#include "agent/codec/json.h"
#include "agent/source/can/signals.h"
#include "tests/support/seeds.h"

using namespace rivulet;
using Signal = config::CanSource::Signal;
using namespace rivulet::test;

namespace {

std::vector<std::uint8_t> bytes_of(const std::string& hex) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) bytes.push_back(static_cast<std::uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

std::string value_of(const Signal& signal, const std::vector<std::uint8_t>& data) {
  const auto raw = source::can::raw_bits(signal, data);
  if (!raw) return "none";
  std::string text;
  source::can::append_signal(text, signal, *raw);
  return text;
}

double number(const std::string& text) {
  double value = NAN;  // also of "null"
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// `digits`: what the text of a float of 32 bits leaves out, of values as large as the table's offsets.
bool same(double left, double right, double digits = 1e-9) {
  if (!std::isfinite(left) || !std::isfinite(right)) return !std::isfinite(left) && !std::isfinite(right);
  return std::abs(left - right) <= digits * std::max(300.0, std::abs(right));
}

}  // namespace

TEST_CASE("can: signals are what cantools reads") {
  std::ifstream table(std::string(RIVULET_SOURCE_DIR) + "/tests/property/source/can_signals.tsv");
  std::string line;
  std::size_t rows = 0;
  for (; std::getline(table, line); ++rows) {
    INFO(line);
    std::array<std::string, 9> column;
    std::istringstream cells(line);
    for (auto& cell : column) REQUIRE(std::getline(cells, cell, '\t'));
    Signal signal;
    signal.start = static_cast<unsigned>(std::stoul(column[0]));
    signal.length = static_cast<unsigned>(std::stoul(column[1]));
    signal.motorola = column[2] == "motorola";
    signal.type = column[3] == "float" ? Signal::Type::real : column[3] == "signed" ? Signal::Type::twos_complement : Signal::Type::plain;
    const auto data = bytes_of(column[6]);
    const std::string raw = value_of(signal, data);
    INFO(raw);
    const bool real = signal.type == Signal::Type::real, single = real && signal.length == 32;
    if (single) CHECK((static_cast<float>(number(raw)) == static_cast<float>(number(column[7])) || !std::isfinite(number(column[7]))));
    else if (real) CHECK((number(raw) == number(column[7]) || !std::isfinite(number(column[7]))));
    else CHECK(raw == column[7]);  // to the last digit
    signal.linear = *config::linear_of(column[4], column[5]);
    CHECK(same(number(value_of(signal, data)), number(column[8]), single ? 1e-6 : 1e-9));
  }
  CHECK(rows == 900);
}

TEST_CASE("can: whatever the map and the frame, a record is one JSON object and nothing past the data is read") {
  each_seed(2000, [](std::uint64_t seed) {
    Random random(seed);
    config::CanSource::Message message;
    message.name = "m\"" + std::string(1, static_cast<char>(random.below(256)));
    for (std::uint64_t i = 0, count = 1 + random.below(8); i < count; ++i) {
      Signal one;
      one.field = "f" + std::to_string(i);
      one.type = static_cast<Signal::Type>(random.below(3));
      one.length = one.type == Signal::Type::real ? (random.one_in(2) ? 32 : 64) : static_cast<unsigned>(1 + random.below(64));
      one.start = static_cast<unsigned>(random.below(512));
      one.motorola = random.one_in(2);
      if (random.one_in(3)) one.when = random.below(4);
      message.signals.push_back(one);
    }
    if (random.one_in(2)) message.multiplexor = 0;
    const std::vector<std::uint8_t> data(static_cast<std::size_t>(random.below(65)), static_cast<std::uint8_t>(random.below(256)));  // its own heap block: ASan sees its end
    std::string text;
    source::can::append_record(text, message, random.one_in(2) ? "message" : "", data);
    codec::JsonDocument document;
    const auto kind = document.parse(text);
    INFO(text);
    REQUIRE(kind);
    CHECK(*kind == codec::JsonKind::object);
  });
}
