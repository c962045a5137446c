// Listener: takes stream connections in at an address, and keeps trying until it has it.
//
// What differs between the kinds of addresses is behind StreamAddress. Thread: io. Lifetime: the io_context and the Intake outlive it. Bounds: one
// accept at a time; who gets in is decided by on_client. Errors: an address that cannot be had is tried again each second and named in problem(); a
// client that cannot be accepted (no file descriptors, mostly) is counted, and the next try comes after a pause.
#pragma once
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "agent/base/result.h"
#include "agent/source/source.h"

namespace rivulet::source {

class StreamAddress {
 public:
  using Acceptor = boost::asio::basic_socket_acceptor<boost::asio::generic::stream_protocol>;
  using Socket = boost::asio::generic::stream_protocol::socket;

  virtual ~StreamAddress() = default;
  virtual result<void> listen(Acceptor& acceptor) = 0;  // from closed to listening
  virtual void closed() {}                              // it listens no more
  virtual std::string welcome(Socket& socket) = 0;      // sets a new client's options, and says who it is
  virtual std::string text(const Acceptor& acceptor) const = 0;
};

class Listener {
 public:
  using Socket = StreamAddress::Socket;
  using OnClient = std::function<void(Socket socket, std::string peer)>;  // the socket does not block
  using OnOffence = std::function<void(const std::string& peer, const std::string& reason)>;

  Listener(boost::asio::io_context& io, std::unique_ptr<StreamAddress> address, std::string name, Intake& intake);
  ~Listener();

  void start(OnClient on_client, OnOffence on_offence);
  void stop();

  boost::asio::any_io_executor executor() { return acceptor_.get_executor(); }
  bool listening() const { return acceptor_.is_open(); }
  const std::string& problem() const { return problem_; }  // empty: none
  std::string text() const { return address_->text(acceptor_); }
  std::uint16_t port() const;  // 0: not listening, or it has none

 private:
  void listen();
  void accept_next();

  std::unique_ptr<StreamAddress> address_;
  const std::string name_;
  Intake& intake_;
  StreamAddress::Acceptor acceptor_;
  boost::asio::steady_timer retry_;
  OnClient on_client_;
  OnOffence on_offence_;
  std::string problem_;
  bool stopped_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// host:port, an IP address or a name. `kind` begins its messages: "tcp", "http".
std::unique_ptr<StreamAddress> make_tcp_address(std::string kind, std::string host, std::uint16_t port);

}  // namespace rivulet::source
