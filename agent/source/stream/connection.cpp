#include "agent/source/stream/connection.h"

#include <boost/asio/post.hpp>

#include <utility>

#include "agent/base/check.h"
#include "agent/base/fault_point.h"

namespace rivulet::source {
namespace {

constexpr int chunks_a_turn = 4;  // then the other clients have theirs

Framer::Kind kind_of(const config::StreamSettings& config) {
  return config.framing == config::StreamSettings::Framing::length ? Framer::Kind::length : Framer::Kind::newline;
}

}  // namespace

Connection::Connection(Hub& hub, Socket socket, std::string peer)
    : hub_(hub), socket_(std::move(socket)), peer_(std::move(peer)), channel_(socket_.native_handle(), hub.tls),
      first_line_(hub.config.first_line_names), framer_(kind_of(hub.config), hub.config.max_frame_bytes),
      each_frame_([this](std::string_view frame) { return on_frame(frame); }),
      session_(std::make_shared<Session>()), last_bytes_ms_(hub.intake.clock().steady_ms()) {
  session_->owner = this;
}

void Connection::start() {
  if (!channel_.is_tls()) return read();
  state_ = State::handshaking;
  shake_hands();
}

void Connection::refuse(const std::string& reason) {
  refusal_ = reason;
  if (channel_.is_tls()) start();
  else tell_why(reason);
}

void Connection::shake_hands() {
  const auto outcome = channel_.handshake();
  if (!outcome.error.empty() || outcome.closed) {
    hub_.intake.count("tls_handshake_failed");
    hub_.on_offence(peer_, "TLS handshake failed: " + outcome.error);
    return close();
  }
  if (outcome.want == Channel::Want::read) return wait(Socket::wait_read, &Connection::shake_hands);
  if (outcome.want == Channel::Want::write) return wait(Socket::wait_write, &Connection::shake_hands);
  state_ = State::open;
  last_bytes_ms_ = hub_.intake.clock().steady_ms();
  if (!refusal_.empty()) return tell_why(refusal_);
  read();
}

void Connection::wait(Socket::wait_type what, void (Connection::*then)()) {
  bool Connection::*const busy = what == Socket::wait_write ? &Connection::writing_ : &Connection::reading_;
  if (this->*busy) return;
  this->*busy = true;
  socket_.async_wait(what, [self = shared_from_this(), then, busy](boost::system::error_code error) {
    (*self).*busy = false;
    if (self->state_ == State::closed) return;
    if (error) return self->close();
    ((*self).*then)();
  });
}

bool Connection::readable() const {
  return state_ == State::open && !hub_.stopped && !no_room_ && !wants_turn_;
}

void Connection::read_later() {
  if (reading_) return;
  reading_ = true;
  boost::asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->reading_ = false;
    if (self->state_ != State::closed) self->read();  // else what it shares may be gone
  });
}

void Connection::read() {
  if (state_ == State::lingering) return drain();
  if (!out_.empty() && !writing_) flush();
  for (int chunk = 0; chunk < chunks_a_turn; ++chunk) {
    if (!readable()) return;
    if (!hub_.intake.can_accept()) {
      no_room_ = true;
      return;
    }
    const auto outcome = channel_.read(hub_.buffer);
    if (!outcome.error.empty()) return close();
    if (outcome.closed) return on_end();
    if (outcome.want != Channel::Want::nothing) {
      if (owed()) hub_.on_owed();
      return wait(outcome.want == Channel::Want::write ? Socket::wait_write : Socket::wait_read, &Connection::read);
    }
    active_ = true;
    last_bytes_ms_ = hub_.intake.clock().steady_ms();
    arrived_ms_ = hub_.intake.clock().wall_ms();
    take({hub_.buffer.data(), outcome.bytes});
  }
  if (readable()) read_later();
}

void Connection::take(std::string_view bytes) { handle(framer_.feed(bytes, each_frame_)); }

void Connection::handle(Framer::Status status) {
  if (batch_ > 0 && session_) hub_.sessions.accepted(session_, hub_.config.acknowledge ? batch_ : 0);
  batch_ = 0;
  if (state_ == State::closed || state_ == State::lingering) return;
  if (status == Framer::Status::too_long) {
    hub_.intake.count("frame_too_long");
    return fail("frame is longer than " + std::to_string(hub_.config.max_frame_bytes) + " bytes");
  }
  if (status == Framer::Status::more && framer_.rest().size() <= Hub::small_frame_bytes) {
    framer_.shrink();
    if (hub_.give_turn(*this)) hub_.on_turn_free();
    wants_turn_ = false;
  } else if (status == Framer::Status::more) {
    wants_turn_ = !hub_.take_turn(*this);
  }
  if (state_ == State::resuming) answer_resume();
}

Framer::Verdict Connection::on_frame(std::string_view frame) {
  if (first_frame_ && hub_.config.acknowledge && frame.starts_with("HELLO") && (frame.size() == 5 || frame[5] == ' ')) {
    first_frame_ = false;
    hello(frame.size() == 5 ? std::string_view() : frame.substr(6));
    return Framer::Verdict::taken_and_stop;
  }
  if (hub_.stopped || !hub_.intake.can_accept()) {
    no_room_ = true;
    return Framer::Verdict::refused;
  }
  first_frame_ = false;
  if (first_line_.takes(frame)) return Framer::Verdict::taken;
  Frame accepted{frame, session_->name.empty() ? std::string_view(peer_) : std::string_view(session_->name)};
  accepted.first_line = first_line_.text();
  accepted.timestamp_ms = arrived_ms_;
  hub_.intake.accept(accepted);
  ++batch_;
  return Framer::Verdict::taken;
}

void Connection::hello(std::string_view name) {
  auto opened = hub_.sessions.open(name);
  if (!opened) {
    hub_.intake.count("hello_refused");
    return fail(opened.error().message);
  }
  SessionPtr session = *opened;
  if (Connection* older = session->owner; older != nullptr && older != this) {
    older->fail("a newer connection took over session " + session->name);
  }
  // The older one's failure may have forgotten a session that never got a frame.
  if (auto again = hub_.sessions.open(name); again) session = *again;
  session->owner = this;
  session_ = std::move(session);
  state_ = State::resuming;
}

// RESUME says what is durable, so it waits until everything that was accepted for this session is.
void Connection::answer_resume() {
  if (!hub_.sessions.settled(*session_)) return hub_.intake.commit_soon();
  fault_point("tcp.resume");
  state_ = State::open;
  told_ = session_->durable;
  send("RESUME " + std::to_string(session_->durable) + "\n");
  if (state_ == State::open) handle(framer_.resume(each_frame_));
}

bool Connection::owed() const {
  return hub_.config.acknowledge && !session_->in_flight.empty() && state_ != State::lingering && state_ != State::closed;
}

bool Connection::take_active() { return std::exchange(active_, false); }

void Connection::on_durable() {
  if (state_ == State::resuming) {
    answer_resume();
    if (state_ == State::open) read_later();
    return;
  }
  if (state_ != State::open && state_ != State::ending) return;
  acknowledge();
  if (state_ == State::ending && !owed() && out_.empty()) close();
}

void Connection::acknowledge() {
  if (!hub_.config.acknowledge || session_->durable == told_ || !out_.empty()) return;
  told_ = session_->durable;
  fault_point("tcp.before_ack");
  send(std::to_string(told_) + "\n");
  fault_point("tcp.after_ack");
}

void Connection::on_room() {
  if (state_ != State::open) return;
  no_room_ = false;
  if (wants_turn_) wants_turn_ = !hub_.take_turn(*this);
  handle(framer_.resume(each_frame_));
  if (readable()) read_later();
}

void Connection::on_end() {
  if (!framer_.rest().empty()) hub_.intake.count("incomplete_frame");
  if (!owed() && out_.empty()) return close();
  state_ = State::ending;  // it may only have ended its own side, and wait for its last acknowledgement
  hub_.intake.commit_soon();
}

void Connection::send(std::string line) {
  out_ += line;
  if (!writing_) flush();
}

void Connection::flush() {
  while (!out_.empty()) {
    const auto outcome = channel_.write(out_);
    if (!outcome.error.empty() || outcome.closed) return close();
    if (outcome.want != Channel::Want::nothing) {
      return wait(outcome.want == Channel::Want::read ? Socket::wait_read : Socket::wait_write, &Connection::flush);
    }
    out_.erase(0, outcome.bytes);
  }
  if (state_ == State::open || state_ == State::ending) acknowledge();  // what became due meanwhile
  if (state_ == State::ending && out_.empty() && !owed()) return close();
  if (state_ == State::lingering && out_.empty() && !said_end_) {
    said_end_ = true;
    channel_.end();
    read_later();  // never here: another client's chunk may be in the buffer that drain() reads into
  }
  if (channel_.is_tls() && readable()) read_later();  // a read may have waited for this write
}

void Connection::fail(const std::string& reason) {
  if (state_ == State::closed || state_ == State::lingering) return;
  hub_.on_offence(peer_, reason);
  const bool speaks = state_ != State::handshaking;
  if (hub_.give_turn(*this)) hub_.on_turn_free();
  if (session_->owner == this) hub_.sessions.release(*session_);
  if (!speaks) return close();
  tell_why(reason);
}

void Connection::tell_why(const std::string& reason) {
  state_ = State::lingering;
  last_bytes_ms_ = hub_.intake.clock().steady_ms();
  send("ERROR " + reason + "\n");
}

// Bytes that nobody reads would reset the connection, and the client would never see why: they are taken and forgotten.
void Connection::drain() {
  if (state_ != State::lingering) return;
  for (int chunk = 0; chunk < chunks_a_turn; ++chunk) {
    const auto outcome = channel_.read(hub_.buffer);
    if (!outcome.error.empty() || outcome.closed) return close();
    if (outcome.want != Channel::Want::nothing) return wait(Socket::wait_read, &Connection::drain);
  }
  read_later();
}

void Connection::tick(std::int64_t now_ms) {
  switch (state_) {
    case State::handshaking:
      if (quiet_ms(now_ms) >= Hub::handshake_ms) close();
      return;
    case State::lingering:
      if (quiet_ms(now_ms) >= Hub::linger_ms) close();
      return;
    case State::open: break;
    default: return;
  }
  if (!readable()) {  // it is us who do not read
    last_bytes_ms_ = now_ms;
    return;
  }
  if (hub_.config.idle_ms > 0 && quiet_ms(now_ms) >= hub_.config.idle_ms) {
    hub_.intake.count("idle_closed");
    return fail("idle for " + std::to_string(hub_.config.idle_ms) + " ms");
  }
}

std::int64_t Connection::quiet_ms(std::int64_t now_ms) const { return now_ms - last_bytes_ms_; }

void Connection::close() {
  if (state_ == State::closed) return;
  state_ = State::closed;
  if (hub_.give_turn(*this)) hub_.on_turn_free();
  if (session_->owner == this) hub_.sessions.release(*session_);
  boost::system::error_code ignored;
  socket_.close(ignored);
  hub_.on_closed(*this);
}

}  // namespace rivulet::source
