#include "agent/source/iio/iio_source.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/fake_intake.h"
#include "tests/support/run_until.h"
#include "tests/support/temp_folder.h"

using namespace rivulet;
using namespace rivulet::test;
using source::IioSource;
using source::Readings;
using source::SysfsReader;

namespace {

// A sysfs of real files.
struct Sysfs {
  Sysfs() { config.root = folder.path().string(); }
  void put(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((folder.path() / path).parent_path());
    overwrite(folder / path, text + "\n");
  }
  void device(int number, const std::string& name) { put(at(number) + "name", name); }
  static std::string at(int number) { return "bus/iio/devices/iio:device" + std::to_string(number) + "/"; }
  void channel(const std::string& field, const std::string& of, double scale = 1, double offset = 0) { config.fields.push_back({field, of, "", scale, offset}); }
  void file(const std::string& field, const std::string& path, double scale = 1, double offset = 0) { config.fields.push_back({field, "", path, scale, offset}); }
  // What one look at the only field gives: its JSON, or why it is null.
  std::string look() {
    const Readings all = SysfsReader(config).read();
    REQUIRE(all.size() == 1);
    CHECK((all[0].json == "null") == !all[0].problem.empty());
    return all[0].problem.empty() ? all[0].json : all[0].problem;
  }

  TempFolder folder;
  config::IioSource config;
};

struct Sampled : Sysfs {
  void start(IioSource::Read read = {}) {
    config.interval_ms = 10;
    source = std::make_unique<IioSource>(io, config, "climate", intake, std::move(read));
    source->start();
  }
  bool until_records(std::size_t count) {
    return run_until(io, [&] { return intake.accepted.size() >= count; });
  }
  bool until_last(const std::string& record) {
    return run_until(io, [&] { return !intake.accepted.empty() && intake.accepted.back().payload == record; });
  }

  boost::asio::io_context io;
  FakeIntake intake;
  std::unique_ptr<IioSource> source;
};

}  // namespace

TEST_CASE("iio: a channel is its raw value with the driver's offset and scale, in the digits that a person would write") {
  Sysfs sysfs;
  sysfs.device(0, "bme280");
  sysfs.config.device = "bme280";
  sysfs.put(Sysfs::at(0) + "in_temp_raw", "2301");
  sysfs.channel("temperature", "in_temp");
  CHECK(sysfs.look() == "2301");
  sysfs.put(Sysfs::at(0) + "in_temp_scale", "0.1");
  CHECK(sysfs.look() == "230.1");
  sysfs.put(Sysfs::at(0) + "in_temp_offset", "-301");
  CHECK(sysfs.look() == "200");
  sysfs.config.fields[0].scale = 0.001;
  sysfs.config.fields[0].offset = -40;
  CHECK(sysfs.look() == "-39.8");
  sysfs.put(Sysfs::at(0) + "in_temp_scale", "1e-20");
  sysfs.config.fields[0].offset = 0;
  CHECK(sysfs.look() == "2e-20");
}

TEST_CASE("iio: a whole number stays as it is, however long") {
  Sysfs sysfs;
  sysfs.put("class/energy", "9007199254740993");
  sysfs.file("energy", "class/energy");
  CHECK(sysfs.look() == "9007199254740993");
  sysfs.put("class/energy", "+5");
  CHECK(sysfs.look() == "5");
  sysfs.put("class/energy", "-0.50");
  CHECK(sysfs.look() == "-0.5");
}

TEST_CASE("iio: a scale that channels share is found, the channel's own wins, and _input is taken where there is no _raw") {
  CHECK(source::attributes_of("in_voltage0", "scale") == std::vector<std::string>{"in_voltage0_scale", "in_voltage_scale", "in_scale"});
  CHECK(source::attributes_of("in_accel_x", "scale") == std::vector<std::string>{"in_accel_x_scale", "in_accel_scale", "in_scale"});
  CHECK(source::attributes_of("in_temp", "offset") == std::vector<std::string>{"in_temp_offset", "in_offset"});
  CHECK(source::attributes_of("in_voltage0-voltage1", "scale") == std::vector<std::string>{"in_voltage0-voltage1_scale", "in_voltage-voltage_scale", "in_voltage_scale", "in_scale"});
  Sysfs sysfs;
  sysfs.device(3, "adc");
  sysfs.config.device = "adc";
  sysfs.channel("volts", "in_voltage0");
  sysfs.put(Sysfs::at(3) + "in_voltage0_input", "1234");
  CHECK(sysfs.look() == "1234");
  sysfs.put(Sysfs::at(3) + "in_voltage0_raw", "100");
  sysfs.put(Sysfs::at(3) + "in_voltage_scale", "0.5");
  CHECK(sysfs.look() == "50");
  sysfs.put(Sysfs::at(3) + "in_voltage0_scale", "0.25");
  CHECK(sysfs.look() == "25");
}

TEST_CASE("iio: a device is found by its name, its label or its folder, and not guessed where two have the name") {
  Sysfs sysfs;
  sysfs.channel("t", "in_temp");
  sysfs.config.device = "bme280";
  CHECK_THAT(sysfs.look(), ContainsSubstring("No such file"));
  for (const int number : {0, 1}) {
    sysfs.device(number, "bme280");
    sysfs.put(Sysfs::at(number) + "in_temp_raw", std::to_string(number));
  }
  CHECK_THAT(sysfs.look(), ContainsSubstring("2 IIO devices are called 'bme280'"));
  sysfs.put(Sysfs::at(1) + "label", "outside");
  sysfs.config.device = "outside";
  CHECK(sysfs.look() == "1");
  sysfs.config.device = "iio:device0";
  CHECK(sysfs.look() == "0");
  sysfs.config.device = "bmp280";
  CHECK_THAT(sysfs.look(), ContainsSubstring("there is no IIO device 'bmp280'"));
}

TEST_CASE("iio: what is no number is said to be none, whatever stands there") {
  Sysfs sysfs;
  sysfs.file("x", "class/x");
  CHECK_THAT(sysfs.look(), ContainsSubstring("No such file"));
  for (const std::string& text : {std::string(""), std::string("abc"), std::string("12 V"), std::string("nan"), std::string("inf"), std::string("1e999"), std::string("0x10"), std::string("1\0002", 3),
                                  std::string("\xff\xfe")}) {
    sysfs.put("class/x", text);
    CHECK_THAT(sysfs.look(), ContainsSubstring("holds no number"));
  }
  sysfs.put("class/x", std::string(5000, '1'));
  CHECK_THAT(sysfs.look(), ContainsSubstring("too long"));
  sysfs.put("class/x", "1e300");
  sysfs.config.fields[0].scale = 1e300;
  CHECK_THAT(sysfs.look(), ContainsSubstring("too large"));
}

TEST_CASE("iio: a path that is a folder or a pipe is not waited for") {
  Sysfs sysfs;
  sysfs.file("x", "class/x");
  sysfs.put("class/x/y", "1");
  CHECK_THAT(sysfs.look(), ContainsSubstring("is no file"));
  REQUIRE(::mkfifo((sysfs.folder / "class/pipe").c_str(), 0600) == 0);
  sysfs.config.fields[0].path = "class/pipe";
  CHECK_THAT(sysfs.look(), ContainsSubstring("is no file"));
}

TEST_CASE("iio: a path with a star is the one file that it matches") {
  Sysfs sysfs;
  sysfs.file("cpu", "devices/coretemp/hwmon/hwmon*/temp1_input", 0.001);
  CHECK_THAT(sysfs.look(), ContainsSubstring("matches no file"));
  sysfs.put("devices/coretemp/hwmon/hwmon3/temp1_input", "45500");
  CHECK(sysfs.look() == "45.5");
  sysfs.put("devices/coretemp/hwmon/hwmon4/temp1_input", "1");
  CHECK_THAT(sysfs.look(), ContainsSubstring("matches 2 files"));
}

TEST_CASE("iio: a record an interval, with the time of its sample") {
  Sampled s;
  ManualClock clock(1'764'000'000'000);
  s.intake.use_clock(clock);
  s.put("class/thermal/thermal_zone0/temp", "42000");
  s.put("class/hwmon/hwmon0/fan1_input", "1200");
  s.file("cpu \"1\"", "class/thermal/thermal_zone0/temp", 0.001);
  s.file("fan", "class/hwmon/hwmon0/fan1_input");
  s.start();
  REQUIRE(s.until_records(3));
  CHECK(s.intake.accepted[0].payload == R"({"cpu \"1\"":42,"fan":1200})");
  CHECK(s.intake.accepted[0].timestamp_ms == 1'764'000'000'000);
  CHECK(s.intake.counts["sensor_failed"] == 0);
}

TEST_CASE("iio: a sensor that fails is null and counted, the others go on, and one that comes back under another number is found") {
  Sampled s;
  s.config.device = "bme280";
  s.device(0, "bme280");
  s.put(Sysfs::at(0) + "in_temp_raw", "5");
  s.put("class/x", "1");
  s.channel("t", "in_temp");
  s.file("x", "class/x");
  s.start();
  REQUIRE(s.until_last(R"({"t":5,"x":1})"));
  std::filesystem::remove_all(s.folder.path() / "bus/iio/devices/iio:device0");
  REQUIRE(s.until_last(R"({"t":null,"x":1})"));
  CHECK(s.intake.counts["sensor_failed"] >= 1);
  CHECK_THAT(s.source->state(), ContainsSubstring("1 of 2 sensors fail"));
  CHECK_FALSE(s.source->in_trouble());
  s.put(Sysfs::at(7) + "in_temp_raw", "6");
  s.device(7, "bme280");
  REQUIRE(s.until_last(R"({"t":6,"x":1})"));
  CHECK(s.source->state().find("fail") == std::string::npos);
}

TEST_CASE("iio: a driver that hangs holds up nothing, its ticks are counted, and it goes on when it answers") {
  Sampled s;
  s.file("x", "class/x");
  std::promise<void> answer;
  auto answered = answer.get_future().share();
  auto reads = std::make_shared<std::atomic<int>>(0);
  s.start([answered, reads] {
    if (++*reads == 2) answered.wait();
    return Readings{{std::to_string(reads->load()), {}}};
  });
  REQUIRE(run_until(s.io, [&] { return *reads == 2; }));
  const auto skipped = s.intake.counts["sample_skipped"];
  REQUIRE(run_until(s.io, [&] { return s.intake.counts["sample_skipped"] >= skipped + 5; }));
  CHECK(s.intake.accepted.size() == 1);
  CHECK(*reads == 2);
  CHECK_THAT(s.source->state(), ContainsSubstring("do not answer"));
  CHECK(s.source->in_trouble());
  answer.set_value();
  REQUIRE(s.until_records(4));
  CHECK(s.intake.accepted[1].payload == R"({"x":2})");
  CHECK(s.source->state().find("do not answer") == std::string::npos);
}

TEST_CASE("iio: a source whose driver hangs can go away, and the driver may answer later") {
  Sampled s;
  s.file("x", "class/x");
  std::promise<void> answer, left;
  auto answered = answer.get_future().share();
  auto done = left.get_future();
  auto reads = std::make_shared<std::atomic<int>>(0);
  const std::shared_ptr<void> last(nullptr, [&left](void*) { left.set_value(); });
  s.start([answered, reads, last] {
    ++*reads;
    answered.wait();
    return Readings{};
  });
  REQUIRE(run_until(s.io, [&] { return *reads == 1; }));
  const_cast<std::shared_ptr<void>&>(last).reset();
  s.source->stop();
  s.source.reset();
  CHECK(done.wait_for(std::chrono::seconds(0)) == std::future_status::timeout);
  answer.set_value();
  CHECK(done.wait_for(std::chrono::seconds(60)) == std::future_status::ready);  // the thread has let go of everything
}

TEST_CASE("iio: without room no sample is taken, and one that was taken waits") {
  Sampled s;
  s.put("class/x", "1");
  s.file("x", "class/x");
  s.intake.room_up_to = 2;
  s.start();
  REQUIRE(s.until_records(2));
  const auto skipped = s.intake.counts["sample_skipped"];
  REQUIRE(run_until(s.io, [&] { return s.intake.counts["sample_skipped"] >= skipped + 3; }));
  CHECK(s.intake.accepted.size() == 2);
  s.intake.room_up_to = SIZE_MAX;
  s.source->on_room();
  REQUIRE(s.until_records(4));
}

TEST_CASE("iio: a stopped source takes no more samples") {
  Sampled s;
  s.put("class/x", "1");
  s.file("x", "class/x");
  s.start();
  REQUIRE(s.until_records(1));
  s.source->stop();
  const std::size_t before = s.intake.accepted.size();
  run_ready(s.io);
  CHECK(s.intake.accepted.size() == before);
  CHECK(s.source->state() == "stopped");
}

TEST_CASE("iio: a crash loses what was sampled and not committed, and nothing that was") {
  Sampled s;
  s.put("class/x", "1");
  s.file("x", "class/x");
  s.start();
  REQUIRE(s.until_records(1));
  s.intake.commit(*s.source);
  const std::size_t committed = s.intake.accepted.size();
  REQUIRE(s.until_records(committed + 2));
  CHECK(s.intake.after_crash()->accepted.size() == committed);
  CHECK(source::describe_guarantee(s.config).find("at most once") == 0);
}
