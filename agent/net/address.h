// An address as it is written, and can be put into a configuration or a URL: host:port, an IPv6 address in brackets (RFC 3986 section 3.2.2).
#pragma once
#include <cstdint>
#include <string>

namespace rivulet::net {

inline std::string address_text(const std::string& host, std::uint16_t port) {
  return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + std::to_string(port);
}

}  // namespace rivulet::net
