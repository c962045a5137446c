#include "agent/source/serial/serial_source.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "agent/base/log.h"

namespace rivulet::source {
namespace {

using boost::asio::serial_port_base;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

const char* advice(const boost::system::error_code& error) {
  if (error == boost::system::errc::no_such_file_or_directory || error == boost::system::errc::no_such_device || error == boost::system::errc::no_such_device_or_address) return "; is it plugged in?";
  if (error == boost::system::errc::permission_denied) return "; is the agent in the group dialout, and does its unit allow the device (/usr/share/doc/rivulet/examples/drop-ins/serial.conf)?";
  if (error == boost::system::errc::device_or_resource_busy) return "; another program has it";
  if (error == boost::system::errc::inappropriate_io_control_operation) return "; it is no serial port";
  return "";
}

// As Asio's open() does, which would do it before the port is locked.
bool make_raw(int port) {
  termios settings{};
  if (::tcgetattr(port, &settings) != 0) return false;
  ::cfmakeraw(&settings);
  settings.c_iflag |= IGNPAR;
  settings.c_cflag |= CREAD | CLOCAL;
  return ::tcsetattr(port, TCSANOW, &settings) == 0;
}

std::string settings_text(const config::SerialSource& config) {
  using Parity = config::SerialSource::Parity;
  const char parity = config.parity == Parity::none ? 'N' : config.parity == Parity::even ? 'E' : 'O';
  return std::to_string(config.baud) + " " + std::to_string(config.data_bits) + parity + std::to_string(config.stop_bits);
}

}  // namespace

SerialSource::SerialSource(boost::asio::io_context& io, config::SerialSource config, std::string name, Intake& intake)
    : config_(std::move(config)), name_(std::move(name)), intake_(intake), port_(io), reopen_(io), poll_(io), backoff_(kFirstWaitMs, kLastWaitMs), frames_(config_), first_line_(false) {}

void SerialSource::open() {
  if (stopped_) return;
  if (auto opened = open_port(); !opened) {
    if (problem_ != opened.error().message) log::error("{}: {}; it is tried again until it can be opened", name_, opened.error().message);
    problem_ = opened.error().message;
    close();
    return reopen_later();
  }
  if (!problem_.empty()) log::info("{}: {} is open", name_, config_.device);
  problem_.clear();
  ++opened_;
  reading_ = writing_ = asked_ = false;
  const std::int64_t now_ms = intake_.clock().steady_ms();
  frames_.reset(now_ms);
  errors_.open(port_.native_handle(), now_ms);
  first_line_ = FirstLine(config_.first_line_names);
  if (config_.poll) {
    frames_.trust();
    poll();
  }
  read();
}

result<void> SerialSource::open_port() {
  const auto cannot = [this](const boost::system::error_code& error) { return Error{ErrorCode::unavailable, "serial: cannot open " + config_.device + ": " + error.message() + advice(error)}; };
  const int descriptor = ::open(config_.device.c_str(), O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (descriptor < 0) return cannot({errno, boost::system::system_category()});
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(descriptor);
    return Error{ErrorCode::conflict, "serial: " + config_.device + " is locked by another program, or by another source of this agent"};
  }
  boost::system::error_code error;
  if (!make_raw(descriptor)) error = {errno, boost::system::system_category()};
  else port_.assign(descriptor, error);
  if (error) {
    ::close(descriptor);
    return cannot(error);
  }
  if (::ioctl(descriptor, TIOCEXCL) != 0) log::warn("{}: {} cannot be had alone (TIOCEXCL): {}", name_, config_.device, std::strerror(errno));
  return set_port();
}

result<void> SerialSource::set_port() {
  using Parity = config::SerialSource::Parity;
  using Flow = config::SerialSource::Flow;
  boost::system::error_code error;
  const auto set = [&](const char* what, const auto& option) -> result<void> {
    port_.set_option(option, error);
    if (error) return Error{ErrorCode::invalid, "serial: " + config_.device + " does not take its " + what + " (" + settings_text(config_) + "): " + error.message()};
    return {};
  };
  const auto parity = config_.parity == Parity::none ? serial_port_base::parity::none : config_.parity == Parity::even ? serial_port_base::parity::even : serial_port_base::parity::odd;
  const auto flow = config_.flow == Flow::none ? serial_port_base::flow_control::none : config_.flow == Flow::hardware ? serial_port_base::flow_control::hardware : serial_port_base::flow_control::software;
  if (auto done = set("baud rate", serial_port_base::baud_rate(config_.baud)); !done) return done.error();
  if (auto done = set("data bits", serial_port_base::character_size(static_cast<unsigned>(config_.data_bits))); !done) return done.error();
  if (auto done = set("parity", serial_port_base::parity(parity)); !done) return done.error();
  if (auto done = set("stop bits", serial_port_base::stop_bits(config_.stop_bits == 2 ? serial_port_base::stop_bits::two : serial_port_base::stop_bits::one)); !done) return done.error();
  if (auto done = set("flow control", serial_port_base::flow_control(flow)); !done) return done.error();
  serial_port_base::baud_rate granted;
  port_.get_option(granted, error);
  if (!error && granted.value() != config_.baud) log::warn("{}: {} runs at {} baud instead of {}", name_, config_.device, granted.value(), config_.baud);
  ::tcflush(port_.native_handle(), TCIOFLUSH);
  return {};
}

void SerialSource::close() {
  if (!port_.is_open()) return;
  ::tcflush(port_.native_handle(), TCIOFLUSH);
  boost::system::error_code ignored;
  port_.close(ignored);
}

void SerialSource::lost(const std::string& why) {
  problem_ = "serial: " + config_.device + " is gone: " + why;
  log::warn("{}: {}; it is opened again when it is back", name_, problem_);
  intake_.count("device_lost");
  frames_.lost();
  count_left();
  ++opened_;
  poll_.cancel();
  close();
  no_room_ = false;
  reopen_later();
}

void SerialSource::reopen_later() {
  reopen_.expires_after(milliseconds(backoff_.next_ms()));
  reopen_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (!error && !alive.expired()) open();
  });
}

void SerialSource::read() {
  if (reading_ || stopped_ || !port_.is_open()) return;
  if (!intake_.can_accept()) {
    no_room_ = true;
    return;
  }
  reading_ = true;
  port_.async_read_some(boost::asio::buffer(buffer_), [this, opened = opened_, alive = std::weak_ptr(alive_)](boost::system::error_code error, std::size_t got) {
    if (alive.expired() || opened != opened_ || stopped_) return;
    reading_ = false;
    if (error) return lost(error == boost::asio::error::eof ? "it hung up" : error.message());
    const std::int64_t now_ms = intake_.clock().steady_ms();
    frames_.add({buffer_.data(), got}, now_ms);
    if (errors_.look(port_.native_handle(), now_ms, intake_))
      log::warn("{}: {} has line errors: are its cable, its baud rate and its parity right ({})?", name_, config_.device, settings_text(config_));
    hand_over();
  });
}

void SerialSource::hand_over() {
  std::string_view frame;
  while (frames_.next(frame)) {
    if (stopped_ || !intake_.can_accept()) {
      frames_.put_back();
      no_room_ = true;
      return count_left();
    }
    answered_ = true;
    backoff_.reset();
    ++records_;
    if (first_line_.takes(frame)) continue;
    Frame record{frame, config_.device};
    record.first_line = first_line_.text();
    intake_.accept(record);
  }
  count_left();
  read();
}

void SerialSource::count_left() {
  const Frames::Left left = frames_.take_left();
  if (left.too_long > 0) {
    intake_.count("line_too_long", left.too_long);
    log::warn("{}: {} lines longer than max_line ({} bytes) were left out; are the baud rate and the delimiter right?", name_, left.too_long, config_.max_line_bytes);
  }
  if (left.incomplete > 0) intake_.count("incomplete_frame", left.incomplete);
  if (left.bytes > 0) intake_.count("bytes_left_out", left.bytes);
}

void SerialSource::poll() {
  if (stopped_ || !port_.is_open()) return;
  poll_at(steady_clock::now() + milliseconds(config_.poll->interval_ms));
  if (asked_ && !answered_ && !no_room_) intake_.count("poll_unanswered");
  asked_ = false;
  if (writing_ || no_room_) return intake_.count("poll_skipped");
  send();
}

void SerialSource::poll_at(boost::asio::steady_timer::time_point when) {
  poll_.expires_at(when);
  poll_.async_wait([this, opened = opened_, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (!error && !alive.expired() && opened == opened_) poll();
  });
}

void SerialSource::send() {
  writing_ = true;
  asked_ = true;
  answered_ = false;
  boost::asio::async_write(port_, boost::asio::buffer(config_.poll->send), [this, opened = opened_, alive = std::weak_ptr(alive_)](boost::system::error_code error, std::size_t) {
    if (alive.expired() || opened != opened_ || stopped_) return;
    writing_ = false;
    if (error) lost(error.message());
  });
}

void SerialSource::on_room() {
  if (stopped_ || !no_room_ || !port_.is_open()) return;
  no_room_ = false;
  frames_.listen(intake_.clock().steady_ms());
  hand_over();
}

void SerialSource::stop() {
  stopped_ = true;
  reopen_.cancel();
  poll_.cancel();
  close();
}

bool SerialSource::in_trouble() const { return !stopped_ && !problem_.empty(); }

std::string SerialSource::state() const {
  if (stopped_) return "stopped";
  if (!problem_.empty()) return problem_;
  return "reading " + config_.device + " (" + settings_text(config_) + "), " + std::to_string(records_) + " frames";
}

std::string describe_guarantee(const config::SerialSource& config) {
  return std::string("at most once: a serial line has no acknowledgement. Lost is what the device sends while the agent is down or the port is closed, what comes while there is no room and the "
                     "kernel's buffer of 4 KiB is full") +
         (config.flow == config::SerialSource::Flow::none ? " (flow_control would hold the device up)" : " although flow control asked the device to wait") +
         ", what was read and not yet committed (up to agent.commit_interval) when it is killed, and after each opening the end of a line or frame that had begun before.";
}

}  // namespace rivulet::source
