#include "agent/source/can/can_source.h"

#include <fmt/core.h>
#include <linux/can/error.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "agent/base/bytes.h"
#include "agent/base/log.h"
#include "agent/source/can/signals.h"

namespace rivulet::source {
namespace {

canid_t key_of(std::uint32_t id, bool extended) { return id | (extended ? CAN_EFF_FLAG : 0U); }

}  // namespace

CanSource::CanSource(boost::asio::io_context& io, config::CanSource config, std::string name, Intake& intake, can::OpenSocket open)
    : config_(std::move(config)),
      name_(std::move(name)),
      intake_(intake),
      open_(std::move(open)),
      socket_(io),
      timer_(io),
      log_({.burst = 3, .interval_ms = 60'000, .keys = 16}, [this](const std::string& what, std::uint64_t count) { log::warn("{}: {}: {} more times", name_, what, count); }) {
  for (std::size_t i = 0; i < config_.messages.size(); ++i) messages_.emplace(key_of(config_.messages[i].id, config_.messages[i].extended), i);
}

void CanSource::start() {
  if (!stopped_) open();
}

void CanSource::open() {
  const auto opened = open_(config_, name_);
  if (!opened) return retry(opened.error().message);
  boost::system::error_code error;
  socket_.assign(*opened, error);
  if (error) return retry("can: " + config_.interface + ": " + error.message());
  problem_.clear();
  dropped_ = 0;
  wait();
}

void CanSource::retry(const std::string& why) {
  if (problem_ != why) log::warn("{}: {}; it is tried again", name_, why);
  problem_ = why;
  boost::system::error_code ignored;
  socket_.close(ignored);
  waiting_ = false;
  timer_.expires_after(retry_in_);
  retry_in_ = std::min(retry_in_ * 2, kLongestRetry);
  timer_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (!error && !alive.expired()) start();
  });
}

void CanSource::wait() {
  if (waiting_ || stopped_ || !socket_.is_open()) return;
  waiting_ = true;
  socket_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (alive.expired() || error) return;
    waiting_ = false;
    read();
  });
}

void CanSource::read() {
  for (int turn = 0; turn < kFramesATurn && !stopped_ && socket_.is_open(); ++turn) {
    if (!intake_.can_accept()) return;  // on_room() comes back here
    if (!receive()) break;
  }
  wait();  // readable at once, when there is more
}

bool CanSource::receive() {
  iovec into{&frame_, sizeof frame_};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(timeval)) + CMSG_SPACE(sizeof(std::uint32_t)) + 64> control{};
  msghdr message{};
  message.msg_iov = &into;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const auto got = ::recvmsg(socket_.native_handle(), &message, 0);
  if (got < 0) {
    if (errno == EINTR) return true;
    if (errno != EAGAIN && errno != EWOULDBLOCK) read_failed(errno);
    return false;
  }
  look_at(message);
  if ((message.msg_flags & MSG_TRUNC) != 0) intake_.count("frame_malformed");
  else take(static_cast<std::size_t>(got));
  return true;
}

// Down: the socket stays bound, and frames come when it is up again. Anything else: the interface, or its driver, is gone.
void CanSource::read_failed(int error) {
  if (error != ENETDOWN) return retry("can: " + config_.interface + ": " + std::strerror(error));  // NOLINT(concurrency-mt-unsafe)
  intake_.count("interface_down");
  problem_ = "can: " + config_.interface + " is down; bring it up (ip link set " + config_.interface + " up)";
  if (log_.allow(config_.interface + " is down", intake_.clock().steady_ms())) log::warn("{}: {}", name_, problem_);
}

void CanSource::look_at(const msghdr& message) {
  arrived_ms_ = intake_.clock().wall_ms();
  auto* const whole = const_cast<msghdr*>(&message);  // CMSG_NXTHDR takes no const
  for (cmsghdr* part = CMSG_FIRSTHDR(whole); part != nullptr; part = CMSG_NXTHDR(whole, part)) {
    if (part->cmsg_level != SOL_SOCKET) continue;
    if (part->cmsg_type == SO_TIMESTAMP && part->cmsg_len >= CMSG_LEN(sizeof(timeval))) {
      timeval at{};
      std::memcpy(&at, CMSG_DATA(part), sizeof at);
      arrived_ms_ = static_cast<Timestamp>(at.tv_sec) * 1000 + static_cast<Timestamp>(at.tv_usec) / 1000;
    } else if (part->cmsg_type == SO_RXQ_OVFL) {
      std::uint32_t so_far = 0;
      std::memcpy(&so_far, CMSG_DATA(part), sizeof so_far);
      const std::uint32_t more = so_far - dropped_;  // modulo 2^32
      dropped_ = so_far;
      if (more > 0) intake_.count("dropped_by_kernel", more);
    }
  }
}

void CanSource::take(std::size_t bytes) {
  const std::size_t most = bytes == CAN_MTU ? CAN_MAX_DLEN : CANFD_MAX_DLEN;
  if ((bytes != CAN_MTU && bytes != CANFD_MTU) || frame_.len > most) return intake_.count("frame_malformed");
  if (!problem_.empty()) {
    log::info("{}: frames come from {} again", name_, config_.interface);
    problem_.clear();
  }
  retry_in_ = kFirstRetry;
  if ((frame_.can_id & CAN_ERR_FLAG) != 0) return take_error();
  ++frames_;
  if ((frame_.can_id & CAN_RTR_FLAG) != 0) return intake_.count("remote_frames");  // a question, without data
  take_data({frame_.data, frame_.len});
}

void CanSource::take_data(std::span<const std::uint8_t> data) {
  const bool extended = (frame_.can_id & CAN_EFF_FLAG) != 0;
  const std::uint32_t id = frame_.can_id & (extended ? CAN_EFF_MASK : CAN_SFF_MASK);
  const auto known = messages_.find(key_of(id, extended));
  record_.clear();
  Frame frame;
  if (known != messages_.end()) {
    const auto& message = config_.messages[known->second];
    if (can::append_record(record_, message, config_.message_field, data) > 0) intake_.count("frame_too_short");
    frame.topic = message.name;
  } else {
    if (config_.unmapped != config::CanSource::Unmapped::raw) return intake_.count("unmapped");
    fmt::format_to(std::back_inserter(record_), R"({{"id":{},"extended":{},"data":"{}"}})", id, extended, to_hex({reinterpret_cast<const char*>(data.data()), data.size()}));
  }
  frame.payload = record_;
  frame.timestamp_ms = arrived_ms_;
  intake_.accept(frame);
}

// linux/can/error.h: the class in the id, details in the data.
void CanSource::take_error() {
  intake_.count("error_frames");
  const auto say = [&](const char* what, const char* text) {
    intake_.count(what);
    if (log_.allow(text, intake_.clock().steady_ms())) log::warn("{}: {}: {}", name_, config_.interface, text);
  };
  const canid_t classes = frame_.can_id;
  const std::uint8_t controller = frame_.data[1];
  if ((classes & CAN_ERR_BUSOFF) != 0) say("bus_off", "bus off: the controller has left the bus after too many errors; check wiring, termination and bit rate (restart-ms lets it come back by itself)");
  if ((classes & CAN_ERR_CRTL) != 0 && (controller & CAN_ERR_CRTL_RX_OVERFLOW) != 0) say("controller_overflow", "the controller lost frames: its own buffer overflowed");
  if ((classes & CAN_ERR_CRTL) != 0 && (controller & (CAN_ERR_CRTL_RX_PASSIVE | CAN_ERR_CRTL_TX_PASSIVE)) != 0) say("error_passive", "error passive: many errors on the bus; check wiring, termination and bit rate");
  if ((classes & CAN_ERR_RESTARTED) != 0) say("restarted", "the controller is back on the bus");
}

void CanSource::on_room() {
  if (stopped_ || !socket_.is_open() || waiting_) return;
  read();
}

void CanSource::stop() {
  stopped_ = true;
  timer_.cancel();
  boost::system::error_code ignored;
  socket_.close(ignored);
}

bool CanSource::in_trouble() const { return !problem_.empty(); }

std::string CanSource::state() const {
  if (!problem_.empty()) return problem_;
  if (!socket_.is_open()) return "stopped";
  return "listening on " + config_.interface + ", " + std::to_string(frames_) + " frames";
}

std::string describe_guarantee(const config::CanSource& config) {
  return "at most once: a CAN bus has no replay. Lost is what comes while the agent is down, while " + config.interface +
         " is down, or while the agent has no room and that no longer fits into receive_buffer (counted as dropped_by_kernel), and what was read and not yet "
         "committed (up to agent.commit_interval) when it is killed.";
}

}  // namespace rivulet::source
