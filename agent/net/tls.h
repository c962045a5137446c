// TLS contexts from the configuration, for what listens and what connects.
//
// Protocols: TLS 1.2 and newer. Server: certificate and key are required; with `ca` a client must show a certificate that
// it signed (verify: false only asks for one). Client: `ca`, or the system's certificates when it is empty; certificate and
// key when the broker wants them. Errors name the file. Thread: any; the context may be shared by connections of one thread.
#pragma once
#include <memory>
#include <string>

#include "agent/base/result.h"
#include "agent/config/tls.h"

struct ssl_ctx_st;

namespace rivulet::net {

struct FreeTlsContext {
  void operator()(ssl_ctx_st* context) const;
};
using TlsContext = std::unique_ptr<ssl_ctx_st, FreeTlsContext>;

result<TlsContext> server_tls(const config::Tls& tls);
result<TlsContext> client_tls(const config::Tls& tls);

// OpenSSL's oldest queued error as text, and the queue emptied; "unknown TLS error" when there is none.
std::string tls_error_text();

}  // namespace rivulet::net
