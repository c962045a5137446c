// SimulateSource: simulated sensors at a steady rate, for demos and tests. See sensors.h for the records.
//
// Exactly once: the position "n" = "<last n> <records at the start of this rate> <its time, ms> <rate>" is in the record's
// epoch, and record n is always the same, so a restart goes on with exactly the records that were not committed.
// n is contiguous over all devices, from 1. After a pause (no room) it catches up with at most one second's worth.
// Thread: io. Lifetime: the io_context and the Intake outlive it.
#pragma once
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>

#include "agent/config/source.h"
#include "agent/source/simulate/sensors.h"
#include "agent/source/source.h"

namespace rivulet::source {

class SimulateSource final : public Source {
 public:
  SimulateSource(boost::asio::io_context& io, config::SimulateSource config, std::string name, Intake& intake);

  void start() override;
  void stop() override;
  void on_durable(EpochNumber) override {}
  void on_room() override;
  bool finished() const override { return config_.count && n_ >= *config_.count; }
  std::string state() const override;

 private:
  void load();
  void arm();
  void send();
  std::int64_t timestamp_ms(std::uint64_t n) const;

  config::SimulateSource config_;
  std::string name_;
  Intake& intake_;
  Sensors sensors_;
  boost::asio::steady_timer timer_;
  std::uint64_t n_ = 0;         // last record sent
  std::uint64_t base_n_ = 0;    // the rate counts from this record ...
  std::int64_t base_ms_ = 0;    // ... which had this time
  double due_ = 0;              // records that the rate allows and that are not sent yet
  std::int64_t last_tick_ms_ = 0;
  bool stopped_ = false;
  std::string record_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

std::string describe_guarantee(const config::SimulateSource& config);

}  // namespace rivulet::source
