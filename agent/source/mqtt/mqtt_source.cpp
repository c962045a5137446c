#include "agent/source/mqtt/mqtt_source.h"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "agent/base/fault_point.h"
#include "agent/source/mqtt/session.h"
#include "agent/source/mqtt/transport.h"

namespace rivulet::source {
namespace mqtt {
namespace {

using boost::system::error_code;
using std::chrono::milliseconds;

constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::int64_t kRetryFirstMs = 250, kRetryMaxMs = 30'000;
constexpr auto kConnectTimeout = std::chrono::seconds(15);

class MqttSource final : public Source, public std::enable_shared_from_this<MqttSource> {
 public:
  MqttSource(boost::asio::io_context& io, const config::MqttSource& settings, std::string name, const std::string& agent_id, Intake& intake)
      : io_(io), settings_(settings), name_(std::move(name)), intake_(intake),
        address_(fmt::format("{}://{}:{}", settings.tls_on ? "mqtts" : "mqtt", settings.host, settings.port)),
        session_(settings_, name_, settings.client_id.empty() ? fmt::format("rivulet-{}-{}", agent_id, name_) : settings.client_id, intake),
        retry_(io), watch_(io), chunk_(kReadBytes, '\0') {}

  void start() override { connect(); }

  void stop() override {
    stopping_ = true;
    retry_.cancel();
  }

  void on_durable(EpochNumber up_to) override {
    std::string acknowledgements;
    session_.on_durable(up_to, acknowledgements);
    if (acknowledgements.empty() || !transport_) return;
    send(acknowledgements);
  }

  void on_room() override {
    if (transport_ && connected_ && !reading_ && !stopping_) take_packets(true);
  }

  std::string state() const override {
    if (transport_ && session_.subscribed()) return fmt::format("subscribed at {}{}", address_, reading_ ? "" : ", waiting for room");
    return fmt::format("not connected to {}{}", address_, last_error_.empty() ? "" : ": " + last_error_);
  }

  void abandon() {  // the owner is gone: nothing may touch the Intake any more
    stopping_ = abandoned_ = true;
    retry_.cancel();
    watch_.cancel();
    if (!transport_) return;
    if (connected_) send(encode_disconnect(settings_.version));
    if (!writing_) transport_->close();
  }

 private:
  void connect() {
    if (stopping_) return;
    try {
      transport_ = std::make_shared<Transport>(io_, settings_);
    } catch (const boost::system::system_error& error) {
      return lost(fmt::format("its TLS files cannot be used: {}", error.what()));
    }
    ++generation_;
    connected_ = reading_ = writing_ = false;
    input_.clear();
    skip_ = 0;
    queue_.clear();
    watch(kConnectTimeout);
    transport_->connect([self = shared_from_this(), generation = generation_](const error_code& error) {
      if (generation != self->generation_ || self->abandoned_) return;
      if (error) return self->lost(fmt::format("cannot connect: {}", error.message()));
      self->connected_ = true;
      self->last_read_ = self->last_write_ = std::chrono::steady_clock::now();
      self->send(self->session_.connect());
      self->read();
    });
  }

  void read() {
    if (reading_ || !transport_) return;
    reading_ = true;
    transport_->read(chunk_.data(), chunk_.size(), [self = shared_from_this(), generation = generation_](const error_code& error, std::size_t count) {
      if (generation != self->generation_ || self->abandoned_) return;
      self->reading_ = false;
      if (error) return self->lost(fmt::format("the connection ended: {}", error.message()));
      self->last_read_ = std::chrono::steady_clock::now();
      self->pinged_ = false;
      self->input_.append(self->chunk_.data(), count);
      self->take_packets(count < self->chunk_.size());
    });
  }

  // Everything that is complete in input_, as long as the agent takes it.
  void take_packets(bool drained) {
    std::string out;
    std::string_view rest = input_;
    result<bool> more = true;
    while (!stopping_ && (!session_.subscribed() || intake_.can_accept())) {
      more = take_one(rest, out);
      if (!more || !*more) break;
    }
    input_.erase(0, input_.size() - rest.size());
    if (input_.empty() && input_.capacity() > 4 * kReadBytes) input_.shrink_to_fit();
    if (!out.empty()) send(out);
    if (!more) {
      intake_.count("protocol_errors");
      return lost(more.error().message);
    }
    session_.after_read(drained);
    if (session_.take_progress() && session_.subscribed()) subscribed();
    // Something is left that could go on: the agent has no room. on_room() comes back here.
    if (!stopping_ && !*more) read();
  }

  result<bool> take_one(std::string_view& rest, std::string& out) {
    if (skip_ > 0) {
      const std::uint64_t gone = std::min<std::uint64_t>(skip_, rest.size());
      rest.remove_prefix(gone);
      skip_ -= gone;
      if (skip_ > 0) return false;
    }
    auto head = parse_head(rest);
    if (!head) return head.error();
    if (!*head) return false;
    if ((*head)->length > settings_.max_packet_bytes) return pass_over(**head, rest);
    if (rest.size() < (*head)->size + (*head)->length) return false;
    const auto packet = parse_body(**head, rest.substr((*head)->size, (*head)->length), settings_.version);
    if (!packet) return packet.error();
    if (auto done = session_.on_packet(*packet, out); !done) return done.error();
    rest.remove_prefix((*head)->size + (*head)->length);
    return true;
  }

  result<bool> pass_over(const Head& head, std::string_view& rest) {
    if (head.type != Type::publish) return Error{ErrorCode::invalid, fmt::format("a packet of {} bytes that is no message (max_packet is {})", head.length, settings_.max_packet_bytes)};
    const std::string_view body = rest.substr(head.size, head.length);
    auto start = parse_publish_start(head, body);
    if (!start) return start.error();
    if (!*start) return false;
    session_.on_oversized((*start)->publish, head.length);
    skip_ = head.length - (*start)->used;
    rest.remove_prefix(head.size + (*start)->used);
    return true;
  }

  void subscribed() {
    retry_ms_ = kRetryFirstMs;
    last_error_.clear();
    spdlog::info("source {}: subscribed at {}", name_, address_);
    intake_.count("connections");
    watch(milliseconds(session_.keep_alive_s() * 500));
  }

  // Keep-alive (MQTT 5.0 section 3.1.2.10), and the time-out of a connection that does not get anywhere.
  void watch(std::chrono::steady_clock::duration every) {
    watch_.expires_after(every);
    watch_.async_wait([self = shared_from_this(), generation = generation_](const error_code& error) {
      if (error || generation != self->generation_ || self->abandoned_) return;
      if (!self->session_.subscribed()) return self->lost("the server did not answer in time");
      const auto now = std::chrono::steady_clock::now();
      const auto alive = std::chrono::seconds(self->session_.keep_alive_s());
      if (self->pinged_ && self->reading_ && now - self->last_read_ > alive * 3 / 2) return self->lost("the server no longer answers");
      if (now - self->last_write_ >= alive / 2 || now - self->last_read_ >= alive / 2) {
        self->send(encode_pingreq());
        self->pinged_ = true;
      }
      self->watch(milliseconds(self->session_.keep_alive_s() * 500));
    });
  }

  void send(std::string bytes) {
    queue_ += bytes;
    write();
  }

  void write() {
    if (writing_ || queue_.empty() || !transport_) return;
    writing_ = true;
    writing_bytes_ = std::exchange(queue_, {});
    last_write_ = std::chrono::steady_clock::now();
    transport_->write(writing_bytes_, [self = shared_from_this(), generation = generation_](const error_code& error, std::size_t) {
      if (generation != self->generation_) return;
      self->writing_ = false;
      if (self->abandoned_) return self->transport_->close();
      if (error) return self->lost(fmt::format("cannot send: {}", error.message()));
      fault_point("mqtt.after_ack");
      self->write();
    });
  }

  void lost(const std::string& why) {
    watch_.cancel();
    if (transport_) transport_->close();
    transport_.reset();
    connected_ = reading_ = writing_ = false;
    ++generation_;
    if (stopping_) return;
    // One line when the link goes; while it stays away only the reason's change is worth one.
    if (why != last_error_) spdlog::warn("source {}: {}: {}; trying again", name_, address_, why);
    last_error_ = why;
    static thread_local std::minstd_rand random{std::random_device{}()};
    const std::int64_t wait = retry_ms_ / 2 + static_cast<std::int64_t>(random() % static_cast<unsigned>(retry_ms_));
    retry_ms_ = std::min(retry_ms_ * 2, kRetryMaxMs);
    retry_.expires_after(milliseconds(wait));
    retry_.async_wait([self = shared_from_this()](const error_code& error) {
      if (!error && !self->abandoned_) self->connect();
    });
  }

  boost::asio::io_context& io_;
  config::MqttSource settings_;
  std::string name_;
  Intake& intake_;
  std::string address_;
  Session session_;
  std::shared_ptr<Transport> transport_;
  boost::asio::steady_timer retry_, watch_;
  std::string chunk_, input_, queue_, writing_bytes_, last_error_;
  std::uint64_t skip_ = 0;        // bytes of an oversized message still to pass over
  std::uint64_t generation_ = 0;  // of the connection: a late handler of an old one does nothing
  std::int64_t retry_ms_ = kRetryFirstMs;
  std::chrono::steady_clock::time_point last_read_, last_write_;
  bool connected_ = false, reading_ = false, writing_ = false, stopping_ = false, abandoned_ = false, pinged_ = false;
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

 private:
  std::shared_ptr<MqttSource> inner_;
};

}  // namespace

std::string describe_guarantee(const config::MqttSource& settings) {
  std::string text;
  if (settings.qos == 2) text = "exactly once: PUBREC after the commit, packet ids in the same transaction; redelivery after a crash is recognised";
  if (settings.qos == 1) text = "at least once: PUBACK after the commit; what was not acknowledged comes again after a crash";
  if (settings.qos == 0) text = "at most once: in a crash what came since the last commit (agent.commit_interval) is lost, and what is published while the agent is away";
  if (settings.qos > 0)
    text += fmt::format("; the server keeps the session for {} h while the agent is away. On the server check max_queued_messages (beyond it mosquitto drops silently), "
                        "max_inflight_messages, set_tcp_nodelay true, and persistence with a short autosave_interval (what it has not saved is lost when it crashes)",
                        settings.session_expiry_ms / 3'600'000);
  return text;
}

}  // namespace mqtt

std::unique_ptr<Source> make_mqtt_source(boost::asio::io_context& io, const config::MqttSource& settings, std::string name, std::string agent_id, Intake& intake) {
  return std::make_unique<mqtt::Handle>(std::make_shared<mqtt::MqttSource>(io, settings, std::move(name), agent_id, intake));
}

}  // namespace rivulet::source
