#include "agent/source/datagram/datagram_source.h"

#include <sys/uio.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <chrono>

#include "agent/base/log.h"

namespace rivulet::source {
namespace {

constexpr std::chrono::seconds kRetry{1};
constexpr std::size_t kControlBytes = 256;  // credentials, a count of drops; what else there is does not matter

}  // namespace

DatagramSource::DatagramSource(boost::asio::io_context& io, config::DatagramSettings config, std::string name, Intake& intake, std::unique_ptr<DatagramAddress> address)
    : config_(config), name_(std::move(name)), intake_(intake), address_(std::move(address)), socket_(io), retry_(io),
      buffer_(static_cast<std::size_t>(config_.max_datagram_bytes)) {}

void DatagramSource::start() {
  if (stopped_) return;
  if (auto bound = address_->bind(socket_, name_); !bound) {
    if (problem_ != bound.error().message) log::error("{}: {}; trying again each second", name_, bound.error().message);
    problem_ = bound.error().message;
    boost::system::error_code ignored;
    socket_.close(ignored);
    retry_.expires_after(kRetry);
    return retry_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
      if (!error && !alive.expired()) start();
    });
  }
  problem_.clear();
  boost::system::error_code ignored;
  socket_.non_blocking(true, ignored);
  wait();
}

void DatagramSource::wait() {
  if (waiting_ || stopped_ || !socket_.is_open()) return;
  waiting_ = true;
  socket_.async_wait(DatagramAddress::Socket::wait_read, [this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (alive.expired()) return;
    waiting_ = false;
    if (!error) read();
  });
}

void DatagramSource::read() {
  empty_ = false;
  for (int turn = 0; turn < kDatagramsATurn && !stopped_ && !empty_; ++turn) {
    if (!intake_.can_accept()) return;  // on_room() comes back here
    if (more_ || receive())
      if (!hand_over()) return;
  }
  wait();  // readable at once, when there is more
}

bool DatagramSource::receive() {
  sockaddr_storage from{};
  iovec into{buffer_.data(), buffer_.size()};
  alignas(cmsghdr) std::array<char, kControlBytes> control{};
  msghdr message{};
  message.msg_name = &from;
  message.msg_namelen = sizeof from;
  message.msg_iov = &into;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const auto got = ::recvmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) {  // also what an earlier answer of the network said, such as ECONNREFUSED: no datagram is lost by it
    empty_ = errno != EINTR;
    if (empty_ && errno != EAGAIN && errno != EWOULDBLOCK) intake_.count("receive_failed");
    return false;
  }
  if (const std::uint32_t dropped = address_->look_at(message, sender_); dropped > 0) intake_.count("dropped_by_kernel", dropped);
  if ((message.msg_flags & MSG_TRUNC) != 0) {
    intake_.count("datagram_too_long");
    return false;
  }
  ++datagrams_;
  rest_ = {buffer_.data(), static_cast<std::size_t>(got)};
  more_ = true;
  return true;
}

bool DatagramSource::hand_over() {
  if (!config_.lines) {
    intake_.accept({rest_, sender_});
    more_ = false;
    return true;
  }
  while (!rest_.empty()) {
    if (stopped_ || !intake_.can_accept()) return false;
    const std::size_t end = rest_.find('\n');
    std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (!line.empty()) intake_.accept({line, sender_});
  }
  more_ = false;
  return true;
}

void DatagramSource::on_room() {
  if (stopped_ || !socket_.is_open()) return;
  read();
}

void DatagramSource::stop() {
  stopped_ = true;
  retry_.cancel();
  const bool was_open = socket_.is_open();
  boost::system::error_code ignored;
  socket_.close(ignored);
  if (was_open) address_->closed();
}

bool DatagramSource::in_trouble() const { return !problem_.empty(); }

std::string DatagramSource::state() const {
  if (!problem_.empty()) return problem_;
  if (!socket_.is_open()) return "stopped";
  return "listening on " + address_->text(socket_) + ", " + std::to_string(datagrams_) + " datagrams";
}

}  // namespace rivulet::source
