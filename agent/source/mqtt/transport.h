// Transport: one connection to an MQTT server, plain TCP or TLS, behind four calls.
//
// Thread: io. Lifetime: handlers keep it alive; after close() none is called with success. Errors are Asio's.
#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>

#include <functional>
#include <memory>
#include <string>

#include "agent/config/config.h"

namespace rivulet::source::mqtt {

class Transport : public std::enable_shared_from_this<Transport> {
 public:
  using Done = std::function<void(const boost::system::error_code&, std::size_t)>;
  // Throws boost::system::system_error when a certificate or key cannot be read.
  Transport(boost::asio::io_context& io, const config::MqttSource& settings);
  void connect(std::function<void(const boost::system::error_code&)> done);
  void read(char* to, std::size_t size, Done done);
  void write(const std::string& bytes, Done done);  // `bytes` lives until done
  void close();

 private:
  using Tls = boost::asio::ssl::stream<boost::asio::ip::tcp::socket>;
  boost::asio::ip::tcp::socket& socket() { return tls_ ? tls_->next_layer() : *plain_; }

  const config::MqttSource& settings_;
  boost::asio::ip::tcp::resolver resolver_;
  std::unique_ptr<boost::asio::ssl::context> context_;
  std::unique_ptr<Tls> tls_;
  std::unique_ptr<boost::asio::ip::tcp::socket> plain_;
};

}  // namespace rivulet::source::mqtt
