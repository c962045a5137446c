// HttpSource: records that are POSTed.
//
// One POST is whole or not at all: it is decoded before any of it is accepted, all of it goes into one epoch, and 200 is answered when that
// is durable. With an Idempotency-Key a request that comes again is taken once (idempotency.h): exactly once for a client that repeats it until it is
// answered. Refusals: answer.h, rules.h.
// Bounds: max_clients, max_body_bytes, max_bodies_bytes of all bodies at a time, heads of 8 KiB, and in time (http_connection.h). When max_clients are
// connected the one that is idle for longest makes place; else the new one is told 503. An epoch may grow by one body beyond its bound.
// Thread: io. Lifetime: the io_context and the Intake outlive it. Errors: an address that cannot be had is tried again each second.
#pragma once
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <vector>

#include "agent/source/http/http_connection.h"
#include "agent/source/http/idempotency.h"
#include "agent/source/stream/listener.h"
#include "agent/source/stream/offences.h"
#include "agent/net/tls.h"

namespace rivulet::source {

class HttpSource final : public Source {
 public:
  HttpSource(boost::asio::io_context& io, const config::HttpSource& config, config::Decode::Kind decode, std::string name, Intake& intake);
  ~HttpSource() override;

  void start() override;
  void stop() override;
  void on_durable(EpochNumber up_to) override;
  void on_room() override;
  std::string state() const override;
  bool in_trouble() const override;

  std::uint16_t port() const { return listener_.port(); }  // 0: not listening
  std::size_t clients() const;                             // without those that linger after an answer

 private:
  using Connections = std::vector<std::shared_ptr<HttpConnection>>;
  void accepted(Listener::Socket socket, std::string peer);
  bool make_place();
  void process(HttpConnection& client);
  void take(HttpConnection& client, std::string_view body, const BodyHash& hash);
  void wait_for_room(HttpConnection& client);
  void arm_tick();
  void arm_keys();

  const std::string name_;
  HttpHub hub_;
  IdempotencyKeys keys_;
  Listener listener_;
  Offences offences_;
  boost::asio::steady_timer tick_, keys_tick_;
  net::TlsContext tls_;
  Connections connections_;
  std::vector<std::weak_ptr<HttpConnection>> waiting_;  // for room, in order
  std::int64_t no_room_since_ms_ = -1;
  std::string unpacked_;  // the body under way
  std::string problem_;
  bool ticking_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

std::string describe_guarantee(const config::HttpSource& config);

}  // namespace rivulet::source
