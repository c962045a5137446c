#include <netinet/in.h>
#include <netinet/tcp.h>

#include <boost/asio/ip/tcp.hpp>
#include <cstring>

#include "agent/net/address.h"
#include "agent/source/stream/listener.h"

namespace rivulet::source {
namespace {

using boost::asio::ip::tcp;

class TcpAddress final : public StreamAddress {
 public:
  TcpAddress(std::string kind, std::string host, std::uint16_t port) : kind_(std::move(kind)), host_(std::move(host)), port_(port) {}

  result<void> listen(Acceptor& acceptor) override {
    const std::string where = net::address_text(host_, port_);
    boost::system::error_code error;
    auto address = boost::asio::ip::make_address(host_, error);
    if (error) {
      tcp::resolver resolver(acceptor.get_executor());
      const auto found = resolver.resolve(host_, std::to_string(port_), tcp::resolver::passive, error);
      if (error || found.empty()) return Error{ErrorCode::invalid, kind_ + ": cannot find listen address " + where + ": " + error.message()};
      address = found.begin()->endpoint().address();
    }
    const tcp::endpoint endpoint(address, port_);
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(Acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(boost::asio::socket_base::max_listen_connections, error);
    if (error) return Error{ErrorCode::unavailable, kind_ + ": cannot listen on " + where + ": " + error.message()};
    return {};
  }

  // A client whose gateway lost power must not hold its place for ever.
  std::string welcome(Socket& socket) override {
    boost::system::error_code ignored;
    socket.set_option(boost::asio::socket_base::keep_alive(true), ignored);
    socket.set_option(tcp::no_delay(true), ignored);
    using Idle = boost::asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPIDLE>;
    using Interval = boost::asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPINTVL>;
    using Count = boost::asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPCNT>;
    socket.set_option(Idle(60), ignored);
    socket.set_option(Interval(15), ignored);
    socket.set_option(Count(4), ignored);
    boost::system::error_code unknown;
    const auto found = socket.remote_endpoint(unknown);
    tcp::endpoint endpoint;
    if (unknown || found.size() > endpoint.capacity()) return "unknown";
    std::memcpy(endpoint.data(), found.data(), found.size());
    return net::address_text(endpoint.address().to_string(), endpoint.port());
  }

  std::string text(const Acceptor& acceptor) const override {
    boost::system::error_code error;
    const auto found = acceptor.local_endpoint(error);
    tcp::endpoint endpoint;
    if (!error && found.size() <= endpoint.capacity()) std::memcpy(endpoint.data(), found.data(), found.size());
    return net::address_text(host_, endpoint.port());
  }

 private:
  const std::string kind_, host_;
  const std::uint16_t port_;
};

}  // namespace

std::unique_ptr<StreamAddress> make_tcp_address(std::string kind, std::string host, std::uint16_t port) {
  return std::make_unique<TcpAddress>(std::move(kind), std::move(host), port);
}

}  // namespace rivulet::source
