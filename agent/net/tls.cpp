#include "agent/net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

namespace rivulet::net {
namespace {

Error failed(const std::string& what, const std::string& file) {
  return {ErrorCode::invalid, "tls: cannot use " + what + " " + file + ": " + tls_error_text()};
}

result<void> set_identity(SSL_CTX* context, const config::Tls& tls) {
  if (SSL_CTX_use_certificate_chain_file(context, tls.certificate.c_str()) != 1) {
    return failed("certificate", tls.certificate);
  }
  if (SSL_CTX_use_PrivateKey_file(context, tls.key.c_str(), SSL_FILETYPE_PEM) != 1) return failed("key", tls.key);
  if (SSL_CTX_check_private_key(context) != 1) {
    return Error{ErrorCode::invalid, "tls: key " + tls.key + " does not belong to certificate " + tls.certificate};
  }
  return {};
}

result<TlsContext> new_context(const SSL_METHOD* method) {
  TlsContext context(SSL_CTX_new(method));
  if (!context) return Error{ErrorCode::invalid, "tls: " + tls_error_text()};
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION);
  // An idle connection gives its 34 KiB of record buffers back: 64 clients must fit a small gateway.
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return context;
}

}  // namespace

void FreeTlsContext::operator()(ssl_ctx_st* context) const { SSL_CTX_free(context); }

std::string tls_error_text() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "unknown TLS error";
  char text[256];
  ERR_error_string_n(code, text, sizeof text);
  return text;
}

result<TlsContext> server_tls(const config::Tls& tls) {
  if (tls.certificate.empty() || tls.key.empty()) {
    return Error{ErrorCode::invalid, "tls: a listening source needs `certificate` and `key`"};
  }
  auto context = new_context(TLS_server_method());
  if (!context) return context;
  if (auto set = set_identity(context->get(), tls); !set) return set.error();
  if (!tls.ca.empty()) {
    if (SSL_CTX_load_verify_locations(context->get(), tls.ca.c_str(), nullptr) != 1) return failed("ca", tls.ca);
    SSL_CTX_set_verify(context->get(), SSL_VERIFY_PEER | (tls.verify ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
  }
  // No session tickets: they would cost each client a write after the handshake for a resumption nobody asks for.
  SSL_CTX_set_num_tickets(context->get(), 0);
  return context;
}

result<TlsContext> client_tls(const config::Tls& tls) {
  auto context = new_context(TLS_client_method());
  if (!context) return context;
  if (!tls.certificate.empty()) {
    if (auto set = set_identity(context->get(), tls); !set) return set.error();
  }
  if (!tls.ca.empty()) {
    if (SSL_CTX_load_verify_locations(context->get(), tls.ca.c_str(), nullptr) != 1) return failed("ca", tls.ca);
  } else {
    SSL_CTX_set_default_verify_paths(context->get());
  }
  SSL_CTX_set_verify(context->get(), tls.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  return context;
}

}  // namespace rivulet::net
