#include "agent/source/stream/stream_server.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>

#include "agent/base/log.h"
#include "agent/source/stream/connection.h"

namespace rivulet::source {
namespace {

using namespace std::chrono_literals;

// A client that sends one frame and waits for its acknowledgement is quiet; one that streams is not. Only a quiet one makes the
// epoch end early, so that a stream of small frames does not cost a commit each.
constexpr auto quiet_after = 10ms;
constexpr auto tick_every = 250ms;
constexpr std::size_t lingering_max = 16;  // offenders that are being told why; more are closed without a word

}  // namespace

StreamServer::StreamServer(boost::asio::io_context& io, config::StreamSettings config, std::string name, Intake& intake, std::unique_ptr<StreamAddress> address)
    : hub_(intake, std::move(config), std::move(name)), listener_(io, std::move(address), hub_.name, intake), offences_(intake, hub_.name), tick_(io), quiet_(io) {
  hub_.on_closed = [this](Connection& gone) {
    std::erase_if(connections_, [&](const auto& each) { return each.get() == &gone; });
  };
  hub_.on_owed = [this] { watch_quiet(); };
  hub_.on_turn_free = [this] {
    boost::asio::post(listener_.executor(), [this, alive = std::weak_ptr(alive_)] {
      if (alive.expired()) return;
      for (const auto& each : Connections(connections_)) {
        if (each->wants_turn()) each->on_room();
      }
    });
  };
  hub_.on_offence = [this](const std::string& peer, const std::string& reason) { offences_(peer, reason); };
}

StreamServer::~StreamServer() {
  for (const auto& each : Connections(connections_)) each->close();
}

void StreamServer::start() {
  if (hub_.config.acknowledge) hub_.sessions.load();
  if (hub_.config.tls) {
    auto made = net::server_tls(*hub_.config.tls);
    if (!made) {
      problem_ = made.error().message;
      log::error("{}: {}; the source is off", hub_.name, problem_);
      return;
    }
    tls_ = std::move(*made);
    hub_.tls = tls_.get();
  }
  listener_.start([this](Listener::Socket socket, std::string peer) { accepted(std::move(socket), std::move(peer)); }, hub_.on_offence);
}

void StreamServer::accepted(Listener::Socket socket, std::string peer) {
  const bool full = clients() >= hub_.config.max_clients;
  hub_.intake.count(full ? "clients_refused" : "clients_accepted");
  const std::string why = "too many clients (max_clients is " + std::to_string(hub_.config.max_clients) + ")";
  if (full) hub_.on_offence(peer, why);
  if (full && connections_.size() - clients() >= lingering_max) return;
  auto connection = std::make_shared<Connection>(hub_, std::move(socket), std::move(peer));
  connections_.push_back(connection);
  arm_tick();
  if (full) return connection->refuse(why);
  connection->start();
}

void StreamServer::stop() {
  hub_.stopped = true;
  listener_.stop();
}

void StreamServer::on_durable(EpochNumber up_to) {
  if (!hub_.config.acknowledge) return;
  hub_.sessions.on_durable(up_to);
  for (const auto& each : Connections(connections_)) each->on_durable();
}

// Who was refused first is not always served first: the list is turned by one each time.
void StreamServer::on_room() {
  if (hub_.stopped || connections_.empty()) return;
  std::rotate(connections_.begin(), connections_.begin() + 1, connections_.end());
  for (const auto& each : Connections(connections_)) each->on_room();
}

bool StreamServer::in_trouble() const { return !problem_.empty() || !listener_.problem().empty(); }

std::string StreamServer::state() const {
  if (!problem_.empty()) return problem_;
  if (!listener_.problem().empty()) return listener_.problem();
  if (!listener_.listening()) return "stopped";
  return "listening on " + listener_.text() + ", " + std::to_string(clients()) +
         " clients" + (hub_.config.acknowledge ? ", " + std::to_string(hub_.sessions.remembered()) + " sessions" : "");
}

std::size_t StreamServer::clients() const {
  return static_cast<std::size_t>(std::count_if(connections_.begin(), connections_.end(), [](const auto& each) { return !each->leaves(); }));
}

void StreamServer::watch_quiet() {
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

void StreamServer::arm_tick() {
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

void StreamServer::tick() {
  const auto now_ms = hub_.intake.clock().steady_ms();
  const Connections all(connections_);
  for (const auto& each : all) each->tick(now_ms);
  if (std::none_of(all.begin(), all.end(), [](const auto& each) { return each->wants_turn(); })) return;
  for (Connection* holder : std::vector<Connection*>(hub_.turns)) {
    if (holder->quiet_ms(now_ms) >= Hub::turn_ms) holder->fail("a long frame stood still while other clients waited");
  }
}

std::string describe_guarantee(const config::StreamSettings& config) {
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
