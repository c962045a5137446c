#include "agent/source/mqtt/transport.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/write.hpp>

namespace rivulet::source::mqtt {

namespace asio = boost::asio;
using boost::system::error_code;

Transport::Transport(asio::io_context& io, const config::MqttSource& settings) : settings_(settings), resolver_(io) {
  if (!settings.tls_on) {
    plain_ = std::make_unique<asio::ip::tcp::socket>(io);
    return;
  }
  context_ = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_client);
  context_->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1);
  if (settings.tls.ca.empty()) context_->set_default_verify_paths();
  else context_->load_verify_file(settings.tls.ca);
  if (!settings.tls.certificate.empty()) {
    context_->use_certificate_chain_file(settings.tls.certificate);
    context_->use_private_key_file(settings.tls.key, asio::ssl::context::pem);
  }
  tls_ = std::make_unique<Tls>(io, *context_);
  if (settings.tls.verify) {
    tls_->set_verify_mode(asio::ssl::verify_peer);
    tls_->set_verify_callback(asio::ssl::host_name_verification(settings.host));
  }
  SSL_set_tlsext_host_name(tls_->native_handle(), settings.host.c_str());
}

void Transport::connect(std::function<void(const error_code&)> done) {
  resolver_.async_resolve(settings_.host, std::to_string(settings_.port), [self = shared_from_this(), done](const error_code& error, const auto& endpoints) {
    if (error) return done(error);
    asio::async_connect(self->socket(), endpoints, [self, done](const error_code& failed, const asio::ip::tcp::endpoint&) {
      if (failed) return done(failed);
      error_code ignored;  // a socket without these options still works
      self->socket().set_option(asio::ip::tcp::no_delay(true), ignored);
      self->socket().set_option(asio::socket_base::keep_alive(true), ignored);
      if (!self->tls_) return done(failed);
      self->tls_->async_handshake(asio::ssl::stream_base::client, [self, done](const error_code& refused) { done(refused); });
    });
  });
}

void Transport::read(char* to, std::size_t size, Done done) {
  const auto handler = [self = shared_from_this(), done = std::move(done)](const error_code& error, std::size_t count) { done(error, count); };
  if (tls_) tls_->async_read_some(asio::buffer(to, size), handler);
  else plain_->async_read_some(asio::buffer(to, size), handler);
}

void Transport::write(const std::string& bytes, Done done) {
  const auto handler = [self = shared_from_this(), done = std::move(done)](const error_code& error, std::size_t count) { done(error, count); };
  if (tls_) asio::async_write(*tls_, asio::buffer(bytes), handler);
  else asio::async_write(*plain_, asio::buffer(bytes), handler);
}

void Transport::close() {
  error_code ignored;
  resolver_.cancel();
  socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  socket().close(ignored);
}

}  // namespace rivulet::source::mqtt
