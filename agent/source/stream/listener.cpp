#include "agent/source/stream/listener.h"

#include <netinet/in.h>

#include <boost/asio/io_context.hpp>
#include <chrono>

#include "agent/base/log.h"

namespace rivulet::source {
namespace {

using namespace std::chrono_literals;
constexpr auto kRetry = 1s;
constexpr auto kAcceptPause = 250ms;  // without it no file descriptors would spin

}  // namespace

Listener::Listener(boost::asio::io_context& io, std::unique_ptr<StreamAddress> address, std::string name, Intake& intake)
    : address_(std::move(address)), name_(std::move(name)), intake_(intake), acceptor_(io), retry_(io) {}

Listener::~Listener() { stop(); }

void Listener::start(OnClient on_client, OnOffence on_offence) {
  on_client_ = std::move(on_client);
  on_offence_ = std::move(on_offence);
  listen();
}

void Listener::listen() {
  if (stopped_) return;
  if (auto bound = address_->listen(acceptor_); !bound) {
    if (problem_ != bound.error().message) log::error("{}: {}; trying again each second", name_, bound.error().message);
    problem_ = bound.error().message;
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    retry_.expires_after(kRetry);
    return retry_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
      if (!error && !alive.expired()) listen();
    });
  }
  problem_.clear();
  accept_next();
}

void Listener::accept_next() {
  acceptor_.async_accept([this, alive = std::weak_ptr(alive_)](boost::system::error_code error, Socket socket) {
    if (alive.expired() || error == boost::asio::error::operation_aborted || !acceptor_.is_open()) return;
    if (error) {
      intake_.count("accept_failed");
      on_offence_("a new client", "cannot accept: " + error.message());
      retry_.expires_after(kAcceptPause);
      return retry_.async_wait([this, alive](boost::system::error_code again) {
        if (!again && !alive.expired()) accept_next();
      });
    }
    boost::system::error_code blocks;
    socket.non_blocking(true, blocks);
    if (!blocks) socket.native_non_blocking(true, blocks);
    if (!blocks) {
      std::string peer = address_->welcome(socket);
      on_client_(std::move(socket), std::move(peer));
    }
    if (!alive.expired()) accept_next();
  });
}

void Listener::stop() {
  if (stopped_) return;
  stopped_ = true;
  const bool was_open = acceptor_.is_open();
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  retry_.cancel();
  if (was_open) address_->closed();
}

std::uint16_t Listener::port() const {
  boost::system::error_code error;
  const auto endpoint = acceptor_.local_endpoint(error);
  if (error) return 0;
  if (endpoint.data()->sa_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(endpoint.data())->sin_port);
  if (endpoint.data()->sa_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6*>(endpoint.data())->sin6_port);
  return 0;
}

}  // namespace rivulet::source
