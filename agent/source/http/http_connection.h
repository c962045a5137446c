// HttpConnection: one client, from accept to close; requests come one after the other, each answered before the next is looked at.
//
//   handshaking ──▶ idle ──bytes──▶ head ──allowed──▶ body ──whole──▶ room ──accepted──▶ commit ──durable──▶ (answer) ──▶ idle
//                    └───────────── refused, too slow ─────────────────▶ lingering (the answer, then silence) ──▶ closed
//
// Not read: from the end of a request to the end of its answer. Pipelined requests wait in at most kMaxPending bytes.
// Bounds: those bytes, and the Body (body.h). In time: kHeadMs for a head, config.timeout for a request, config.idle between them, kAnswerMs for an
// answer to be taken; while the agent is the slow one no clock runs but kRoomMs, after which there is no room (503).
// Thread: io. Lifetime: shared by its own pending operations and the source's list.
#pragma once
#include <boost/asio/generic/stream_protocol.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/ids.h"
#include "agent/source/http/answer.h"
#include "agent/source/http/body.h"
#include "agent/source/http/request.h"
#include "agent/source/http/rules.h"
#include "agent/source/source.h"
#include "agent/source/stream/channel.h"

namespace rivulet::source {

class HttpConnection;

struct HttpHub {  // what connections share
  static constexpr std::size_t kReadBytes = 16 * 1024;

  HttpHub(Intake& to, config::HttpSource settings, config::Decode::Kind decode)
      : intake(to), config(std::move(settings)), rules(config, decode), budget{config.max_bodies_bytes, 0}, buffer(kReadBytes) {}

  Intake& intake;
  const config::HttpSource config;
  const Rules rules;
  BodyBudget budget;
  std::vector<char> buffer;
  ssl_ctx_st* tls = nullptr;
  bool stopped = false;
  std::function<bool()> no_room_for_long;                        // a body need not come
  std::function<void(HttpConnection&)> on_request;               // it is whole: answer() it, or wait_for() its epoch, or it waits for room
  std::function<void(HttpConnection&)> on_closed;                // called once by each connection
  std::function<void(const std::string& peer, const std::string& reason)> on_offence;
};

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;
  enum class State { handshaking, idle, head, body, room, commit, answering, lingering, closed };
  static constexpr std::size_t kMaxPending = 2 * HttpHub::kReadBytes;
  static constexpr std::int64_t kHandshakeMs = 10'000, kHeadMs = 10'000, kAnswerMs = 10'000, kRoomMs = 2'000, kLingerMs = 2'000;

  HttpConnection(HttpHub& hub, Socket socket, std::string peer);

  void start();
  void turn_away(Answer answer);      // instead of start(): the answer, over TLS once that speaks, and the end
  void refuse(const Answer& answer);  // and end: what comes after is not read
  void answer(const Answer& answer);  // to the request that is whole
  void wait_for(EpochNumber epoch, Answer answer);
  void on_durable(EpochNumber up_to);
  void stop();                        // a request that is not accepted is refused
  void tick(std::int64_t now_ms);
  void close();

  State state() const { return state_; }
  bool leaves() const { return state_ == State::lingering || state_ == State::closed || turned_away_.has_value(); }  // no client any more: it is being told why
  const std::string& peer() const { return peer_; }
  const Request& request() const { return reader_->request(); }
  std::string_view body() const { return body_.wire(); }
  std::int64_t quiet_ms(std::int64_t now_ms) const { return now_ms - since_ms_; }

 private:
  void shake_hands();
  void read();
  void read_later();
  void wait(Socket::wait_type what, void (HttpConnection::*then)());
  bool readable() const { return (state_ == State::idle || state_ == State::head || state_ == State::body) && !hub_.stopped; }
  void parse();
  void on_head();
  void on_failed();
  void on_end();
  void enter(State state);
  void send(std::string text);
  void flush();
  void sent();
  void drain();

  HttpHub& hub_;
  Socket socket_;
  const std::string peer_;
  Channel channel_;
  Body body_;
  std::optional<RequestReader> reader_;
  State state_ = State::idle;
  std::string in_, out_;
  std::int64_t since_ms_, request_ms_ = 0;  // in this state; since the request's first byte
  EpochNumber epoch_ = 0;
  Answer promised_;
  std::optional<Answer> turned_away_;
  bool reading_ = false, writing_ = false, said_end_ = false, last_ = false;
};

}  // namespace rivulet::source
