// TcpSource: a server that many TCP clients send lines or length-prefixed frames to, plain or over TLS; all else is StreamServer's.
#pragma once
#include <string>

#include "agent/source/stream/stream_server.h"

namespace rivulet::source {

class TcpSource final : public StreamServer {
 public:
  TcpSource(boost::asio::io_context& io, config::TcpSource config, std::string name, Intake& intake)
      : StreamServer(io, config, std::move(name), intake, make_tcp_address("tcp", config.listen_host, config.listen_port)) {}
};

}  // namespace rivulet::source
