// StreamServer: a server that many clients send lines or length-prefixed frames to; behind the sources tcp and unix.
//
// With `acknowledge: true` a client learns what is durable: its first frame `HELLO <session>` is answered `RESUME <n>` (frames
// committed for that session), and each line with a number after that is the total that is committed now. A client that
// waits for RESUME, goes on with its frame n + 1, and keeps what is not acknowledged has each frame accepted exactly once.
// Answers are lines in both framings.
// Bounds: max_clients, max_frame_bytes, idle, max_sessions; who breaks one gets `ERROR <reason>` and is closed, the others
// notice nothing. Backpressure: sockets are not read. An address that cannot be had yet is tried again each second.
// Thread: io. Lifetime: the io_context and the Intake outlive it.
#pragma once
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <vector>

#include "agent/source/source.h"
#include "agent/source/stream/hub.h"
#include "agent/source/stream/listener.h"
#include "agent/source/stream/offences.h"
#include "agent/net/tls.h"

namespace rivulet::source {

class StreamServer : public Source {
 public:
  StreamServer(boost::asio::io_context& io, config::StreamSettings config, std::string name, Intake& intake, std::unique_ptr<StreamAddress> address);
  ~StreamServer() override;

  void start() override;
  void stop() override;
  void on_durable(EpochNumber up_to) override;
  void on_room() override;
  std::string state() const override;
  bool in_trouble() const override;

  std::uint16_t port() const { return listener_.port(); }  // that is listened on; 0: none
  std::size_t clients() const;          // without those that linger after an ERROR

 private:
  using Connections = std::vector<std::shared_ptr<Connection>>;
  void accepted(Listener::Socket socket, std::string peer);
  void watch_quiet();
  void tick();
  void arm_tick();

  Hub hub_;
  Listener listener_;
  Offences offences_;
  boost::asio::steady_timer tick_, quiet_;
  net::TlsContext tls_;
  Connections connections_;
  std::string problem_;
  bool ticking_ = false;
  bool watching_ = false;
  // A timer that has just fired cannot be cancelled any more: each handler looks here first.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// What `rivulet explain` says about a source of that kind.
std::string describe_guarantee(const config::StreamSettings& config);

}  // namespace rivulet::source
