// Connection: one client of a tcp or unix source, from accept to close.
//
//   handshaking ──▶ open ──HELLO──▶ resuming ──settled──▶ open ──end of stream──▶ ending ──all acknowledged──▶ closed
//                     └────────────── offence ──▶ lingering (ERROR line, then silence) ──────────────────────────▶ closed
//
// Not read: while resuming, while the agent has no room, while it waits for a turn at a large frame, once stopped.
// What goes to the client is a line each, in both framings: RESUME n, n (an acknowledgement), ERROR reason. At most one of
// each waits to be sent; acknowledgements are totals, so a newer one replaces an older one.
// Thread: io. Lifetime: shared by its own pending operations and the source's list.
#pragma once
#include <boost/asio/generic/stream_protocol.hpp>
#include <memory>
#include <string>

#include "agent/source/first_line.h"
#include "agent/source/framing.h"
#include "agent/source/stream/channel.h"
#include "agent/source/stream/hub.h"

namespace rivulet::source {

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  enum class State { handshaking, open, resuming, ending, lingering, closed };

  using Socket = boost::asio::generic::stream_protocol::socket;

  Connection(Hub& hub, Socket socket, std::string peer);

  void start();
  void refuse(const std::string& reason);  // instead of start(): ERROR reason, over TLS once that speaks, then close; reported already
  void on_durable();              // the sessions know what became durable
  void on_room();                 // read on, if it was room or a turn that was missing
  void tick(std::int64_t now_ms); // limits in time
  void fail(const std::string& reason);  // ERROR reason, then close
  void close();                          // at once

  bool leaves() const { return state_ == State::lingering || state_ == State::closed || !refusal_.empty(); }  // no client any more: it is being told why
  const std::string& peer() const { return peer_; }
  bool owed() const;         // acknowledgements are due to it
  bool take_active();        // bytes came since the last call
  std::int64_t quiet_ms(std::int64_t now_ms) const;  // since its last bytes
  bool wants_turn() const { return wants_turn_; }

 private:
  void shake_hands();
  void tell_why(const std::string& reason);
  void read();
  void read_later();
  void wait(Socket::wait_type what, void (Connection::*then)());
  bool readable() const;
  void take(std::string_view bytes);
  void handle(Framer::Status status);
  Framer::Verdict on_frame(std::string_view frame);
  void hello(std::string_view name);
  void answer_resume();
  void acknowledge();
  void on_end();
  void send(std::string line);
  void flush();
  void drain();

  Hub& hub_;
  Socket socket_;
  std::string peer_;
  Channel channel_;
  FirstLine first_line_;
  Framer framer_;
  Framer::OnFrame each_frame_;
  SessionPtr session_;
  State state_ = State::open;
  bool first_frame_ = true;
  bool reading_ = false;   // a wait or a posted read is pending
  bool writing_ = false;
  bool no_room_ = false;
  bool wants_turn_ = false;
  bool active_ = false;
  bool said_end_ = false;
  std::uint64_t batch_ = 0;  // frames of this chunk, not yet told to the session
  std::uint64_t told_ = 0;   // last acknowledged total that was queued for the client
  std::int64_t last_bytes_ms_;
  Timestamp arrived_ms_ = 0;  // of the chunk; the clock is not asked for each frame
  std::string out_, refusal_;
};

}  // namespace rivulet::source
