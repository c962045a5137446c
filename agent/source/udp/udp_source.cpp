#include "agent/source/udp/udp_source.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/multicast.hpp>
#include <boost/asio/ip/udp.hpp>
#include <cstring>
#include <utility>

#include "agent/base/log.h"
#include "agent/net/address.h"

namespace rivulet::source {
namespace {

using boost::asio::ip::udp;

std::uint16_t port_of(const DatagramAddress::Socket& socket) {
  boost::system::error_code error;
  const auto endpoint = socket.local_endpoint(error);
  if (error) return 0;
  return ntohs(endpoint.data()->sa_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(endpoint.data())->sin6_port
                                                      : reinterpret_cast<const sockaddr_in*>(endpoint.data())->sin_port);
}

class UdpAddress final : public DatagramAddress {
 public:
  explicit UdpAddress(const config::UdpSource& config) : config_(config) {}

  result<void> bind(Socket& socket, const std::string& source_name) override {
    const std::string where = net::address_text(config_.listen_host, config_.listen_port);
    boost::system::error_code error;
    const auto address = boost::asio::ip::make_address(config_.listen_host, error);
    if (error) return Error{ErrorCode::invalid, "udp: listen: '" + config_.listen_host + "' is no IP address; expected one such as 0.0.0.0"};
    const udp::endpoint endpoint(address, config_.listen_port);
    dropped_ = 0;
    socket.open(endpoint.protocol(), error);
    if (!error && address.is_multicast()) socket.set_option(Socket::reuse_address(true), error);  // several listeners of a group
    if (!error) socket.bind(endpoint, error);
    if (error) return Error{ErrorCode::unavailable, "udp: cannot listen on " + where + ": " + error.message()};
    if (address.is_multicast()) {
      socket.set_option(boost::asio::ip::multicast::join_group(address), error);
      if (error) return Error{ErrorCode::unavailable, "udp: cannot join the multicast group " + config_.listen_host + ": " + error.message() + "; is the network up?"};
    }
    set_buffer(socket.native_handle(), source_name);
    return {};
  }

  std::uint32_t look_at(const msghdr& message, std::string& sender) override {
    remember_sender(*static_cast<const sockaddr_storage*>(message.msg_name), sender);
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(const_cast<msghdr*>(&message), part)) {
      if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SO_RXQ_OVFL) continue;
      std::uint32_t so_far = 0;
      std::memcpy(&so_far, CMSG_DATA(part), sizeof so_far);
      return so_far - std::exchange(dropped_, so_far);  // modulo 2^32
    }
    return 0;
  }

  std::string text(const Socket& socket) const override { return net::address_text(config_.listen_host, port_of(socket)); }

 private:
  void set_buffer(int socket, const std::string& source_name) const {
    const int on = 1, wanted = static_cast<int>(config_.receive_buffer_bytes);
    ::setsockopt(socket, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
    if (::setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof wanted) != 0)  // needs CAP_NET_ADMIN
      ::setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted);
    int granted = 0;
    socklen_t size = sizeof granted;
    if (::getsockopt(socket, SOL_SOCKET, SO_RCVBUF, &granted, &size) == 0 && granted / 2 < wanted)  // Linux answers twice what it grants
      log::warn("{}: the kernel grants a receive buffer of {} bytes instead of {}; raise the sysctl net.core.rmem_max, or lower receive_buffer", source_name, granted / 2, wanted);
  }

  void remember_sender(const sockaddr_storage& from, std::string& sender) {
    const bool six = from.ss_family == AF_INET6;
    const void* address = six ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in6&>(from).sin6_addr) : &reinterpret_cast<const sockaddr_in&>(from).sin_addr;
    const std::string_view bytes(static_cast<const char*>(address), six ? sizeof(in6_addr) : sizeof(in_addr));
    if (bytes == sender_bytes_) return;
    std::array<char, INET6_ADDRSTRLEN> text{};
    sender_bytes_ = bytes;
    sender = ::inet_ntop(from.ss_family, address, text.data(), text.size()) != nullptr ? text.data() : "";
    constexpr std::string_view kMapped = "::ffff:";  // IPv4 on an IPv6 socket
    if (sender.rfind(kMapped, 0) == 0 && sender.find('.') != std::string::npos) sender.erase(0, kMapped.size());
  }

  const config::UdpSource config_;
  std::string sender_bytes_;  // whose text was given last
  std::uint32_t dropped_ = 0;  // as the kernel counts, modulo 2^32
};

}  // namespace

UdpSource::UdpSource(boost::asio::io_context& io, const config::UdpSource& config, std::string name, Intake& intake)
    : DatagramSource(io, config, std::move(name), intake, std::make_unique<UdpAddress>(config)) {}

std::uint16_t UdpSource::port() const { return port_of(socket()); }

std::string describe_guarantee(const config::UdpSource&) {
  return "at most once: UDP has no acknowledgement. Lost is what the network drops, what comes while the agent is down or has no room and no longer fits into "
         "receive_buffer (counted as dropped_by_kernel), and what was read and not yet committed (up to agent.commit_interval) when it is killed.";
}

}  // namespace rivulet::source
