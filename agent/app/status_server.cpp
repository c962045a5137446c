#include "agent/app/status_server.h"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>

#include "agent/base/log.h"

namespace rivulet::app {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using Local = asio::local::stream_protocol;
using boost::system::error_code;

constexpr std::chrono::seconds kTimeout{5};
constexpr std::chrono::milliseconds kAcceptPause{250};  // out of descriptors, mostly: without a pause it would spin
constexpr std::uint32_t kMaxHeadBytes = 8 * 1024;

template <class Protocol>
class Connection final : public std::enable_shared_from_this<Connection<Protocol>> {
 public:
  Connection(typename Protocol::socket socket, StatusServer::Look look, StatusServer::Remember remember, std::shared_ptr<std::size_t> open)
      : stream_(std::move(socket)), look_(std::move(look)), remember_(std::move(remember)), open_(std::move(open)) {
    ++*open_;
    parser_.header_limit(kMaxHeadBytes);
    parser_.body_limit(std::uint64_t{0});
  }
  ~Connection() { --*open_; }

  void run() {
    stream_.expires_after(kTimeout);
    http::async_read(stream_, buffer_, parser_, [self = this->shared_from_this()](error_code error, std::size_t) {
      if (error && error.category() != http::make_error_code(http::error::bad_method).category()) return;  // gone, or too slow
      self->answer(error ? StatusAnswer{400, "text/plain; charset=utf-8", "not a request that this understands\n"} : self->ask());
    });
  }

 private:
  StatusAnswer ask() const {
    const auto& request = parser_.get();
    return answer_status(std::string(request.method_string()), std::string(request.target()), std::string(request[http::field::accept]), look_, remember_);
  }

  void answer(StatusAnswer answer) {
    response_.result(answer.code);
    response_.version(11);
    response_.keep_alive(false);
    response_.set(http::field::content_type, answer.type);
    response_.set(http::field::cache_control, "no-store");
    response_.set("Content-Security-Policy", std::string(answer.policy));
    response_.set("X-Content-Type-Options", "nosniff");
    response_.set("X-Frame-Options", "DENY");
    response_.set("Referrer-Policy", "no-referrer");
    response_.set("Cross-Origin-Resource-Policy", "same-origin");
    response_.body() = std::move(answer.body);
    response_.prepare_payload();
    if (parser_.get().method() == http::verb::head) response_.body().clear();  // the length stays that of a GET
    http::async_write(stream_, response_, [self = this->shared_from_this()](error_code, std::size_t) {
      error_code ignored;
      self->stream_.socket().shutdown(Protocol::socket::shutdown_both, ignored);
    });
  }

  beast::basic_stream<Protocol> stream_;
  StatusServer::Look look_;
  StatusServer::Remember remember_;
  std::shared_ptr<std::size_t> open_;
  beast::flat_buffer buffer_{kMaxHeadBytes};
  http::request_parser<http::empty_body> parser_;
  http::response<http::string_body> response_;
};

template <class Protocol>
class Server final : public StatusServer {
 public:
  Server(asio::io_context& io, typename Protocol::acceptor acceptor, Look look, Remember remember, std::string socket_file)
      : acceptor_(std::move(acceptor)), pause_(io), look_(std::move(look)), remember_(std::move(remember)), socket_file_(std::move(socket_file)) {
    accept();
  }
  ~Server() override {
    if (!socket_file_.empty()) ::unlink(socket_file_.c_str());
  }

  std::string address() const override {
    if (!socket_file_.empty()) return "unix:" + socket_file_;
    std::ostringstream text;
    text << acceptor_.local_endpoint();
    return text.str();
  }

 private:
  void accept() {
    acceptor_.async_accept([this, alive = std::weak_ptr(open_)](error_code error, typename Protocol::socket socket) {
      if (alive.expired() || error == asio::error::operation_aborted) return;
      if (!error && *open_ < kMaxConnections) {
        std::make_shared<Connection<Protocol>>(std::move(socket), look_, remember_, open_)->run();
      }
      if (!error) return accept();
      pause_.expires_after(kAcceptPause);
      pause_.async_wait([this, alive](error_code again) {
        if (!again && !alive.expired()) accept();
      });
    });
  }

  typename Protocol::acceptor acceptor_;
  asio::steady_timer pause_;
  Look look_;
  Remember remember_;
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
  Local::acceptor acceptor(io);
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) ::chmod(path.c_str(), 0660);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return cannot(listen, error.message());
  return std::unique_ptr<StatusServer>(new Server<Local>(io, std::move(acceptor), std::move(look), std::move(remember), path));
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
  tcp::acceptor acceptor(io);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return cannot(listen, error.message());
  return std::unique_ptr<StatusServer>(new Server<tcp>(io, std::move(acceptor), std::move(look), std::move(remember), ""));
}

}  // namespace

result<std::unique_ptr<StatusServer>> StatusServer::listen(asio::io_context& io, const std::string& listen, Look look, Remember remember) {
  if (listen.rfind("unix:", 0) == 0) return listen_local(io, listen, std::move(look), std::move(remember));
  return listen_tcp(io, listen, std::move(look), std::move(remember));
}

}  // namespace rivulet::app
