// ModbusSource: polls the registers of Modbus slaves; each poll of a group is a record.
//
// Each connection (a TCP address, a serial line) has a thread of its own, because libmodbus blocks: a slave that is slow or dead delays none that has
// another connection. Units behind one connection wait for each other, as they do on the wire; one that does not answer is left alone for growing pauses.
// Modbus cannot replay: while the agent has no room polls are left out and counted.
// Threads: io, and its pollers'. Lifetime: the io_context and the Intake outlive it. Bounds: handover.h. It has ended() when the request that is under way at
// stop() has: with TCP it is cut off, on a serial line it takes up to the timeout (10 s at most), and a name in the place of an IP address what the resolver takes.
// The destructor waits for that.
#pragma once
#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/config/source.h"
#include "agent/source/modbus/handover.h"
#include "agent/source/modbus/poller.h"
#include "agent/source/source.h"

namespace rivulet::source {

class ModbusSource final : public Source {
 public:
  ModbusSource(boost::asio::io_context& io, config::ModbusSource config, std::string name, Intake& intake);
  ~ModbusSource() override;

  void start() override;
  void stop() override;
  bool ended() const override;
  void on_durable(EpochNumber) override {}
  void on_room() override;
  std::string state() const override;
  bool in_trouble() const override;

 private:
  void drain();

  boost::asio::io_context& io_;
  const config::ModbusSource config_;
  const std::string name_;
  Intake& intake_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  modbus::Handover handover_;
  std::vector<std::unique_ptr<modbus::Poller>> pollers_;
  std::optional<modbus::Handover::Record> waiting_;  // for room
  std::uint64_t records_ = 0;
  std::string problem_;
  bool stopped_ = false;
};

std::string describe_guarantee(const config::ModbusSource& config);

}  // namespace rivulet::source
