// CanSource: the frames of a CAN interface; the signals of those that are known become fields, one record a frame.
//
// A bus cannot wait: while the agent has no room nothing is read, the kernel keeps what its buffer holds and drops the rest, counted as `dropped_by_kernel`.
// An interface that goes down keeps its socket, and frames come again when it is up; one that is taken away (a USB adapter) is looked for
// again, after pauses from kFirstRetry doubled to kLongestRetry. Error frames are counted by what they say.
// Thread: io. Bounds: one frame here, receive_buffer_bytes in the kernel; kFramesATurn, then others have theirs.
// Lifetime: the io_context and the Intake outlive it. Errors: nothing ends the agent; state() says what it waits for.
#pragma once
#include <linux/can.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>

#include "agent/base/log_limit.h"
#include "agent/config/source.h"
#include "agent/source/can/can_socket.h"
#include "agent/source/source.h"

struct msghdr;

namespace rivulet::source {

class CanSource final : public Source {
 public:
  static constexpr std::chrono::milliseconds kFirstRetry{1000}, kLongestRetry{10'000};

  CanSource(boost::asio::io_context& io, config::CanSource config, std::string name, Intake& intake, can::OpenSocket open = can::open_socket);

  void start() override;
  void stop() override;
  void on_durable(EpochNumber) override {}
  void on_room() override;
  std::string state() const override;
  bool in_trouble() const override;

 private:
  static constexpr int kFramesATurn = 64;

  void open();
  void retry(const std::string& why);
  void wait();
  void read();
  bool receive();  // false: nothing more to take now
  void look_at(const msghdr& message);
  void take(std::size_t bytes);
  void take_data(std::span<const std::uint8_t> data);
  void take_error();
  void read_failed(int error);

  const config::CanSource config_;
  const std::string name_;
  Intake& intake_;
  const can::OpenSocket open_;
  boost::asio::posix::stream_descriptor socket_;
  boost::asio::steady_timer timer_;
  LogLimit log_;
  std::unordered_map<canid_t, std::size_t> messages_;  // by id with CAN_EFF_FLAG
  canfd_frame frame_{};
  Timestamp arrived_ms_ = 0;
  std::string record_;
  std::uint32_t dropped_ = 0;  // as the kernel counts, modulo 2^32
  std::uint64_t frames_ = 0;
  std::chrono::milliseconds retry_in_ = kFirstRetry;
  std::string problem_;
  bool waiting_ = false, stopped_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

std::string describe_guarantee(const config::CanSource& config);

}  // namespace rivulet::source
