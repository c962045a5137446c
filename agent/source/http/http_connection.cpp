#include "agent/source/http/http_connection.h"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <utility>

#include "agent/base/fault_point.h"

namespace rivulet::source {
namespace {

constexpr int kChunksATurn = 4;  // then the other clients have theirs

}  // namespace

HttpConnection::HttpConnection(HttpHub& hub, Socket socket, std::string peer)
    : hub_(hub), socket_(std::move(socket)), peer_(std::move(peer)), channel_(socket_.native_handle(), hub.tls), body_(hub.budget, hub.config.max_body_bytes),
      since_ms_(hub.intake.clock().steady_ms()) {}

void HttpConnection::start() {
  if (!channel_.is_tls()) return read();
  enter(State::handshaking);
  shake_hands();
}

void HttpConnection::turn_away(Answer answer) {
  if (!channel_.is_tls()) return refuse(answer);
  turned_away_ = std::move(answer);
  start();
}

void HttpConnection::enter(State state) {
  state_ = state;
  since_ms_ = hub_.intake.clock().steady_ms();
}

void HttpConnection::shake_hands() {
  const auto outcome = channel_.handshake();
  if (!outcome.error.empty() || outcome.closed) {
    hub_.intake.count("tls_handshake_failed");
    hub_.on_offence(peer_, "TLS handshake failed: " + outcome.error);
    return close();
  }
  if (outcome.want == Channel::Want::read) return wait(Socket::wait_read, &HttpConnection::shake_hands);
  if (outcome.want == Channel::Want::write) return wait(Socket::wait_write, &HttpConnection::shake_hands);
  enter(State::idle);
  if (turned_away_) return refuse(*turned_away_);
  read();
}

void HttpConnection::wait(Socket::wait_type what, void (HttpConnection::*then)()) {
  bool HttpConnection::*const busy = what == Socket::wait_write ? &HttpConnection::writing_ : &HttpConnection::reading_;
  if (this->*busy) return;
  this->*busy = true;
  socket_.async_wait(what, [self = shared_from_this(), then, busy](boost::system::error_code error) {
    (*self).*busy = false;
    if (self->state_ == State::closed) return;
    if (error) return self->close();
    ((*self).*then)();
  });
}

void HttpConnection::read_later() {
  if (reading_) return;
  reading_ = true;
  boost::asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->reading_ = false;
    if (self->state_ != State::closed) self->read();  // else what it shares may be gone
  });
}

void HttpConnection::read() {
  if (state_ == State::lingering) return drain();
  if (!out_.empty() && !writing_) flush();
  parse();
  for (int chunk = 0; chunk < kChunksATurn; ++chunk) {
    if (!readable()) return;
    const auto outcome = channel_.read(hub_.buffer);
    if (!outcome.error.empty()) return close();
    if (outcome.closed) return on_end();
    if (outcome.want != Channel::Want::nothing)
      return wait(outcome.want == Channel::Want::write ? Socket::wait_write : Socket::wait_read, &HttpConnection::read);
    in_.append(hub_.buffer.data(), outcome.bytes);
    parse();
  }
  if (readable()) read_later();
}

void HttpConnection::parse() {
  while (readable()) {
    if (state_ == State::idle) {
      // RFC 9112 section 2.2: empty lines before a request are ignored.
      in_.erase(0, std::min(in_.find_first_not_of("\r\n"), in_.size()));
      if (in_.empty()) break;
      reader_.emplace(body_);
      request_ms_ = hub_.intake.clock().steady_ms();
      enter(State::head);
    }
    const auto fed = reader_->feed(in_);
    in_.erase(0, fed.used);
    if (fed.event == RequestReader::Event::failed) return on_failed();
    if (fed.event == RequestReader::Event::head) {
      on_head();
      continue;
    }
    if (fed.event == RequestReader::Event::done) {
      enter(State::room);
      return hub_.on_request(*this);
    }
    if (in_.size() > RequestReader::kMaxHeadBytes && fed.used == 0)  // a head or a chunk's head without end
      return refuse(refused(state_ == State::head ? 431 : 400, "no HTTP request: a head longer than " + std::to_string(RequestReader::kMaxHeadBytes) + " bytes"));
    if (fed.used == 0 || in_.empty()) break;
  }
  if (in_.empty() && in_.capacity() > 64) in_.shrink_to_fit();
}

void HttpConnection::on_head() {
  enter(State::body);
  if (const auto why = hub_.rules.refuse(reader_->request())) return refuse(*why);
  if (hub_.no_room_for_long()) return refuse(no_room("there is no room for records; send it again later", 5));
  if (reader_->request().expects_continue && in_.empty()) send("HTTP/1.1 100 Continue\r\n\r\n");
}

void HttpConnection::on_failed() {
  switch (body_.fault()) {
    case Body::Fault::too_long: return refuse(refused(413, "the body is longer than " + std::to_string(hub_.config.max_body_bytes) + " bytes; send it in parts"));
    case Body::Fault::no_memory: return refuse(no_room("other requests take all the memory for bodies (max_bodies)"));
    default: return refuse(refused(reader_->status(), reader_->why()));
  }
}

void HttpConnection::on_end() {
  if (state_ == State::head || state_ == State::body) hub_.intake.count("incomplete_request");
  close();
}

void HttpConnection::answer(const Answer& answer) {
  body_.clear();
  const bool keep = reader_->request().keep_alive && !hub_.stopped;
  hub_.intake.count("answered_" + std::to_string(answer.status));
  last_ = !keep;
  enter(State::answering);
  send(text_of(answer, last_));
}

void HttpConnection::refuse(const Answer& answer) {
  if (state_ == State::closed || state_ == State::lingering) return;
  hub_.intake.count("answered_" + std::to_string(answer.status));
  hub_.on_offence(peer_, std::to_string(answer.status) + " " + answer.body.substr(0, answer.body.size() - 1));
  if (state_ == State::handshaking) return close();
  const bool head_only = reader_ && reader_->request().method == "HEAD";
  body_.clear();
  in_ = std::string();
  enter(State::lingering);
  send(text_of(answer, true, !head_only));
}

void HttpConnection::wait_for(EpochNumber epoch, Answer answer) {
  body_.clear();
  epoch_ = epoch;
  promised_ = std::move(answer);
  enter(State::commit);
}

void HttpConnection::on_durable(EpochNumber up_to) {
  if (state_ != State::commit || epoch_ > up_to) return;
  fault_point("http.before_answer");
  answer(promised_);
  fault_point("http.after_answer");
}

void HttpConnection::send(std::string text) {
  out_ += text;
  if (!writing_) flush();
}

void HttpConnection::flush() {
  while (!out_.empty()) {
    const auto outcome = channel_.write(out_);
    if (!outcome.error.empty() || outcome.closed) return close();
    if (outcome.want != Channel::Want::nothing)
      return wait(outcome.want == Channel::Want::read ? Socket::wait_read : Socket::wait_write, &HttpConnection::flush);
    out_.erase(0, outcome.bytes);
  }
  sent();
}

void HttpConnection::sent() {
  if (state_ == State::answering) enter(last_ ? State::lingering : State::idle);
  if (state_ == State::lingering && !said_end_) {
    said_end_ = true;
    channel_.end();
  }
  // Never here: another client's chunk may be in the buffer that is read into.
  if (state_ == State::lingering || readable()) read_later();
}

// Bytes that nobody reads would reset the connection, and the client would never see why: they are taken and forgotten.
void HttpConnection::drain() {
  for (int chunk = 0; chunk < kChunksATurn; ++chunk) {
    if (state_ != State::lingering) return;
    const auto outcome = channel_.read(hub_.buffer);
    if (!outcome.error.empty() || outcome.closed) return close();
    if (outcome.want != Channel::Want::nothing) return wait(Socket::wait_read, &HttpConnection::drain);
  }
  read_later();
}

void HttpConnection::stop() {
  switch (state_) {
    case State::handshaking:
    case State::idle: return close();
    case State::head:
    case State::body:
    case State::room: return refuse(no_room("the agent is stopping; send it again"));
    default: return;
  }
}

void HttpConnection::tick(std::int64_t now_ms) {
  const std::int64_t quiet = quiet_ms(now_ms), request = now_ms - request_ms_;
  switch (state_) {
    case State::handshaking:
      if (quiet >= kHandshakeMs) close();
      return;
    case State::idle:
      if (quiet < hub_.config.idle_ms) return;
      hub_.intake.count("idle_closed");
      return close();
    case State::head:
      if (request >= std::min(kHeadMs, hub_.config.timeout_ms)) refuse(refused(408, "the request's head took too long"));
      return;
    case State::body:
      if (request >= hub_.config.timeout_ms) refuse(refused(408, "the request took longer than " + std::to_string(hub_.config.timeout_ms) + " ms (timeout)"));
      return;
    case State::room:
      if (quiet >= kRoomMs) answer(no_room("there is no room for records; send it again later", 5));
      return;
    case State::answering:
      if (quiet >= kAnswerMs) close();
      return;
    case State::lingering:
      if (quiet >= kLingerMs) close();
      return;
    default: return;
  }
}

void HttpConnection::close() {
  if (state_ == State::closed) return;
  state_ = State::closed;
  body_.clear();
  boost::system::error_code ignored;
  socket_.close(ignored);
  hub_.on_closed(*this);
}

}  // namespace rivulet::source
