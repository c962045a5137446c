// IioSource: sensors of this machine through sysfs: IIO devices, hwmon, thermal zones. One record an interval, with a field a sensor.
//
// A sensor that cannot be read is null in the record and counted (`sensor_failed`); the others go on. What fails and what works again is logged once.
// A record's time is that of its tick. A tick is left out and counted (`sample_skipped`) while the sample before is still being read (a driver that
// takes long, or hangs) or has no room.
// Thread: io; reading is done in another (sampler.h). Bounds: one sample. Lifetime: the io_context and the Intake outlive it.
#pragma once
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/config/source.h"
#include "agent/source/iio/sampler.h"
#include "agent/source/source.h"

namespace rivulet::source {

class IioSource final : public Source {
 public:
  using Read = std::function<Readings()>;
  // `read`: instead of SysfsReader; for tests, of drivers that hang.
  IioSource(boost::asio::io_context& io, config::IioSource config, std::string name, Intake& intake, Read read = {});

  void start() override;
  void stop() override;
  void on_durable(EpochNumber) override {}
  void on_room() override;
  std::string state() const override;
  bool in_trouble() const override;

 private:
  void start_sampler();
  void tick();
  void wait();
  void sampled(Readings readings);
  void hand_over();
  void note(std::size_t field, const std::string& problem);

  const config::IioSource config_;
  const std::string name_;
  Intake& intake_;
  Read read_;
  boost::asio::steady_timer timer_;
  boost::asio::posix::stream_descriptor ready_;
  std::unique_ptr<Sampler> sampler_;
  std::vector<std::string> problems_;  // of each field, the last time
  std::optional<std::string> held_;    // a record that has no room yet
  Timestamp asked_ms_ = 0;             // wall clock
  boost::asio::steady_timer::time_point next_{}, asked_{};
  std::uint64_t samples_ = 0;
  std::size_t failing_ = 0;
  bool late_ = false, stopped_ = false;
  std::string problem_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

std::string describe_guarantee(const config::IioSource& config);

}  // namespace rivulet::source
