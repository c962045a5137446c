#include "agent/sink/mqtt/mqtt_writer.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <iterator>

#include "agent/base/fault_point.h"
#include "agent/mqtt/packet_stream.h"
#include "agent/mqtt/transport.h"
#include "agent/sink/mqtt/publisher.h"

namespace rivulet::sink {
namespace {

using boost::system::error_code;
using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kReadBytes = 16 * 1024;
constexpr std::uint64_t kMaxPacket = 64 * 1024;
constexpr auto kAnswer = std::chrono::seconds(15);       // to connect, from one PUBACK to the next, from the last byte to its PUBACK
constexpr auto kLastWord = std::chrono::milliseconds(200);  // for the DISCONNECT

// MQTT 5.0 section 3.14.2.1: an end that no message has to do with. Shutting down, busy, keep alive, taken over, rate, quota, administrative, another
// server, connection rate and time.
bool of_connection(std::uint8_t reason) {
  constexpr std::uint8_t kReasons[] = {0x89, 0x8b, 0x8d, 0x8e, 0x96, 0x97, 0x98, 0x9c, 0x9d, 0x9f, 0xa0};
  return std::find(std::begin(kReasons), std::end(kReasons), reason) != std::end(kReasons);
}

// One connection; handlers keep it, and do nothing once it is over.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::io_context& io, const config::MqttOutput& settings, Publisher& publisher)
      : io_(io), version_(settings.version), publisher_(publisher), stream_(settings.version, kMaxPacket), ping_(io), chunk_(kReadBytes, '\0') {}

  result<void> start(const config::MqttOutput& settings, std::size_t attempt) {
    auto made = mqtt::Transport::make(io_, {settings.host, settings.port, settings.tls_on, settings.tls});
    if (!made) return made.error();
    transport_ = *made;
    transport_->connect(attempt, [self = shared_from_this()](const std::string& problem) {
      if (self->over()) return;
      if (!problem.empty()) return self->lost({ErrorCode::unavailable, problem});
      self->out_ += self->publisher_.connect();
      self->write();
      self->read();
    });
    return {};
  }

  bool over() const { return ended_ || why_.has_value(); }
  const std::optional<Error>& why() const { return why_; }
  bool by_server() const { return by_server_; }
  // Bytes that the server has taken, and whether more than a PINGREQ is on its way: on a slow link one record may take longer than an answer.
  std::int64_t taken() const { return handed_ - on_way(); }
  bool sends() const { return !over() && on_way() > kPingBytes; }

  // As much as the window and a buffer take.
  void publish() {
    if (over() || writing_) return;
    publisher_.fill(out_);
    write();
  }

  void end() {
    if (ended_) return;
    ended_ = true;
    ping_.cancel();
    if (!transport_) return;
    if (!why_ && publisher_.connected() && !writing_) transport_->finish(mqtt::encode_disconnect(version_));
    else transport_->close();
  }

 private:
  static constexpr std::int64_t kPingBytes = 64;  // in a TLS record
  std::int64_t on_way() const { return static_cast<std::int64_t>((writing_ ? writing_bytes_.size() - transport_->written() : 0) + transport_->unsent()); }
  void lost(Error error, bool by_server = false) {
    if (over()) return;
    why_ = std::move(error);
    by_server_ = by_server;
    ping_.cancel();
    if (transport_) transport_->close();
  }

  void read() {
    transport_->read(chunk_.data(), chunk_.size(), [self = shared_from_this()](const error_code& error, std::size_t count) {
      if (self->over()) return;
      if (error) return self->lost({ErrorCode::unavailable, fmt::format("the connection ended: {}", error.message())}, true);
      self->heard_ = true;
      self->stream_.feed(std::string_view(self->chunk_).substr(0, count));
      if (self->take_packets()) self->read();
    });
  }

  bool take_packets() {
    const bool was_connected = publisher_.connected();
    for (;;) {
      auto item = stream_.next();
      if (!item) return lost(item.error()), false;
      if (!*item) break;
      const auto* packet = std::get_if<mqtt::Packet>(&**item);
      if (packet == nullptr) return lost({ErrorCode::invalid, "the server sent what nobody asked for"}), false;
      const auto* disconnect = std::get_if<mqtt::Disconnect>(packet);
      if (auto done = publisher_.on_packet(*packet); !done) return lost(done.error(), disconnect != nullptr && !of_connection(disconnect->reason)), false;
    }
    if (publisher_.connected() && !was_connected) keep_alive();
    publish();
    return true;
  }

  void write() {
    if (writing_ || out_.empty() || over()) return;
    writing_ = true;
    writing_bytes_ = std::exchange(out_, {});
    handed_ += static_cast<std::int64_t>(writing_bytes_.size());
    transport_->write(writing_bytes_, [self = shared_from_this()](const error_code& error, std::size_t) {
      self->writing_ = false;
      if (self->over()) return;
      if (error) return self->lost({ErrorCode::unavailable, fmt::format("cannot send: {}", error.message())}, true);
      self->publish();
    });
  }

  // A PINGREQ each half of the keep-alive (MQTT 5.0 section 3.1.2.10); nothing heard for two of them: the server is gone.
  void keep_alive() {
    ping_.expires_after(std::chrono::milliseconds(publisher_.keep_alive_s() * 500));
    ping_.async_wait([self = shared_from_this()](const error_code& error) {
      if (error || self->over()) return;
      const std::int64_t before = std::exchange(self->taken_before_, self->taken());
      if (self->sends() && self->taken() > before) self->heard_ = true;  // the PINGREQ stands behind a message, on a slow link
      if (!self->heard_ && self->pinged_) return self->lost({ErrorCode::unavailable, "the server no longer answers"});
      self->pinged_ = true;
      self->heard_ = false;
      self->out_ += mqtt::encode_pingreq();
      self->write();
      self->keep_alive();
    });
  }

  boost::asio::io_context& io_;
  const int version_;
  Publisher& publisher_;
  mqtt::PacketStream stream_;
  std::shared_ptr<mqtt::Transport> transport_;
  boost::asio::steady_timer ping_;
  std::string chunk_, out_, writing_bytes_;
  std::optional<Error> why_;
  std::int64_t handed_ = 0, taken_before_ = 0;  // to the transport; of it taken at the last tick of the keep-alive
  bool ended_ = false, writing_ = false, heard_ = false, pinged_ = false, by_server_ = false;
};

class MqttWriter final : public Writer {
 public:
  MqttWriter(boost::asio::io_context& io, const config::MqttOutput& settings, std::string client_id, const std::atomic<bool>& stop)
      : io_(io), settings_(settings), stop_(stop), publisher_(settings, std::move(client_id)),
        address_(fmt::format("{}://{}:{}", settings.tls_on ? "mqtts" : "mqtt", settings.host, settings.port)) {}
  ~MqttWriter() override { close(); }

  bool ready() const override { return connection_ && !connection_->over() && publisher_.connected(); }

  result<void> open() override {
    close();
    connection_ = std::make_shared<Connection>(io_, settings_, publisher_);
    if (auto started = connection_->start(settings_, attempt_++); !started) return started.error();
    run_until(SteadyClock::now() + kAnswer, stop_, [&] { return ready() || connection_->over(); });
    if (ready()) return {};
    return named(connection_->why().value_or(Error{ErrorCode::unavailable, stop_ ? "it was not yet connected at the end" : "the server did not answer in time"}));
  }

  Delivery deliver(const Stretch& stretch, const std::atomic<bool>& stop) override {
    publisher_.begin(stretch);
    connection_->publish();
    SteadyClock::time_point until;
    std::uint64_t before = publisher_.acknowledged();
    std::int64_t taken = 0;
    bool sent = false;
    do {  // anew, for as long as the server takes what is sent
      until = SteadyClock::now() + kAnswer;
      taken = connection_->taken();
      sent = connection_->sends();
      run_until(until, stop, [&] {
        if (publisher_.acknowledged() != before) until = SteadyClock::now() + kAnswer;
        before = publisher_.acknowledged();
        return publisher_.done() || connection_->over();
      });
    } while (!stop && !publisher_.done() && !connection_->over() && sent && connection_->taken() > taken);
    const bool done = publisher_.done();
    if (!done && connection_->by_server()) publisher_.closed_by_server();
    Delivery delivery = publisher_.take();
    if (delivery.up_to > 0) fault_point("sink.published");
    if (!done && !stop) delivery.trouble = named(connection_->why().value_or(Error{ErrorCode::unavailable, "the server acknowledges nothing"}));
    return delivery;
  }

  void close() override {
    if (!connection_) return;
    const bool polite = ready();
    connection_->end();
    connection_.reset();
    publisher_.closed();  // the next connection is ready with its own CONNACK
    if (!polite) return;
    io_.restart();
    io_.run_one_for(kLastWord);
  }

  std::string state() const override { return "connected to " + address_; }
  Error ended() const override { return named((connection_ ? connection_->why() : std::nullopt).value_or(Error{ErrorCode::unavailable, "the connection ended"})); }

 private:
  Error named(Error error) const {
    error.message = address_ + ": " + error.message;
    return error;
  }
  // Both `until` and the condition may move on.
  template <class Condition>
  void run_until(const SteadyClock::time_point& until, const std::atomic<bool>& stop, const Condition& holds) {
    while (!stop && !holds() && SteadyClock::now() < until) {
      io_.restart();
      io_.run_one_until(until);
    }
  }

  boost::asio::io_context& io_;
  const config::MqttOutput settings_;
  const std::atomic<bool>& stop_;
  Publisher publisher_;
  const std::string address_;
  std::shared_ptr<Connection> connection_;
  std::size_t attempt_ = 0;
};

}  // namespace

std::unique_ptr<Writer> make_mqtt_writer(boost::asio::io_context& io, const config::MqttOutput& settings, std::string client_id, const std::atomic<bool>& stop) {
  return std::make_unique<MqttWriter>(io, settings, std::move(client_id), stop);
}

}  // namespace rivulet::sink
