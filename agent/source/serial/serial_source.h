// SerialSource: lines or fixed frames from a serial port, read as they come, or asked for at an interval (`poll`).
//
//     closed ──▶ open ──▶ lost (EOF, EIO, ENODEV, ...: the device was pulled out) ──▶ closed: opened again by its path after growing waits
//
// The port is the agent's alone: TIOCEXCL keeps others from opening it, flock() keeps out those who keep to it (as root all may open). Before it has that lock
// nothing of the port is changed: its settings and what waits in it are whoever's that has it.
// Opening and closing throw away what is in the kernel's buffers: what came before is half of something, and closing would wait for
// a device that takes nothing. While the agent has no room nothing is read; then flow control holds the device up, or the kernel's
// buffer (4 KiB) overflows, which the driver counts (line_errors.h).
// Counted: device_lost, line_too_long, incomplete_frame, bytes_left_out, poll_unanswered, poll_skipped, and the driver's.
// Thread: io; opening a port asks its driver, which takes milliseconds. Bounds: one frame and one chunk. Lifetime: the io_context and
// the Intake outlive it.
#pragma once
#include <array>
#include <boost/asio/serial_port.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>

#include "agent/base/backoff.h"
#include "agent/base/result.h"
#include "agent/config/source.h"
#include "agent/source/first_line.h"
#include "agent/source/serial/frames.h"
#include "agent/source/serial/line_errors.h"
#include "agent/source/source.h"

namespace rivulet::source {

class SerialSource final : public Source {
 public:
  SerialSource(boost::asio::io_context& io, config::SerialSource config, std::string name, Intake& intake);

  void start() override { open(); }
  void stop() override;
  void on_durable(EpochNumber) override {}
  void on_room() override;
  std::string state() const override;
  bool in_trouble() const override;

  bool is_open() const { return port_.is_open(); }

 private:
  static constexpr std::int64_t kFirstWaitMs = 100, kLastWaitMs = 5000;
  static constexpr std::size_t kChunk = 4096;  // what the kernel's buffer holds

  void open();
  result<void> open_port();
  result<void> set_port();
  void close();
  void lost(const std::string& why);
  void reopen_later();
  void read();
  void hand_over();
  void count_left();
  void poll_at(boost::asio::steady_timer::time_point when);
  void poll();
  void send();

  const config::SerialSource config_;
  const std::string name_;
  Intake& intake_;
  boost::asio::serial_port port_;
  boost::asio::steady_timer reopen_, poll_;
  Backoff backoff_;
  Frames frames_;
  FirstLine first_line_;
  LineErrors errors_;
  std::array<char, kChunk> buffer_{};
  std::string problem_;
  std::uint64_t opened_ = 0;  // handlers of an opening before say nothing
  std::uint64_t records_ = 0;
  bool reading_ = false, no_room_ = false, writing_ = false, stopped_ = false;
  bool asked_ = false, answered_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

std::string describe_guarantee(const config::SerialSource& config);

}  // namespace rivulet::source
