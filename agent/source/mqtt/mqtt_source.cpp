#include "agent/source/mqtt/mqtt_source.h"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <random>
#include <set>

#include "agent/base/fault_point.h"
#include "agent/base/log.h"
#include "agent/mqtt/packet_stream.h"
#include "agent/source/mqtt/session.h"
#include "agent/mqtt/transport.h"

namespace rivulet::source {
namespace mqtt {
namespace {

using boost::system::error_code;
using std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::size_t kMaxQueuedBytes = 256 * 1024;  // of acknowledgements: as many as there are packet ids
constexpr std::int64_t kRetryFirstMs = 250, kRetryMaxMs = 30'000;
constexpr auto kAnswerTimeout = std::chrono::seconds(15);  // from the first packet on the way to the SUBACK
constexpr auto kSteady = std::chrono::seconds(5);          // a connection that lasted so long begins the waits anew
constexpr auto kRetryRefused = std::chrono::seconds(60);
constexpr std::size_t kReasonsSaid = 16;
constexpr std::uint8_t kMalformed = 0x81, kProtocolError = 0x82;  // MQTT 5.0 section 2.4

class MqttSource final : public Source, public std::enable_shared_from_this<MqttSource> {
 public:
  MqttSource(boost::asio::io_context& io, const config::MqttSource& settings, std::string name, const std::string& agent_id, Intake& intake)
      : io_(io), settings_(settings), name_(std::move(name)), intake_(intake),
        address_(fmt::format("{}://{}:{}", settings.tls_on ? "mqtts" : "mqtt", settings.host, settings.port)),
        session_(settings_, name_, settings.client_id.empty() ? fmt::format("rivulet-{}-{}", agent_id, name_) : settings.client_id, intake),
        stream_(settings.version, settings.max_packet_bytes), retry_(io), watch_(io), refused_(io), chunk_(kReadBytes, '\0'), random_(std::random_device{}()) {}

  void start() override {
    down_since_ms_ = intake_.clock().steady_ms();
    connect();
  }

  void stop() override {
    stopping_ = true;
    retry_.cancel();
  }

  void on_durable(EpochNumber up_to) override {
    const bool full = !session_.may_take();
    std::string acknowledgements;
    session_.on_durable(up_to, acknowledgements);
    if (!connected_) return;
    send(acknowledgements, true);
    if (full && session_.may_take()) boost::asio::post(io_, [self = shared_from_this()] { self->resume(); });
  }

  void on_room() override { resume(); }

  std::string state() const override {
    if (!session_.connected()) return fmt::format("not connected to {}{}", address_, why_.empty() ? "" : ": " + why_);
    const std::string waiting = reading_ ? "" : behind() ? ", waiting for the server to read" : ", waiting for room";
    if (!session_.subscribed()) return fmt::format("connected to {}, not yet subscribed{}", address_, waiting);
    const std::string refused = session_.refused();
    return fmt::format("subscribed at {}{}{}", address_, refused.empty() ? "" : "; refused: " + refused, waiting);
  }

  bool in_trouble() const override {
    if (session_.subscribed()) return !session_.refused().empty();
    return !why_.empty() && intake_.clock().steady_ms() - down_since_ms_ >= kTroubleAfterMs;
  }

  void abandon() {  // the owner is gone: nothing may touch the Intake any more
    stopping_ = abandoned_ = true;
    retry_.cancel();
    watch_.cancel();
    refused_.cancel();
    if (!transport_ || writing_) return;  // what is being written is finished first
    if (connected_) transport_->finish(encode_disconnect(settings_.version));
    else transport_->close();
  }

 private:
  void connect() {
    if (stopping_) return;
    auto made = Transport::make(io_, {settings_.host, settings_.port, settings_.tls_on, settings_.tls});
    if (!made) return lost(made.error().message);
    transport_ = *made;
    ++generation_;
    watch(kAnswerTimeout);
    transport_->connect(attempt_++, [self = shared_from_this(), generation = generation_](const std::string& problem) {
      if (generation != self->generation_ || self->abandoned_) return;
      if (!problem.empty()) return self->lost(problem);
      self->connected_ = true;
      self->stream_ = PacketStream(self->settings_.version, self->settings_.max_packet_bytes);
      self->send(self->session_.connect(), false);
      self->read();
    });
  }

  void read() {
    if (reading_) return;
    reading_ = true;
    pinged_ = false;
    waiting_since_ = SteadyClock::now();
    transport_->read(chunk_.data(), chunk_.size(), [self = shared_from_this(), generation = generation_](const error_code& error, std::size_t count) {
      if (generation != self->generation_ || self->abandoned_) return;
      self->reading_ = false;
      if (error) return self->lost(fmt::format("the connection ended: {}", error.message()));
      self->stream_.feed(std::string_view(self->chunk_).substr(0, count));
      self->take_packets(count < self->chunk_.size());
    });
  }

  void resume() {
    if (connected_ && !reading_ && !stopping_) take_packets(true);
  }

  bool behind() const { return queue_.size() > kMaxQueuedBytes; }  // the server does not read what it is sent

  // Everything that is complete, as long as the agent takes it and the server its acknowledgements. Before CONNACK nothing can come that needs room.
  void take_packets(bool drained) {
    const bool was_connected = session_.connected(), was_subscribed = session_.subscribed();
    std::string out;
    bool room = true;
    while (!stopping_ && (room = !session_.connected() || (session_.may_take() && intake_.can_accept() && !behind()))) {
      const auto item = stream_.next();
      if (!item) return refuse(item.error(), kMalformed);
      if (!*item) break;
      if (const auto* oversized = std::get_if<Oversized>(&**item)) session_.on_oversized(oversized->publish, oversized->size_bytes, out);
      else if (auto done = session_.on_packet(std::get<Packet>(**item), out); !done) return refuse(done.error(), kProtocolError);
    }
    send(out, was_subscribed);
    session_.after_read(drained);
    if (session_.connected() && !was_connected) watch(milliseconds(session_.keep_alive_s() * 500));
    if (session_.subscribed() && !was_subscribed) subscribed();
    if (!stopping_ && room) read();  // else on_room() comes back here, or what was written
  }

  void refuse(const Error& error, std::uint8_t reason) {
    if (error.code != ErrorCode::invalid) return lost(error.message);  // the server's own refusal: no last word
    intake_.count("protocol_errors");
    lost(error.message, reason);
  }

  void subscribed() {
    subscribed_at_ = SteadyClock::now();
    why_.clear();
    said_.clear();
    const std::string refused = session_.refused();
    log::info("source {}: subscribed at {}{}", name_, address_, refused.empty() ? "" : "; refused: " + refused);
    intake_.count("connections");
    retry_refused();
  }

  void retry_refused() {
    refused_.expires_after(kRetryRefused);
    refused_.async_wait([self = shared_from_this(), generation = generation_](const error_code& error) {
      if (error || generation != self->generation_ || self->abandoned_) return;
      std::string out;
      self->session_.retry_refused(out);
      self->send(out, false);
      self->retry_refused();
    });
  }

  // Keep-alive (MQTT 5.0 section 3.1.2.10), and the time-out of a connection that does not get anywhere: a SUBACK may come behind all that the
  // server kept for us, and on a slow link one message takes its time.
  void watch(SteadyClock::duration every) {
    watch_.expires_after(every);
    watch_.async_wait([self = shared_from_this(), generation = generation_](const error_code& error) {
      if (error || generation != self->generation_ || self->abandoned_) return;
      const auto now = SteadyClock::now();
      if (!self->session_.connected() || !self->connected_ || (!self->session_.subscribed() && self->reading_ && now - self->waiting_since_ >= kAnswerTimeout))
        return self->lost("the server did not answer in time");
      const auto alive = std::chrono::seconds(self->session_.keep_alive_s());
      if (self->pinged_ && self->reading_ && now - self->waiting_since_ > alive * 3 / 2) return self->lost("the server no longer answers");
      if (now - self->written_ >= alive / 2 || !self->reading_ || now - self->waiting_since_ >= alive / 2) {
        self->pinged_ = true;
        self->send(encode_pingreq(), false);
      }
      self->watch(alive / 2);
    });
  }

  void send(const std::string& bytes, bool acknowledgements) {
    queue_ += bytes;
    queue_acknowledges_ |= acknowledgements && !bytes.empty();
    write();
  }

  void write() {
    if (writing_ || queue_.empty()) return;
    writing_ = true;
    writing_bytes_ = std::exchange(queue_, {});
    written_ = SteadyClock::now();
    transport_->write(writing_bytes_, [self = shared_from_this(), generation = generation_, acknowledges = std::exchange(queue_acknowledges_, false)](const error_code& error, std::size_t) {
      if (generation != self->generation_) return;
      self->writing_ = false;
      if (self->abandoned_) return self->transport_->finish(encode_disconnect(self->settings_.version));
      if (error) return self->lost(fmt::format("cannot send: {}", error.message()));
      if (acknowledges) fault_point("mqtt.after_ack");
      const bool was_behind = self->behind();
      self->write();
      if (was_behind) self->resume();
    });
  }

  // The connection is over. `reason`: told to a server of version 5, if it can be; only while nothing is being read, because
  // that last word outlives the connection for a moment, and chunk_ is soon the next one's.
  void lost(const std::string& why, std::optional<std::uint8_t> reason = std::nullopt) {
    watch_.cancel();
    refused_.cancel();
    if (session_.subscribed()) down_since_ms_ = intake_.clock().steady_ms();
    const bool was_steady = connected_ && session_.subscribed() && SteadyClock::now() - subscribed_at_ >= kSteady;
    if (transport_ && reason && settings_.version == 5 && !writing_) transport_->finish(encode_disconnect(settings_.version, *reason));
    else if (transport_) transport_->close();
    transport_.reset();
    session_.disconnected();
    connected_ = reading_ = writing_ = queue_acknowledges_ = false;
    queue_.clear();
    ++generation_;
    why_ = why;
    if (stopping_) return;
    if (said_.size() >= kReasonsSaid) said_.clear();
    if (said_.insert(why).second) log::warn("source {}: {}: {}; trying again", name_, address_, why);
    if (was_steady) retry_ms_ = kRetryFirstMs;
    const std::int64_t wait_ms = retry_ms_ / 2 + static_cast<std::int64_t>(random_() % static_cast<unsigned>(retry_ms_));
    retry_ms_ = std::min(retry_ms_ * 2, kRetryMaxMs);
    retry_.expires_after(milliseconds(wait_ms));
    retry_.async_wait([self = shared_from_this()](const error_code& error) {
      if (!error && !self->abandoned_) self->connect();
    });
  }

  boost::asio::io_context& io_;
  const config::MqttSource settings_;
  const std::string name_;
  Intake& intake_;
  const std::string address_;
  Session session_;
  PacketStream stream_;
  std::shared_ptr<Transport> transport_;
  boost::asio::steady_timer retry_, watch_, refused_;
  std::string chunk_, queue_, writing_bytes_;
  std::string why_;                // it is not connected
  std::set<std::string> said_;     // the reasons that were logged since it was last subscribed
  std::int64_t down_since_ms_ = 0;  // since it was last subscribed, or started; steady clock
  std::uint64_t generation_ = 0;   // of the connection: a late handler of an old one does nothing
  std::size_t attempt_ = 0;
  std::int64_t retry_ms_ = kRetryFirstMs;
  std::minstd_rand random_;
  SteadyClock::time_point waiting_since_, written_, subscribed_at_;
  bool connected_ = false;  // the transport is; the session has its own view
  bool reading_ = false, writing_ = false, queue_acknowledges_ = false, pinged_ = false;
  bool stopping_ = false, abandoned_ = false;
};

// Asio's handlers may outlive the owner's Source by a moment; they keep the inner one.
class Handle final : public Source {
 public:
  explicit Handle(std::shared_ptr<MqttSource> inner) : inner_(std::move(inner)) {}
  ~Handle() override { inner_->abandon(); }
  void start() override { inner_->start(); }
  void stop() override { inner_->stop(); }
  void on_durable(EpochNumber up_to) override { inner_->on_durable(up_to); }
  void on_room() override { inner_->on_room(); }
  std::string state() const override { return inner_->state(); }
  bool in_trouble() const override { return inner_->in_trouble(); }

 private:
  std::shared_ptr<MqttSource> inner_;
};

}  // namespace
}  // namespace mqtt

std::unique_ptr<Source> make_mqtt_source(boost::asio::io_context& io, const config::MqttSource& settings, std::string name, std::string agent_id, Intake& intake) {
  return std::make_unique<mqtt::Handle>(std::make_shared<mqtt::MqttSource>(io, settings, std::move(name), agent_id, intake));
}

}  // namespace rivulet::source
