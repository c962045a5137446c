#include "agent/app/status_server.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <chrono>
#include <cstring>
#include <sstream>
#include <string>
#include <utility>

#include "agent/base/log.h"

namespace rivulet::app {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using Local = asio::local::stream_protocol;
using Generic = asio::generic::stream_protocol;  // what TCP and unix sockets are once they listen: all below is compiled once
using Acceptor = asio::basic_socket_acceptor<Generic>;
using boost::system::error_code;

constexpr std::chrono::seconds kTimeout{5};
constexpr std::chrono::milliseconds kAcceptPause{250};  // out of descriptors, mostly: without a pause it would spin
constexpr std::size_t kMaxHeadBytes = 8 * 1024;

class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Generic::socket socket, StatusServer::Look look, StatusServer::Remember remember, std::shared_ptr<std::size_t> open)
      : socket_(std::move(socket)), deadline_(socket_.get_executor()), look_(std::move(look)), remember_(std::move(remember)), open_(std::move(open)) {
    ++*open_;
    parser_.header_limit(kMaxHeadBytes);
    parser_.body_limit(std::uint64_t{0});
  }
  ~Connection() { --*open_; }

  void run() {
    deadline_.expires_after(kTimeout);  // for all of it
    deadline_.async_wait([weak = weak_from_this()](error_code error) {
      if (const auto self = weak.lock(); self && !error) self->end();
    });
    read();
  }

 private:
  void read() {
    head_.resize(std::min(filled_ + 1024, kMaxHeadBytes));
    socket_.async_read_some(asio::buffer(head_) + filled_, [self = shared_from_this()](error_code error, std::size_t bytes) {
      if (!error) self->on_read(bytes);  // else gone, or too slow
    });
  }

  void on_read(std::size_t bytes) {
    filled_ += bytes;
    error_code error;
    parser_.put(asio::buffer(head_.data(), filled_), error);  // from its beginning, until it is whole
    if (error == http::error::need_more && filled_ < kMaxHeadBytes) return read();
    answer(error && !parser_.is_header_done() ? StatusAnswer{400, "text/plain; charset=utf-8", "not a request that this understands\n"} : ask());
  }

  StatusAnswer ask() const {
    const auto& request = parser_.get();
    return answer_status(std::string(request.method_string()), std::string(request.target()), std::string(request[http::field::accept]), look_, remember_);
  }

  void answer(StatusAnswer answer) {
    // Put together by hand: fmt's library would look symbols up at the first answer, which makes 400 KiB of libraries resident.
    head_ = "HTTP/1.1 " + std::to_string(answer.code) + ' ';
    head_ += http::obsolete_reason(static_cast<http::status>(answer.code));
    head_ += "\r\nConnection: close\r\nContent-Type: " + answer.type + "\r\nContent-Length: " + std::to_string(answer.body.size());
    head_ += "\r\nCache-Control: no-store\r\nContent-Security-Policy: ";
    head_ += answer.policy;
    head_ += "\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n\r\n";
    if (parser_.get().method() != http::verb::head) body_ = std::move(answer.body);  // the length stays that of a GET
    asio::async_write(socket_, std::array{asio::buffer(std::as_const(head_)), asio::buffer(std::as_const(body_))}, [self = shared_from_this()](error_code, std::size_t) { self->end(); });
  }

  void end() {
    error_code ignored;
    socket_.shutdown(Generic::socket::shutdown_both, ignored);
  }

  Generic::socket socket_;
  asio::steady_timer deadline_;
  StatusServer::Look look_;
  StatusServer::Remember remember_;
  std::shared_ptr<std::size_t> open_;
  std::string head_;  // of the request, then of the answer
  std::size_t filled_ = 0;
  http::request_parser<http::empty_body> parser_;
  std::string body_;
};

class Server final : public StatusServer {
 public:
  Server(asio::io_context& io, Acceptor acceptor, Look look, Remember remember, std::string address, std::string socket_file)
      : acceptor_(std::move(acceptor)), pause_(io), look_(std::move(look)), remember_(std::move(remember)), address_(std::move(address)),
        socket_file_(std::move(socket_file)) {
    accept();
  }
  ~Server() override {
    if (!socket_file_.empty()) ::unlink(socket_file_.c_str());
  }

  std::string address() const override { return address_; }

 private:
  void accept() {
    acceptor_.async_accept([this, alive = std::weak_ptr(open_)](error_code error, Generic::socket socket) {
      if (alive.expired() || error == asio::error::operation_aborted) return;
      if (!error && *open_ < kMaxConnections) std::make_shared<Connection>(std::move(socket), look_, remember_, open_)->run();
      if (!error) return accept();
      pause_.expires_after(kAcceptPause);
      pause_.async_wait([this, alive](error_code again) {
        if (!again && !alive.expired()) accept();
      });
    });
  }

  Acceptor acceptor_;
  asio::steady_timer pause_;
  Look look_;
  Remember remember_;
  std::string address_;
  std::string socket_file_;
  std::shared_ptr<std::size_t> open_ = std::make_shared<std::size_t>(0);
};

Error cannot(const std::string& listen, const std::string& why) {
  return {ErrorCode::io, "status: cannot listen on " + listen + ": " + why + "; change status.listen"};
}

result<std::unique_ptr<StatusServer>> listen_local(asio::io_context& io, const std::string& listen, StatusServer::Look look, StatusServer::Remember remember) {
  const std::string path = listen.substr(5);
  if (path.empty() || path.size() >= 108) return cannot(listen, "the path is empty or longer than 107 bytes");
  const Local::endpoint endpoint(path);
  struct stat about {};
  if (::lstat(path.c_str(), &about) == 0) {
    if (!S_ISSOCK(about.st_mode)) return cannot(listen, "there is a file that is not a socket");
    Local::socket probe(io);
    error_code refused;
    probe.connect(endpoint, refused);
    if (!refused) return cannot(listen, "somebody listens there already");
    ::unlink(path.c_str());  // left behind by a process that was killed
  }
  Acceptor acceptor(io);
  error_code error;
  acceptor.open(Generic(endpoint.protocol()), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) ::chmod(path.c_str(), 0660);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return cannot(listen, error.message());
  return std::unique_ptr<StatusServer>(new Server(io, std::move(acceptor), std::move(look), std::move(remember), listen, path));
}

result<std::unique_ptr<StatusServer>> listen_tcp(asio::io_context& io, const std::string& listen, StatusServer::Look look, StatusServer::Remember remember) {
  const std::size_t colon = listen.rfind(':');
  if (colon == std::string::npos) return cannot(listen, "expected host:port or unix:path");
  std::string host = listen.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  error_code error;
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(host, listen.substr(colon + 1), tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error) return cannot(listen, error.message());
  const tcp::endpoint endpoint = *found.begin();
  if (!endpoint.address().is_loopback())
    log::warn("status: {} can be reached from other machines, and there is no password; 127.0.0.1 or a unix socket is safer", listen);
  Acceptor acceptor(io);
  acceptor.open(Generic(endpoint.protocol()), error);
  if (!error) acceptor.set_option(Acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  tcp::endpoint bound;  // the port that was chosen, where the configuration says 0
  if (!error) {
    const auto local = acceptor.local_endpoint(error);
    bound.resize(local.size());
    std::memcpy(bound.data(), local.data(), local.size());
  }
  if (error) return cannot(listen, error.message());
  std::ostringstream address;
  address << bound;
  return std::unique_ptr<StatusServer>(new Server(io, std::move(acceptor), std::move(look), std::move(remember), address.str(), ""));
}

}  // namespace

result<std::unique_ptr<StatusServer>> StatusServer::listen(asio::io_context& io, const std::string& listen, Look look, Remember remember) {
  if (listen.rfind("unix:", 0) == 0) return listen_local(io, listen, std::move(look), std::move(remember));
  return listen_tcp(io, listen, std::move(look), std::move(remember));
}

}  // namespace rivulet::app
