#include "agent/source/stream/channel.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <stdexcept>

#include "agent/net/tls.h"

namespace rivulet::source {
namespace {

// OpenSSL's own socket BIO uses write(), which raises SIGPIPE when the client is gone. This one uses send().
int socket_of(BIO* bio) { return static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio))); }

int bio_write(BIO* bio, const char* bytes, int count) {
  BIO_clear_retry_flags(bio);
  const auto sent = ::send(socket_of(bio), bytes, static_cast<std::size_t>(count), MSG_NOSIGNAL);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

int bio_read(BIO* bio, char* bytes, int count) {
  BIO_clear_retry_flags(bio);
  const auto got = ::recv(socket_of(bio), bytes, static_cast<std::size_t>(count), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  return static_cast<int>(got);
}

long bio_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

const BIO_METHOD* socket_bio() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "rivulet socket");
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_ctrl(made, bio_control);
    return made;
  }();
  return method;
}

Channel::Outcome from_errno(Channel::Want blocked) {
  Channel::Outcome outcome;
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
    outcome.want = blocked;
  } else {
    outcome.error = std::strerror(errno);
  }
  return outcome;
}

}  // namespace

void Channel::FreeTls::operator()(ssl_st* tls) const { SSL_free(tls); }

Channel::Channel(int socket, ssl_ctx_st* tls) : socket_(socket) {
  if (tls == nullptr) return;
  tls_.reset(SSL_new(tls));
  BIO* bio = BIO_new(socket_bio());
  if (!tls_ || bio == nullptr) throw std::runtime_error("tls: out of memory for a connection");
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(socket)));
  BIO_set_init(bio, 1);
  SSL_set_bio(tls_.get(), bio, bio);
  SSL_set_accept_state(tls_.get());
}

Channel::~Channel() = default;

Channel::Outcome Channel::handshake() {
  ERR_clear_error();
  const int answer = SSL_do_handshake(tls_.get());
  return answer == 1 ? Outcome{} : tls_outcome(answer);
}

Channel::Outcome Channel::read(std::span<char> into) {
  Outcome outcome;
  if (tls_) {
    ERR_clear_error();
    const int got = SSL_read(tls_.get(), into.data(), static_cast<int>(std::min<std::size_t>(into.size(), INT_MAX)));
    if (got <= 0) return tls_outcome(got);
    outcome.bytes = static_cast<std::size_t>(got);
    return outcome;
  }
  const auto got = ::recv(socket_, into.data(), into.size(), 0);
  if (got < 0) return from_errno(Want::read);
  outcome.closed = got == 0;
  outcome.bytes = static_cast<std::size_t>(got);
  return outcome;
}

Channel::Outcome Channel::write(std::string_view bytes) {
  Outcome outcome;
  if (bytes.empty()) return outcome;
  if (tls_) {
    ERR_clear_error();
    const int sent = SSL_write(tls_.get(), bytes.data(), static_cast<int>(std::min<std::size_t>(bytes.size(), INT_MAX)));
    if (sent <= 0) return tls_outcome(sent);
    outcome.bytes = static_cast<std::size_t>(sent);
    return outcome;
  }
  const auto sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent < 0) return from_errno(Want::write);
  outcome.bytes = static_cast<std::size_t>(sent);
  return outcome;
}

void Channel::end() {
  if (tls_ && SSL_is_init_finished(tls_.get())) {
    ERR_clear_error();
    SSL_shutdown(tls_.get());
  }
  ::shutdown(socket_, SHUT_WR);
}

Channel::Outcome Channel::tls_outcome(int answer) const {
  Outcome outcome;
  const int system_error = errno;
  switch (SSL_get_error(tls_.get(), answer)) {
    case SSL_ERROR_WANT_READ: outcome.want = Want::read; break;
    case SSL_ERROR_WANT_WRITE: outcome.want = Want::write; break;
    case SSL_ERROR_ZERO_RETURN: outcome.closed = true; break;
    case SSL_ERROR_SYSCALL:
      outcome.error = answer == 0 || system_error == 0 ? "the client went away" : std::strerror(system_error);
      ERR_clear_error();
      break;
    default: outcome.error = net::tls_error_text();
  }
  return outcome;
}

}  // namespace rivulet::source
