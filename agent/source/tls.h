// TLS of sources that listen: net/tls.h.
#pragma once
#include "agent/net/tls.h"

namespace rivulet::source {

using net::client_tls, net::server_tls, net::tls_error_text, net::TlsContext;

}  // namespace rivulet::source
