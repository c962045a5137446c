#include "agent/source/tcp/tcp_source.h"

#include <netinet/tcp.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>

#include "agent/source/tcp/connection.h"

namespace rivulet::source {
namespace {

using boost::asio::ip::tcp;
using namespace std::chrono_literals;

// A client that sends one frame and waits for its acknowledgement is quiet; one that streams is not. Only a quiet one makes the
// epoch end early, so that a stream of small frames does not cost a commit each.
constexpr auto quiet_after = 10ms;
constexpr auto tick_every = 250ms;
constexpr std::size_t lingering_max = 16;  // offenders that are being told why; more are closed without a word
constexpr std::int64_t log_every_ms = 1000;

// A client whose gateway lost power must not hold its place for ever.
void keep_alive(tcp::socket& socket) {
  boost::system::error_code ignored;
  socket.set_option(boost::asio::socket_base::keep_alive(true), ignored);
  socket.set_option(tcp::no_delay(true), ignored);
  using Idle = boost::asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPIDLE>;
  using Interval = boost::asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPINTVL>;
  using Count = boost::asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPCNT>;
  socket.set_option(Idle(60), ignored);
  socket.set_option(Interval(15), ignored);
  socket.set_option(Count(4), ignored);
}

}  // namespace

TcpSource::TcpSource(boost::asio::io_context& io, config::TcpSource config, std::string name, Intake& intake)
    : hub_(intake, std::move(config), std::move(name)), acceptor_(io), retry_(io), tick_(io), quiet_(io) {
  hub_.on_closed = [this](Connection& gone) {
    std::erase_if(connections_, [&](const auto& each) { return each.get() == &gone; });
  };
  hub_.on_owed = [this] { watch_quiet(); };
  hub_.on_turn_free = [this] {
    boost::asio::post(acceptor_.get_executor(), [this, alive = std::weak_ptr(alive_)] {
      if (alive.expired()) return;
      for (const auto& each : Connections(connections_)) {
        if (each->wants_turn()) each->on_room();
      }
    });
  };
  hub_.on_offence = [this](const std::string& peer, const std::string& reason) { offence(peer, reason); };
}

TcpSource::~TcpSource() {
  for (const auto& each : Connections(connections_)) each->close();
}

void TcpSource::start() {
  if (hub_.config.acknowledge) hub_.sessions.load();
  if (hub_.config.tls) {
    auto made = server_tls(*hub_.config.tls);
    if (!made) {
      problem_ = made.error().message;
      spdlog::error("{}: {}; the source is off", hub_.name, problem_);
      return;
    }
    tls_ = std::move(*made);
    hub_.tls = tls_.get();
  }
  listen();
}

void TcpSource::listen() {
  if (hub_.stopped) return;
  if (auto bound = bind_address(); !bound) {
    if (problem_ != bound.error().message) spdlog::error("{}: {}; trying again each second", hub_.name, bound.error().message);
    problem_ = bound.error().message;
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    retry_.expires_after(1s);
    return retry_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
      if (!error && !alive.expired()) listen();
    });
  }
  problem_.clear();
  accept_next();
}

result<void> TcpSource::bind_address() {
  const auto& config = hub_.config;
  const std::string where = config.listen_host + ":" + std::to_string(config.listen_port);
  boost::system::error_code error;
  auto address = boost::asio::ip::make_address(config.listen_host, error);
  if (error) {
    tcp::resolver resolver(acceptor_.get_executor());
    const auto found = resolver.resolve(config.listen_host, std::to_string(config.listen_port), tcp::resolver::passive, error);
    if (error || found.empty()) {
      return Error{ErrorCode::invalid, "tcp: cannot find listen address " + where + ": " + error.message()};
    }
    address = found.begin()->endpoint().address();
  }
  const tcp::endpoint endpoint(address, config.listen_port);
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(boost::asio::socket_base::max_listen_connections, error);
  if (error) return Error{ErrorCode::unavailable, "tcp: cannot listen on " + where + ": " + error.message()};
  return {};
}

void TcpSource::accept_next() {
  acceptor_.async_accept([this, alive = std::weak_ptr(alive_)](boost::system::error_code error, tcp::socket socket) {
    if (alive.expired() || error == boost::asio::error::operation_aborted || !acceptor_.is_open()) return;
    if (error) {  // out of file descriptors, mostly: without a pause this would spin
      hub_.intake.count("accept_failed");
      offence("a new client", "cannot accept: " + error.message());
      retry_.expires_after(250ms);
      return retry_.async_wait([this, alive](boost::system::error_code again) {
        if (!again && !alive.expired()) accept_next();
      });
    }
    accepted(std::move(socket));
    accept_next();
  });
}

void TcpSource::accepted(tcp::socket socket) {
  boost::system::error_code error;
  socket.non_blocking(true, error);
  if (!error) socket.native_non_blocking(true, error);
  if (error) return;
  keep_alive(socket);
  const bool full = clients() >= hub_.config.max_clients;
  hub_.intake.count(full ? "clients_refused" : "clients_accepted");
  const std::size_t lingering = connections_.size() - clients();
  if (full && (hub_.tls != nullptr || lingering >= lingering_max)) return;
  auto connection = std::make_shared<Connection>(hub_, std::move(socket));
  connections_.push_back(connection);
  arm_tick();
  if (full) return connection->fail("too many clients (max_clients is " + std::to_string(hub_.config.max_clients) + ")");
  connection->start();
}

void TcpSource::stop() {
  hub_.stopped = true;
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  retry_.cancel();
}

void TcpSource::on_durable(EpochNumber up_to) {
  if (!hub_.config.acknowledge) return;
  hub_.sessions.on_durable(up_to);
  for (const auto& each : Connections(connections_)) each->on_durable();
}

// Who was refused first is not always served first: the list is turned by one each time.
void TcpSource::on_room() {
  if (hub_.stopped || connections_.empty()) return;
  std::rotate(connections_.begin(), connections_.begin() + 1, connections_.end());
  for (const auto& each : Connections(connections_)) each->on_room();
}

std::string TcpSource::state() const {
  if (!problem_.empty()) return problem_;
  if (!acceptor_.is_open()) return "stopped";
  return "listening on " + hub_.config.listen_host + ":" + std::to_string(port()) + ", " + std::to_string(clients()) +
         " clients" + (hub_.config.acknowledge ? ", " + std::to_string(hub_.sessions.remembered()) + " sessions" : "");
}

std::uint16_t TcpSource::port() const {
  boost::system::error_code error;
  const auto endpoint = acceptor_.local_endpoint(error);
  return error ? std::uint16_t{0} : endpoint.port();
}

std::size_t TcpSource::clients() const {
  return static_cast<std::size_t>(std::count_if(connections_.begin(), connections_.end(), [](const auto& each) {
    return each->state() != Connection::State::lingering && each->state() != Connection::State::closed;
  }));
}

void TcpSource::watch_quiet() {
  if (watching_) return;
  watching_ = true;
  quiet_.expires_after(quiet_after);
  quiet_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (error || alive.expired()) return;
    watching_ = false;
    bool quiet = false, streaming = false;
    for (const auto& each : connections_) {
      if (!each->owed()) continue;
      (each->take_active() ? streaming : quiet) = true;
    }
    if (quiet) hub_.intake.commit_soon();
    if (streaming) watch_quiet();
  });
}

void TcpSource::arm_tick() {
  if (ticking_) return;
  ticking_ = true;
  tick_.expires_after(tick_every);
  tick_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (error || alive.expired()) return;
    ticking_ = false;
    tick();
    if (!connections_.empty()) arm_tick();
  });
}

void TcpSource::tick() {
  const auto now_ms = hub_.intake.clock().steady_ms();
  const Connections all(connections_);
  for (const auto& each : all) each->tick(now_ms);
  if (std::none_of(all.begin(), all.end(), [](const auto& each) { return each->wants_turn(); })) return;
  for (Connection* holder : std::vector<Connection*>(hub_.turns)) {
    if (holder->quiet_ms(now_ms) >= Hub::turn_ms) holder->fail("a long frame stood still while other clients waited");
  }
}

void TcpSource::offence(const std::string& peer, const std::string& reason) {
  hub_.intake.count("client_errors");
  const auto now_ms = hub_.intake.clock().steady_ms();
  if (now_ms - last_log_ms_ < log_every_ms) {
    ++unlogged_;
    return;
  }
  last_log_ms_ = now_ms;
  const std::string more = unlogged_ > 0 ? " (and " + std::to_string(unlogged_) + " more)" : "";
  spdlog::warn("{}: closed {}: {}{}", hub_.name, peer, reason, more);
  unlogged_ = 0;
}

std::string describe_guarantee(const config::TcpSource& config) {
  if (!config.acknowledge) {
    return "at most once: clients are not told what arrived. What the agent has read and not yet committed "
           "(up to agent.commit_interval) is lost when it is killed; add `acknowledge: true` for exactly once.";
  }
  return "exactly once for a client that says HELLO <session>, waits for RESUME <n>, goes on with its frame n+1 and keeps each "
         "frame until a line with its number or a higher one comes; without HELLO at least once: what is not acknowledged when "
         "the connection ends has to be sent again and may then be there twice. The " +
         std::to_string(config.max_sessions) +
         " sessions used last are remembered; a forgotten one is answered RESUME 0.";
}

}  // namespace rivulet::source
