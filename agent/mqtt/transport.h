// Transport: one connection to an MQTT server, plain TCP or TLS, behind five calls.
//
// Thread: io. Lifetime: handlers keep it alive; after close() none is called with success. One read and one write at a time.
// Errors: as text for people. TLS: at least 1.2; the certificate's chain and its name (or address) are checked unless verify is off.
#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "agent/base/result.h"
#include "agent/config/tls.h"

namespace rivulet::mqtt {

struct Server {
  std::string host;
  std::uint16_t port = 1883;
  bool tls_on = false;
  config::Tls tls;
};

class Transport : public std::enable_shared_from_this<Transport> {
 public:
  using Done = std::function<void(const boost::system::error_code&, std::size_t)>;
  using Connected = std::function<void(const std::string& problem)>;  // empty: connected

  // An error names the TLS file that cannot be used.
  static result<std::shared_ptr<Transport>> make(boost::asio::io_context& io, const Server& server);

  // `attempt` chooses the address that is tried first: one that swallows packets must not hide the others for ever.
  void connect(std::size_t attempt, Connected done);
  void read(char* to, std::size_t size, Done done);
  void write(const std::string& bytes, Done done);  // `bytes` lives until done
  std::size_t written() const { return written_; }  // of the last write(), so far
  std::size_t unsent() const;                       // bytes that the other side's machine does not have yet
  void finish(std::string bytes);                   // a last word, then close; within a second. No write may be under way
  void close();

 private:
  using Socket = boost::asio::ip::tcp::socket;
  using Tls = boost::asio::ssl::stream<Socket>;
  Transport(boost::asio::io_context& io, const Server& server) : settings_(server), resolver_(io), deadline_(io) {}
  Socket& socket() const { return tls_ ? tls_->next_layer() : *plain_; }
  void shake_hands(Connected done);

  const Server settings_;
  boost::asio::ip::tcp::resolver resolver_;
  boost::asio::steady_timer deadline_;
  std::unique_ptr<boost::asio::ssl::context> context_;
  std::unique_ptr<Tls> tls_;
  std::unique_ptr<Socket> plain_;
  std::size_t written_ = 0;
};

}  // namespace rivulet::mqtt
