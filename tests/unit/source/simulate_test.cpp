#include "agent/source/simulate/simulate_source.h"

#include <cstdlib>
#include <boost/asio/io_context.hpp>
#include <set>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/fake_intake.h"
#include "tests/support/run_until.h"

using namespace rivulet;
using namespace rivulet::test;
using source::Sensors;
using source::SimulateSource;

namespace {

config::SimulateSource fast(std::uint64_t count) {
  config::SimulateSource config;
  config.rate_per_s = 100'000;
  config.count = count;
  return config;
}

std::string field(const std::string& json, const std::string& name) {
  const auto at = json.find("\"" + name + "\":");
  if (at == std::string::npos) return "(absent)";
  const auto begin = at + name.size() + 3;
  return json.substr(begin, json.find_first_of(",}", begin) - begin);
}

}  // namespace

TEST_CASE("simulate: record n is the same for the same seed and differs for another") {
  std::string a, b, c;
  const Sensors one{1, 10}, same{1, 10}, other{2, 10};
  int different = 0;
  for (std::uint64_t n = 1; n < 500; ++n) {
    one.record(n, 5, a);
    same.record(n, 5, b);
    other.record(n, 5, c);
    REQUIRE(a == b);
    different += a != c ? 1 : 0;
  }
  CHECK(different > 450);
  one.record(17, 1700000000170, a);
  CHECK(a.starts_with(R"({"device":"dev-007","n":17,"ts":1700000000170,"temperature":)"));
  CHECK(a.back() == '}');
}

TEST_CASE("simulate: sine, walk and steps stay in their bounds, and every fault happens", "[slow]") {
  const Sensors sensors{7, 3};
  std::string json;
  std::set<std::string> statuses, levels;
  for (std::uint64_t n = 1; n <= 60'000; ++n) {
    sensors.record(n, 0, json);
    const auto status = field(json, "status");
    statuses.insert(status);
    levels.insert(field(json, "level"));
    const double pressure = std::atof(field(json, "pressure").c_str());
    REQUIRE((pressure > 990 && pressure < 1036));
    const auto temperature = field(json, "temperature");
    if (status == "\"null\"") {
      REQUIRE(temperature == "null");
    } else if (status != "\"spike\"") {
      const double degrees = std::atof(temperature.c_str());
      REQUIRE((degrees > 11 && degrees < 29));
    } else {
      REQUIRE(std::atof(temperature.c_str()) > 40);
    }
  }
  CHECK(statuses == std::set<std::string>{"\"null\"", "\"ok\"", "\"spike\"", "\"stuck\""});
  CHECK(levels.size() == 10);
}

TEST_CASE("simulate: it ends at its count, with every n once") {
  boost::asio::io_context io;
  FakeIntake intake;
  SimulateSource source(io, fast(5000), "sensors", intake);
  source.start();
  REQUIRE(run_until(io, [&] { return source.finished(); }));
  REQUIRE(intake.accepted.size() == 5000);
  for (std::size_t i = 0; i < 5000; ++i) REQUIRE(field(intake.accepted[i].payload, "n") == std::to_string(i + 1));
}

TEST_CASE("simulate: after a crash it goes on exactly where the last commit was, with the same records") {
  boost::asio::io_context io;
  ManualClock clock(1'700'000'000'000);
  auto intake = std::make_unique<FakeIntake>();
  intake->use_clock(clock);
  auto source = std::make_unique<SimulateSource>(io, fast(3000), "sensors", *intake);
  source->start();
  clock.advance(10);
  REQUIRE(run_until(io, [&] { return !intake->accepted.empty(); }));
  intake->commit(*source);
  const auto durable = intake->accepted.size();
  REQUIRE(durable == 1000);
  intake->room_up_to = durable + 300;
  clock.advance(10);
  REQUIRE(run_until(io, [&] { return intake->accepted.size() == durable + 300; }));
  const auto lost = intake->payloads();
  source.reset();
  intake = intake->after_crash();
  REQUIRE(intake->accepted.size() == durable);
  source = std::make_unique<SimulateSource>(io, fast(3000), "sensors", *intake);
  source->start();
  clock.advance(1'000);
  REQUIRE(run_until(io, [&] { return source->finished(); }));
  REQUIRE(intake->accepted.size() == 3000);
  for (std::size_t i = 0; i < lost.size(); ++i) REQUIRE(intake->accepted[i].payload == lost[i]);
}

TEST_CASE("simulate: the rate is kept, and a pause is made up for by one second's worth at most") {
  boost::asio::io_context io;
  ManualClock clock(1'700'000'000'000);
  FakeIntake intake;
  intake.use_clock(clock);
  config::SimulateSource config;
  config.rate_per_s = 50;
  SimulateSource source(io, config, "sensors", intake);
  source.start();
  clock.advance(2'000);
  REQUIRE(run_until(io, [&] { return intake.accepted.size() >= 50; }));
  CHECK(intake.accepted.size() == 50);
  clock.advance(100);
  REQUIRE(run_until(io, [&] { return intake.accepted.size() >= 55; }));
  CHECK(intake.accepted.size() == 55);
  CHECK(field(intake.accepted[49].payload, "ts") == "1700000001000");
}

TEST_CASE("simulate: another rate goes on with the times where the old one stopped") {
  boost::asio::io_context io;
  ManualClock clock(9'000'000);
  FakeIntake intake;
  intake.use_clock(clock);
  intake.start_with({{"n", "1000 0 5000 100"}});
  config::SimulateSource config;
  config.rate_per_s = 10;
  SimulateSource source(io, config, "sensors", intake);
  source.start();
  clock.advance(1000);
  REQUIRE(run_until(io, [&] { return intake.accepted.size() >= 10; }));
  CHECK(field(intake.accepted[0].payload, "n") == "1001");
  CHECK(field(intake.accepted[0].payload, "ts") == "15100");
}
