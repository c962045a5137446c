#include "agent/mqtt/transport.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/write.hpp>
#include <fmt/core.h>
#include <openssl/x509v3.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "agent/net/tls.h"

namespace rivulet::mqtt {

namespace asio = boost::asio;
using boost::system::error_code;

result<std::shared_ptr<Transport>> Transport::make(asio::io_context& io, const Server& settings) {
  std::shared_ptr<Transport> made(new Transport(io, settings));
  if (!settings.tls_on) {
    made->plain_ = std::make_unique<Socket>(io);
    return made;
  }
  auto context = net::client_tls(settings.tls);
  if (!context) return context.error();
  made->context_ = std::make_unique<asio::ssl::context>(context->release());
  made->tls_ = std::make_unique<Tls>(io, *made->context_);
  SSL* ssl = made->tls_->native_handle();
  error_code no_address;
  asio::ip::make_address(settings.host, no_address);
  if (no_address) SSL_set_tlsext_host_name(ssl, settings.host.c_str());  // RFC 6066: never an address
  if (!settings.tls.verify) return made;
  const bool set = no_address ? SSL_set1_host(ssl, settings.host.c_str()) == 1
                              : X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), settings.host.c_str()) == 1;
  if (!set) return Error{ErrorCode::invalid, fmt::format("tls: '{}' cannot be compared with a certificate: {}", settings.host, net::tls_error_text())};
  return made;
}

void Transport::connect(std::size_t attempt, Connected done) {
  resolver_.async_resolve(settings_.host, std::to_string(settings_.port), [self = shared_from_this(), attempt, done](const error_code& error, const auto& found) {
    if (error) return done(fmt::format("cannot find {}: {}", self->settings_.host, error.message()));
    std::vector<asio::ip::tcp::endpoint> endpoints;
    for (const auto& each : found) endpoints.push_back(each.endpoint());
    if (!endpoints.empty()) std::rotate(endpoints.begin(), endpoints.begin() + static_cast<std::ptrdiff_t>(attempt % endpoints.size()), endpoints.end());
    asio::async_connect(self->socket(), endpoints, [self, done](const error_code& failed, const asio::ip::tcp::endpoint&) {
      if (failed) return done(fmt::format("cannot connect: {}", failed.message()));
      error_code ignored;  // a socket without these options still works
      self->socket().set_option(asio::ip::tcp::no_delay(true), ignored);
      self->socket().set_option(asio::socket_base::keep_alive(true), ignored);
      if (self->tls_) return self->shake_hands(done);
      done("");
    });
  });
}

void Transport::shake_hands(Connected done) {
  tls_->async_handshake(asio::ssl::stream_base::client, [self = shared_from_this(), done](const error_code& error) {
    if (!error) return done("");
    const long verdict = SSL_get_verify_result(self->tls_->native_handle());
    if (self->settings_.tls.verify && verdict != X509_V_OK)
      return done(fmt::format("its certificate is refused: {}; see tls.ca and the host in url", X509_verify_cert_error_string(verdict)));
    done(fmt::format("no TLS with it: {}", error.message()));
  });
}

void Transport::read(char* to, std::size_t size, Done done) {
  const auto handler = [self = shared_from_this(), done = std::move(done)](const error_code& error, std::size_t count) { done(error, count); };
  if (tls_) tls_->async_read_some(asio::buffer(to, size), handler);
  else plain_->async_read_some(asio::buffer(to, size), handler);
}

void Transport::write(const std::string& bytes, Done done) {
  constexpr std::size_t kAtOnce = 64 * 1024;
  const auto handler = [self = shared_from_this(), done = std::move(done)](const error_code& error, std::size_t count) { done(error, count); };
  const auto so_far = [self = shared_from_this()](const error_code& error, std::size_t count) {
    self->written_ = count;
    return error ? 0 : kAtOnce;
  };
  if (tls_) asio::async_write(*tls_, asio::buffer(bytes), so_far, handler);
  else asio::async_write(*plain_, asio::buffer(bytes), so_far, handler);
}

std::size_t Transport::unsent() const {
  int bytes = 0;
  return ::ioctl(socket().native_handle(), TIOCOUTQ, &bytes) == 0 && bytes > 0 ? static_cast<std::size_t>(bytes) : 0;
}

void Transport::finish(std::string bytes) {
  deadline_.expires_after(std::chrono::seconds(1));
  deadline_.async_wait([self = shared_from_this()](const error_code& error) {
    if (!error) self->close();
  });
  const auto held = std::make_shared<const std::string>(std::move(bytes));
  write(*held, [self = shared_from_this(), held](const error_code&, std::size_t) {
    self->deadline_.cancel();
    self->close();
  });
}

void Transport::close() {
  error_code ignored;
  resolver_.cancel();
  socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  socket().close(ignored);
}

}  // namespace rivulet::mqtt
