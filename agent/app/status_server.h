// StatusServer: GET /, /metrics, /healthz, /status, /history over HTTP/1.1 on a loopback port or a unix socket.
//
// Thread: io. One request a connection, read-only; it never touches data. Bounds: kMaxConnections at a time (more are closed
// at once), kTimeout for request and answer together, a request head of at most 8 KiB and no body.
// Errors: listen() says why it cannot; the agent goes on without.
#pragma once
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/app/snapshot.h"
#include "agent/base/result.h"

namespace rivulet::app {

class StatusServer {
 public:
  using Look = std::function<Snapshot()>;
  using Remember = std::function<std::vector<History::Sample>()>;
  static constexpr std::size_t kMaxConnections = 8;

  // `listen`: "127.0.0.1:8686", "[::1]:0", "unix:/run/rivulet/status.sock". A stale socket file is removed.
  static result<std::unique_ptr<StatusServer>> listen(boost::asio::io_context& io, const std::string& listen, Look look, Remember remember);
  virtual ~StatusServer() = default;
  virtual std::string address() const = 0;  // with the port that the kernel picked
};

struct StatusAnswer {
  unsigned code = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
  std::string_view policy = "default-src 'none'; frame-ancestors 'none'";  // Content-Security-Policy
};
// What the server answers, without the network. `accept`: the request's Accept header.
StatusAnswer answer_status(const std::string& method, const std::string& target, const std::string& accept, const StatusServer::Look& look,
                           const StatusServer::Remember& remember);

}  // namespace rivulet::app
