#include "agent/source/http/http_source.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <utility>

#include "agent/base/fault_point.h"
#include "agent/base/log.h"
#include "agent/source/http/frames.h"

namespace rivulet::source {
namespace {

using namespace std::chrono_literals;

constexpr auto kTick = 250ms;
constexpr auto kKeysTick = 60s;
constexpr std::size_t kLingeringMax = 16;       // clients that are being told why; more are closed without a word
constexpr std::int64_t kPlaceAfterMs = 1000;    // idle for so long, a client may lose its place to a new one
constexpr std::size_t kKeptBytes = 64 * 1024;

std::string text_of_hours(std::int64_t ms) {
  constexpr std::int64_t kHourMs = 3'600'000;
  return ms % kHourMs == 0 ? std::to_string(ms / kHourMs) + " h" : std::to_string(ms / 1000) + " s";
}

std::string host_of(const std::string& peer) { return peer.substr(0, peer.rfind(':')); }

}  // namespace

HttpSource::HttpSource(boost::asio::io_context& io, const config::HttpSource& config, config::Decode::Kind decode, std::string name, Intake& intake)
    : name_(std::move(name)), hub_(intake, config, decode), keys_(intake, config.idempotency),
      listener_(io, make_tcp_address("http", config.listen_host, config.listen_port), name_, intake), offences_(intake, name_), tick_(io), keys_tick_(io) {
  hub_.on_closed = [this](HttpConnection& gone) {
    std::erase_if(connections_, [&](const auto& each) { return each.get() == &gone; });
  };
  hub_.on_request = [this](HttpConnection& client) { process(client); };
  hub_.on_offence = [this](const std::string& peer, const std::string& reason) { offences_(peer, reason); };
  hub_.no_room_for_long = [this] {
    if (no_room_since_ms_ < 0 || hub_.intake.clock().steady_ms() - no_room_since_ms_ < HttpConnection::kRoomMs) return false;
    if (!hub_.intake.can_accept()) return true;
    no_room_since_ms_ = -1;
    return false;
  };
}

HttpSource::~HttpSource() {
  for (const auto& each : Connections(connections_)) each->close();
}

void HttpSource::start() {
  keys_.load();
  if (hub_.config.tls) {
    auto made = net::server_tls(*hub_.config.tls);
    if (!made) {
      problem_ = made.error().message;
      log::error("{}: {}; the source is off", name_, problem_);
      return;
    }
    tls_ = std::move(*made);
    hub_.tls = tls_.get();
  }
  listener_.start([this](Listener::Socket socket, std::string peer) { accepted(std::move(socket), std::move(peer)); }, hub_.on_offence);
  arm_keys();
}

void HttpSource::accepted(Listener::Socket socket, std::string peer) {
  const bool full = clients() >= hub_.config.max_clients && !make_place();
  hub_.intake.count(full ? "clients_refused" : "clients_accepted");
  const std::string why = "too many clients (max_clients is " + std::to_string(hub_.config.max_clients) + ")";
  if (full && connections_.size() - clients() >= kLingeringMax) return hub_.on_offence(peer, why);
  auto connection = std::make_shared<HttpConnection>(hub_, std::move(socket), std::move(peer));
  connections_.push_back(connection);
  arm_tick();
  if (full) return connection->turn_away(no_room(why));
  connection->start();
}

bool HttpSource::make_place() {
  const auto now_ms = hub_.intake.clock().steady_ms();
  std::shared_ptr<HttpConnection> idlest;
  for (const auto& each : connections_)
    if (each->state() == HttpConnection::State::idle && each->quiet_ms(now_ms) >= kPlaceAfterMs && (!idlest || each->quiet_ms(now_ms) > idlest->quiet_ms(now_ms))) idlest = each;
  if (!idlest) return false;
  hub_.intake.count("idle_closed");
  idlest->close();
  return true;
}

void HttpSource::process(HttpConnection& client) {
  const Request& request = client.request();
  const auto body = unpack(client.body(), *Rules::compression(request), hub_.config.max_body_bytes, unpacked_);
  if (!body) {
    client.answer(refused(body.error().code == ErrorCode::full ? 413 : 400, body.error().message));
  } else {
    const BodyHash hash = request.has_idempotency_key ? hash_of(*body, hub_.rules.by_lines(request)) : BodyHash{};
    const auto known = request.has_idempotency_key ? keys_.look(request.idempotency_key, hash) : IdempotencyKeys::Known{};
    switch (known.found) {
      case IdempotencyKeys::Found::durable: client.answer(records_taken(known.records, true)); break;
      case IdempotencyKeys::Found::other_body: client.answer(refused(422, "this Idempotency-Key came with another body before")); break;
      case IdempotencyKeys::Found::under_way:  // it joins the one that came first
        client.wait_for(known.epoch, records_taken(known.records, true));
        hub_.intake.commit_soon();
        break;
      case IdempotencyKeys::Found::unknown: take(client, *body, hash); break;
    }
  }
  if (unpacked_.capacity() > kKeptBytes) unpacked_ = std::string();
}

void HttpSource::take(HttpConnection& client, std::string_view body, const BodyHash& hash) {
  const Request& request = client.request();
  const bool by_lines = hub_.rules.by_lines(request);
  const std::string sender = host_of(client.peer());
  std::uint64_t records = 0, bad_line = 0;
  std::string why;
  each_frame(body, by_lines, [&](std::string_view frame, std::uint64_t line) {
    const Checked checked = hub_.intake.check({frame, sender});
    records += checked.records;
    if (!checked.reason) return true;
    bad_line = line + lines_before(frame, checked.at);
    why = *checked.reason;
    return false;
  });
  if (bad_line > 0) return client.answer(refused(400, "line " + std::to_string(bad_line) + ": " + why + "; nothing was taken", bad_line));
  if (records == 0) return client.answer(refused(400, "the body holds no record"));
  if (!hub_.intake.can_accept()) {
    if (no_room_since_ms_ < 0) no_room_since_ms_ = hub_.intake.clock().steady_ms();
    return wait_for_room(client);
  }
  no_room_since_ms_ = -1;
  if (request.has_idempotency_key && !keys_.make_room()) return client.answer(no_room("every remembered Idempotency-Key is under way (idempotency.max)"));
  each_frame(body, by_lines, [&](std::string_view frame, std::uint64_t) {
    hub_.intake.accept({frame, sender});
    return true;
  });
  if (request.has_idempotency_key) keys_.remember(request.idempotency_key, hash, records);
  client.wait_for(hub_.intake.epoch(), records_taken(records));
  fault_point("http.accepted");
  hub_.intake.commit_soon();
}

void HttpSource::wait_for_room(HttpConnection& client) {
  std::erase_if(waiting_, [&](const auto& each) {  // those that have given up
    const auto other = each.lock();
    return !other || other.get() == &client || other->state() != HttpConnection::State::room;
  });
  waiting_.push_back(client.weak_from_this());
}

void HttpSource::on_durable(EpochNumber up_to) {
  keys_.on_durable(up_to);
  for (const auto& each : Connections(connections_)) each->on_durable(up_to);
}

void HttpSource::on_room() {
  if (hub_.stopped) return;
  const auto waiting = std::exchange(waiting_, {});
  for (const auto& each : waiting) {
    const auto client = each.lock();
    if (!client || client->state() != HttpConnection::State::room) continue;
    if (waiting_.empty()) process(*client);  // it comes again to the front when there is no room after all
    else waiting_.push_back(client);
  }
}

void HttpSource::stop() {
  hub_.stopped = true;
  listener_.stop();
  keys_tick_.cancel();
  for (const auto& each : Connections(connections_)) each->stop();
}

bool HttpSource::in_trouble() const { return !problem_.empty() || !listener_.problem().empty(); }

std::string HttpSource::state() const {
  if (!problem_.empty()) return problem_;
  if (!listener_.problem().empty()) return listener_.problem();
  if (!listener_.listening()) return "stopped";
  return "listening on " + listener_.text() + hub_.config.path + ", " + std::to_string(clients()) + " clients, " + std::to_string(keys_.size()) + " idempotency keys";
}

std::size_t HttpSource::clients() const {
  return static_cast<std::size_t>(std::count_if(connections_.begin(), connections_.end(), [](const auto& each) { return !each->leaves(); }));
}

void HttpSource::arm_tick() {
  if (ticking_) return;
  ticking_ = true;
  tick_.expires_after(kTick);
  tick_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (error || alive.expired()) return;
    ticking_ = false;
    const auto now_ms = hub_.intake.clock().steady_ms();
    for (const auto& each : Connections(connections_)) each->tick(now_ms);
    if (!connections_.empty()) arm_tick();
  });
}

void HttpSource::arm_keys() {
  keys_tick_.expires_after(kKeysTick);
  keys_tick_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (error || alive.expired() || hub_.stopped) return;
    keys_.tick();
    arm_keys();
  });
}

std::string describe_guarantee(const config::HttpSource& config) {
  return "exactly once for a client that gives each POST an Idempotency-Key of its own and sends it again until it is answered 200: the last " + std::to_string(config.idempotency.max) +
         " keys are remembered, each for " + text_of_hours(config.idempotency.window_ms) +
         " of running time. Without the key at least once: a POST that was not answered has to be sent again, and may then be there twice. A POST is taken whole or not at all, and "
         "200 says that it is durable.";
}

}  // namespace rivulet::source
