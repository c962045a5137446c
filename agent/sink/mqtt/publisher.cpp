#include "agent/sink/mqtt/publisher.h"

#include <fmt/core.h>

#include <algorithm>

#include "agent/base/check.h"
#include "agent/mqtt/properties.h"

namespace rivulet::sink {
namespace {

constexpr std::uint64_t kLargestPacket = (1ULL << 28) - 1;  // MQTT 5.0 section 1.5.5
constexpr std::uint8_t kTopicNameInvalid = 0x90, kPayloadFormatInvalid = 0x99;

}  // namespace

std::uint16_t Publisher::configured_keep_alive_s() const { return static_cast<std::uint16_t>(std::clamp<std::int64_t>(settings_.keep_alive_ms / 1000, 1, 65'535)); }

std::string Publisher::connect() {
  connected_ = false;
  keep_alive_s_ = configured_keep_alive_s();
  server_window_ = 65'535;
  server_packet_ = UINT32_MAX;
  mqtt::ConnectOptions options;
  options.version = settings_.version;
  options.client_id = client_id_;
  options.clean_start = true;
  options.login = settings_.login.has_value();
  if (settings_.login) {
    options.username = settings_.login->username;
    options.password = settings_.login->password.reveal();
  }
  options.keep_alive_s = keep_alive_s_;
  options.receive_maximum = 1;  // it subscribes to nothing
  return mqtt::encode_connect(options);
}

result<void> Publisher::on_packet(const mqtt::Packet& packet) {
  if (const auto* connack = std::get_if<mqtt::Connack>(&packet)) return on_connack(*connack);
  if (!connected_) return Error{ErrorCode::invalid, "the server sent something else before its CONNACK"};
  if (const auto* puback = std::get_if<mqtt::Puback>(&packet)) return on_puback(*puback);
  if (std::holds_alternative<mqtt::Pingresp>(packet)) return {};
  if (const auto* disconnect = std::get_if<mqtt::Disconnect>(&packet))
    return Error{ErrorCode::unavailable, "the server ended the connection: " + mqtt::reason_name(disconnect->reason, 5, disconnect->reason_text)};
  return Error{ErrorCode::invalid, "the server sent what nobody asked for"};
}

result<void> Publisher::on_connack(const mqtt::Connack& connack) {
  if (connected_) return Error{ErrorCode::invalid, "a second CONNACK"};
  if (connack.reason != 0) return Error{ErrorCode::denied, "the server refused the connection: " + mqtt::reason_name(connack.reason, settings_.version, connack.reason_text)};
  if (connack.maximum_qos == 0) return Error{ErrorCode::denied, "the server takes messages with QoS 0 only, which it does not acknowledge"};
  if (settings_.retain && !connack.retain_available) return Error{ErrorCode::denied, "the server keeps no messages; set retain: false"};
  connected_ = true;
  server_window_ = connack.receive_maximum;
  server_packet_ = connack.maximum_packet;
  if (connack.keep_alive_s && *connack.keep_alive_s > 0) keep_alive_s_ = *connack.keep_alive_s;
  return {};
}

result<void> Publisher::on_puback(const mqtt::Puback& puback) {
  const std::size_t at = flying_.empty() ? 0 : (puback.id + 65'535U - flying_.front().id) % 65'535U;
  if (at >= flying_.size() || flying_[at].done) return Error{ErrorCode::invalid, fmt::format("the server acknowledged message {}, which is not under way", puback.id)};
  Flying& flying = flying_[at];
  const std::string reason = puback.reason < 0x80 ? std::string() : mqtt::reason_name(puback.reason, 5, puback.reason_text);
  if (puback.reason == kTopicNameInvalid || puback.reason == kPayloadFormatInvalid) refuse(flying, "the MQTT server refused it: " + reason);
  else if (!reason.empty()) return Error{ErrorCode::denied, "the server takes no messages: " + reason};
  flying.done = true;
  ++acknowledged_;
  closings_ = 0;
  settle();
  return {};
}

void Publisher::closed_by_server() {
  connected_ = false;
  if (stretch_ == nullptr || flying_.empty()) return;
  const Sequence first = flying_.front().sequence;
  closings_ = suspect_ == first && suspect_stream_ == stretch_->stream.id ? closings_ + 1 : 1;
  suspect_ = first;
  suspect_stream_ = stretch_->stream.id;
}

void Publisher::begin(const Stretch& stretch) {
  RV_CHECK(stretch_ == nullptr, "one stretch is taken before the next begins");
  stretch_ = &stretch;
  pack_ = record_ = 0;
  delivery_ = {};
  flying_.clear();
}

std::size_t Publisher::window() const {
  if (closings_ >= kSuspicion) return 1;
  return std::min<std::size_t>({settings_.in_flight, server_window_, 65'534U});
}

std::string Publisher::unfit(const store::PackRecord& record, Sequence sequence) const {
  if (!record.key || record.key->empty()) return "it has no MQTT topic: topic_from gave NULL or nothing";
  if (record.key->size() > 65'535 || !mqtt::good_text(*record.key) || record.key->find_first_of("+#") != std::string_view::npos)
    return "its MQTT topic is none to publish to (at most 65535 bytes of UTF-8, without + and #)";
  const std::uint64_t bytes = mqtt::publish_size(*record.key, record.value ? record.value->size() : 0, settings_.version);
  if (bytes > std::min<std::uint64_t>(kLargestPacket, server_packet_)) return fmt::format("it makes an MQTT packet of {} bytes, and the server takes {}", bytes, std::min<std::uint64_t>(kLargestPacket, server_packet_));
  if (closings_ >= kPatience && suspect_ == sequence && suspect_stream_ == stretch_->stream.id) return fmt::format("the MQTT server closed the connection each of the {} times that it was published", closings_);
  return "";
}

void Publisher::fill(std::string& out) {
  while (stretch_ != nullptr && connected_ && pack_ < stretch_->packs.size() && flying_.size() < window()) {
    const store::Pack& pack = stretch_->packs[pack_];
    if (record_ >= pack.records.size()) {  // a gap has none
      if (flying_.empty()) delivery_.up_to = pack.last;
      else flying_.back().up_to = pack.last;
      ++pack_;
      record_ = 0;
      continue;
    }
    const store::PackRecord& record = pack.records[record_];
    const Sequence sequence = pack.first + record_;
    last_id_ = static_cast<std::uint16_t>(last_id_ % 65'535 + 1);
    Flying& flying = flying_.emplace_back(Flying{last_id_, false, sequence, sequence, 0});
    ++record_;
    if (std::string why = unfit(record, sequence); !why.empty()) {
      refuse(flying, std::move(why));
      if (suspect_ == sequence) closings_ = 0;
      settle();
      continue;
    }
    const std::size_t before = out.size();
    mqtt::encode_publish(out, last_id_, *record.key, record.value.value_or(std::string_view()), settings_.retain, false, settings_.version);
    flying.bytes = out.size() - before;
    if (out.size() >= 64 * 1024) return;  // the rest after this is on its way
  }
}

void Publisher::refuse(Flying& flying, std::string reason) {
  delivery_.refused.push_back({flying.sequence, std::move(reason)});
  flying.done = true;
  flying.bytes = 0;
}

void Publisher::settle() {
  for (; !flying_.empty() && flying_.front().done; flying_.pop_front()) {
    delivery_.up_to = flying_.front().up_to;
    if (flying_.front().bytes == 0) continue;
    ++delivery_.records;
    delivery_.bytes += flying_.front().bytes;
  }
}

// What was refused behind the last that is done comes again.
Delivery Publisher::take() {
  Delivery taken = std::exchange(delivery_, {});
  std::erase_if(taken.refused, [&](const Delivery::Refused& one) { return one.sequence > taken.up_to; });
  stretch_ = nullptr;
  flying_.clear();
  return taken;
}

}  // namespace rivulet::sink
