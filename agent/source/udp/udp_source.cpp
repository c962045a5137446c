#include "agent/source/udp/udp_source.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/multicast.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace rivulet::source {
namespace {

using boost::asio::ip::udp;
constexpr std::chrono::seconds kRetry{1};

}  // namespace

UdpSource::UdpSource(boost::asio::io_context& io, config::UdpSource config, std::string name, Intake& intake)
    : config_(std::move(config)), name_(std::move(name)), intake_(intake), socket_(io), retry_(io), buffer_(config_.max_datagram_bytes) {}

void UdpSource::start() {
  if (stopped_) return;
  if (auto bound = bind_address(); !bound) {
    if (problem_ != bound.error().message) spdlog::error("{}: {}; trying again each second", name_, bound.error().message);
    problem_ = bound.error().message;
    boost::system::error_code ignored;
    socket_.close(ignored);
    retry_.expires_after(kRetry);
    return retry_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
      if (!error && !alive.expired()) start();
    });
  }
  problem_.clear();
  dropped_ = 0;
  wait();
}

result<void> UdpSource::bind_address() {
  const std::string where = config_.listen_host + ":" + std::to_string(config_.listen_port);
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(config_.listen_host, error);
  if (error) return Error{ErrorCode::invalid, "udp: listen: '" + config_.listen_host + "' is no IP address; expected one such as 0.0.0.0"};
  const udp::endpoint endpoint(address, config_.listen_port);
  socket_.open(endpoint.protocol(), error);
  if (!error && address.is_multicast()) socket_.set_option(udp::socket::reuse_address(true), error);  // several listeners of a group
  if (!error) socket_.bind(endpoint, error);
  if (!error) socket_.non_blocking(true, error);
  if (error) return Error{ErrorCode::unavailable, "udp: cannot listen on " + where + ": " + error.message()};
  if (address.is_multicast()) {
    socket_.set_option(boost::asio::ip::multicast::join_group(address), error);
    if (error) return Error{ErrorCode::unavailable, "udp: cannot join the multicast group " + config_.listen_host + ": " + error.message() + "; is the network up?"};
  }
  const int on = 1, wanted = static_cast<int>(config_.receive_buffer_bytes);
  ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
  if (::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof wanted) != 0)  // needs CAP_NET_ADMIN
    ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted);
  int granted = 0;
  socklen_t size = sizeof granted;
  if (::getsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVBUF, &granted, &size) == 0 && granted / 2 < wanted)  // Linux answers twice what it grants
    spdlog::warn("{}: the kernel grants a receive buffer of {} bytes instead of {}; raise the sysctl net.core.rmem_max, or lower receive_buffer", name_, granted / 2, wanted);
  return {};
}

void UdpSource::wait() {
  if (waiting_ || stopped_ || !socket_.is_open()) return;
  waiting_ = true;
  socket_.async_wait(udp::socket::wait_read, [this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (alive.expired()) return;
    waiting_ = false;
    if (!error) read();
  });
}

void UdpSource::read() {
  empty_ = false;
  for (int turn = 0; turn < kDatagramsATurn && !stopped_ && !empty_; ++turn) {
    if (!intake_.can_accept()) return;  // on_room() comes back here
    if (more_ || receive())
      if (!hand_over()) return;
  }
  wait();  // readable at once, when there is more
}

bool UdpSource::receive() {
  sockaddr_storage from{};
  iovec into{buffer_.data(), buffer_.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(std::uint32_t))> control{};
  msghdr message{};
  message.msg_name = &from;
  message.msg_namelen = sizeof from;
  message.msg_iov = &into;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const auto got = ::recvmsg(socket_.native_handle(), &message, 0);
  if (got < 0) {  // also what an earlier answer of the network said, such as ECONNREFUSED: no datagram is lost by it
    empty_ = errno != EINTR;
    if (empty_ && errno != EAGAIN && errno != EWOULDBLOCK) intake_.count("receive_failed");
    return false;
  }
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SO_RXQ_OVFL) continue;
    std::uint32_t so_far = 0;
    std::memcpy(&so_far, CMSG_DATA(part), sizeof so_far);
    count_drops(so_far);
  }
  if ((message.msg_flags & MSG_TRUNC) != 0) {
    intake_.count("datagram_too_long");
    return false;
  }
  ++datagrams_;
  remember_sender(from);
  rest_ = {buffer_.data(), static_cast<std::size_t>(got)};
  more_ = true;
  return true;
}

bool UdpSource::hand_over() {
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

void UdpSource::count_drops(std::uint32_t so_far) {
  const std::uint32_t more = so_far - dropped_;  // modulo 2^32
  dropped_ = so_far;
  if (more > 0) intake_.count("dropped_by_kernel", more);
}

void UdpSource::remember_sender(const sockaddr_storage& from) {
  const bool six = from.ss_family == AF_INET6;
  const void* address = six ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in6&>(from).sin6_addr) : &reinterpret_cast<const sockaddr_in&>(from).sin_addr;
  const std::string_view bytes(static_cast<const char*>(address), six ? sizeof(in6_addr) : sizeof(in_addr));
  if (bytes == sender_bytes_) return;
  std::array<char, INET6_ADDRSTRLEN> text{};
  sender_bytes_ = bytes;
  sender_ = ::inet_ntop(from.ss_family, address, text.data(), text.size()) != nullptr ? text.data() : "";
  constexpr std::string_view kMapped = "::ffff:";  // IPv4 on an IPv6 socket
  if (sender_.rfind(kMapped, 0) == 0 && sender_.find('.') != std::string::npos) sender_.erase(0, kMapped.size());
}

void UdpSource::on_room() {
  if (stopped_ || !socket_.is_open()) return;
  read();
}

void UdpSource::stop() {
  stopped_ = true;
  retry_.cancel();
  boost::system::error_code ignored;
  socket_.close(ignored);
}

std::uint16_t UdpSource::port() const {
  boost::system::error_code error;
  const auto endpoint = socket_.local_endpoint(error);
  return error ? std::uint16_t{0} : endpoint.port();
}

std::string UdpSource::state() const {
  if (!problem_.empty()) return problem_;
  if (!socket_.is_open()) return "stopped";
  return "listening on " + config_.listen_host + ":" + std::to_string(port()) + ", " + std::to_string(datagrams_) + " datagrams";
}

std::string describe_guarantee(const config::UdpSource&) {
  return "at most once: UDP has no acknowledgement. Lost is what the network drops, what comes while the agent is down or has no room and no longer fits into "
         "receive_buffer (counted as dropped_by_kernel), and what was read and not yet committed (up to agent.commit_interval) when it is killed.";
}

}  // namespace rivulet::source
