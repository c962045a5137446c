// What of the modbus source has no thread: values, requests, the schedule.
#include <set>

#include "agent/source/modbus/registers.h"
#include "agent/source/modbus/requests.h"
#include "agent/source/modbus/schedule.h"
#include "tests/support/catch.h"

using namespace rivulet;
using config::ModbusSource;
using Kind = ModbusSource::Kind;
using Type = ModbusSource::Type;

namespace {

std::string value(Type type, std::vector<std::uint16_t> words, bool little_bytes = false, bool little_words = false, const char* scale = "1", unsigned bit = 0) {
  ModbusSource::Register one;
  one.type = type;
  one.count = static_cast<std::uint16_t>(words.size());
  one.little_bytes = little_bytes;
  one.little_words = little_words;
  one.bit = bit;
  one.linear = *config::linear_of(scale, "0");
  std::string to;
  source::modbus::append_value(to, one, words);
  return to;
}

ModbusSource::Group group_of(const std::vector<std::tuple<Kind, int, int>>& registers) {
  ModbusSource::Group group;
  for (const auto& [kind, address, count] : registers) {
    ModbusSource::Register one;
    one.field = "f" + std::to_string(group.registers.size());
    one.kind = kind;
    one.address = static_cast<std::uint16_t>(address);
    one.count = static_cast<std::uint16_t>(count);
    group.registers.push_back(one);
  }
  return group;
}

// "unit:address+count" of each request.
std::string text(const std::vector<source::modbus::Request>& requests) {
  std::string all;
  for (const auto& one : requests) all += (all.empty() ? "" : " ") + std::to_string(one.unit) + ":" + std::to_string(one.address) + "+" + std::to_string(one.count);
  return all;
}

}  // namespace

TEST_CASE("modbus: each type in each order of bytes and words") {
  CHECK(value(Type::u16, {0x1234}) == "4660");
  CHECK(value(Type::u16, {0x3412}, true) == "4660");
  CHECK(value(Type::i16, {0xFFFE}) == "-2");
  CHECK(value(Type::u32, {0x1234, 0x5678}) == "305419896");              // ABCD
  CHECK(value(Type::u32, {0x5678, 0x1234}, false, true) == "305419896");  // CDAB
  CHECK(value(Type::u32, {0x3412, 0x7856}, true) == "305419896");         // BADC
  CHECK(value(Type::u32, {0x7856, 0x3412}, true, true) == "305419896");   // DCBA
  CHECK(value(Type::i32, {0xFFFF, 0xFFFF}) == "-1");
  CHECK(value(Type::i32, {0x8000, 0x0000}) == "-2147483648");
  CHECK(value(Type::u64, {0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE}) == "18446744073709551614");
  CHECK(value(Type::u64, {0x0001, 0x0000, 0x0000, 0x8000}, false, true) == "9223372036854775809");
  CHECK(value(Type::i64, {0x8000, 0, 0, 0}) == "-9223372036854775808");
  CHECK(value(Type::f32, {0x3DCC, 0xCCCD}) == "0.1");
  CHECK(value(Type::f32, {0xCCCD, 0x3DCC}, false, true) == "0.1");
  CHECK(value(Type::f32, {0x7FC0, 0}) == "null");
  CHECK(value(Type::f32, {0xFF80, 0}) == "null");
  CHECK(value(Type::f64, {0x3FB9, 0x9999, 0x9999, 0x999A}) == "0.1");
  CHECK(value(Type::f64, {0x7FF0, 0, 0, 0}) == "null");
  CHECK(value(Type::u16, {2301}, false, false, "0.1") == "230.1");
}

TEST_CASE("modbus: bits of registers, and text that ends at a NUL or in blanks") {
  CHECK(value(Type::boolean, {0x8000}, false, false, "1", 15) == "true");
  CHECK(value(Type::boolean, {0x8000}, false, false, "1", 14) == "false");
  CHECK(value(Type::boolean, {0x0080}, true, false, "1", 15) == "true");
  CHECK(value(Type::boolean, {1}) == "true");
  CHECK(value(Type::string, {0x4142, 0x4300}) == "\"ABC\"");
  CHECK(value(Type::string, {0x4241, 0x0043}, true) == "\"ABC\"");
  CHECK(value(Type::string, {0x4120, 0x2020}) == "\"A\"");
  CHECK(value(Type::string, {0x0041}) == "\"\"");
  CHECK(value(Type::string, {0x22FF}) == "\"\\\"\uFFFD\"");
}

TEST_CASE("modbus: registers side by side are one request, up to what the protocol allows") {
  const auto plan = [](const ModbusSource::Group& group, std::uint16_t gap = 0, std::uint16_t most = 125) { return text(source::modbus::plan(group, 1, gap, most)); };
  CHECK(plan(group_of({{Kind::input, 2, 2}, {Kind::input, 0, 2}, {Kind::input, 4, 1}})) == "1:0+5");
  CHECK(plan(group_of({{Kind::input, 0, 2}, {Kind::input, 5, 2}})) == "1:0+2 1:5+2");
  CHECK(plan(group_of({{Kind::input, 0, 2}, {Kind::input, 5, 2}}), 2) == "1:0+2 1:5+2");
  CHECK(plan(group_of({{Kind::input, 0, 2}, {Kind::input, 5, 2}}), 3) == "1:0+7");
  CHECK(plan(group_of({{Kind::input, 0, 1}, {Kind::holding, 1, 1}})) == "1:1+1 1:0+1");
  CHECK(plan(group_of({{Kind::holding, 7, 1}, {Kind::holding, 7, 1}, {Kind::holding, 7, 2}})) == "1:7+2");
  CHECK(plan(group_of({{Kind::holding, 0, 4}, {Kind::holding, 1, 1}, {Kind::holding, 4, 1}})) == "1:0+5");
  CHECK(plan(group_of({{Kind::holding, 65'535, 1}, {Kind::holding, 65'534, 1}})) == "1:65534+2");
  std::vector<std::tuple<Kind, int, int>> many, bits;
  for (int i = 0; i < 126; ++i) many.emplace_back(Kind::holding, i, 1);
  CHECK(plan(group_of(many)) == "1:0+125 1:125+1");
  CHECK(plan(group_of(many), 0, 50) == "1:0+50 1:50+50 1:100+26");
  for (int i = 0; i < 2001; ++i) bits.emplace_back(Kind::coil, i, 1);
  CHECK(plan(group_of(bits)) == "1:0+2000 1:2000+1");
}

TEST_CASE("modbus: a group over several units has requests of each") {
  auto group = group_of({{Kind::input, 0, 1}, {Kind::input, 1, 1}, {Kind::input, 2, 1}});
  group.registers[1].unit = 7;
  CHECK(text(source::modbus::plan(group, 3, 5, 125)) == "3:0+3 7:1+1");
}

TEST_CASE("modbus: halves of a request leave the gap between them out, and end at single fields") {
  const auto group = group_of({{Kind::input, 0, 2}, {Kind::input, 6, 2}, {Kind::input, 8, 1}});
  const auto whole = source::modbus::plan(group, 1, 10, 125);
  REQUIRE(text(whole) == "1:0+9");
  const auto two = source::modbus::halves(whole[0], group);
  REQUIRE(two);
  CHECK(text({two->first, two->second}) == "1:0+2 1:6+3");
  CHECK_FALSE(source::modbus::halves(two->first, group));
  const auto last = source::modbus::halves(two->second, group);
  REQUIRE(last);
  CHECK(text({last->first, last->second}) == "1:6+2 1:8+1");
}

TEST_CASE("modbus: a request that a late answer does not fit asks for another length") {
  const auto of = [](Kind kind, int address, int count) { return text({source::modbus::unlike({1, kind, static_cast<std::uint16_t>(address), static_cast<std::uint16_t>(count), {0}})}); };
  CHECK(of(Kind::input, 10, 5) == "1:10+4");
  CHECK(of(Kind::holding, 10, 1) == "1:10+2");
  CHECK(of(Kind::holding, 65'535, 1) == "1:65534+2");
  CHECK(of(Kind::coil, 10, 3) == "1:10+9");
  CHECK(of(Kind::coil, 65'535, 1) == "1:65527+9");
  CHECK(of(Kind::discrete, 10, 17) == "1:10+16");
}

TEST_CASE("modbus: polls lie on the grid of their interval, and what comes too late for is left out") {
  source::modbus::Schedule schedule({{100, {1}}, {250, {1}}}, 1000);
  CHECK(schedule.next_ms() == 1000);
  CHECK(schedule.take(1000)->job == 0);
  CHECK(schedule.take(1000)->job == 1);
  CHECK_FALSE(schedule.take(1099));
  CHECK(schedule.next_ms() == 1100);
  const auto late = schedule.take(1345);
  REQUIRE(late);
  CHECK(late->job == 0);
  CHECK(late->missed == 2);
  CHECK(schedule.take(1345)->job == 1);
  CHECK(schedule.next_ms() == 1400);
}

TEST_CASE("modbus: with more to poll than there is time for, all have their turn") {
  source::modbus::Schedule schedule({{100, {1}}, {100, {2}}, {100, {3}}}, 0);
  std::array<int, 3> turns{};
  std::int64_t now = 0;
  for (int i = 0; i < 300; ++i, now += 80) turns[schedule.take(now)->job]++;
  for (const int count : turns) CHECK(count >= 80);
}

TEST_CASE("modbus: a unit that does not answer is asked again after growing pauses, the others meanwhile as ever") {
  source::modbus::Schedule schedule({{1000, {1}}, {1000, {2}}}, 0);
  std::vector<std::int64_t> probes;
  int others = 0;
  for (std::int64_t now = 0; now < 200'000; now += 100)
    while (const auto turn = schedule.take(now)) {
      if (turn->job == 0) {
        CHECK_FALSE(turn->paused);
        ++others;
        schedule.answered(1);
      } else if (!turn->paused) {
        probes.push_back(now);
        schedule.failed(2, now, false);
      }
    }
  CHECK(others == 200);
  CHECK(probes == std::vector<std::int64_t>{0, 1000, 3000, 7000, 15'000, 31'000, 61'000, 91'000, 121'000, 151'000, 181'000});
  schedule.answered(2);
  CHECK_FALSE(schedule.take(200'000)->paused);
  CHECK_FALSE(schedule.take(200'000)->paused);
}

TEST_CASE("modbus: a first failure that cost no time has no pause, one of the connection pauses all") {
  source::modbus::Schedule schedule({{1000, {1}}, {1000, {2}}}, 0);
  CHECK(schedule.failed(1, 0, true) == 0);
  CHECK_FALSE(schedule.take(0)->paused);
  CHECK(schedule.failed(1, 0, true) == 2000);
  schedule.take(0);
  CHECK(schedule.take(1000)->paused);
  CHECK(schedule.not_connected(1000) == 1000);
  CHECK(schedule.take(1000)->paused);
  CHECK_FALSE(schedule.take(2000)->paused);
}
