#include "agent/source/mqtt/session.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <xxhash.h>

#include <algorithm>
#include <charconv>

#include "agent/base/bytes.h"
#include "agent/base/fault_point.h"

namespace rivulet::source::mqtt {
namespace {

constexpr std::uint16_t kSubscribeId = 1;
// mosquitto has 20 messages in flight unless told otherwise; at half of that it is as good as waiting.
constexpr std::size_t kHalfWindow = 10;

std::string position_key(std::uint16_t id) { return "id:" + std::to_string(id); }

std::uint64_t hash_of(const Publish& publish) {
  const XXH64_hash_t topic = XXH3_64bits(publish.topic.data(), publish.topic.size());
  return XXH3_64bits_withSeed(publish.payload.data(), publish.payload.size(), topic);
}

}  // namespace

Session::Session(const config::MqttSource& settings, std::string name, std::string client_id, Intake& intake)
    : settings_(settings), name_(std::move(name)), client_id_(std::move(client_id)), intake_(intake),
      keep_alive_s_(static_cast<std::uint16_t>(std::clamp<std::int64_t>(settings.keep_alive_ms / 1000, 1, 65'535))) {
  for (const auto& [key, value] : intake.positions_at_start()) {
    unsigned id = 0;
    if (key.rfind("id:", 0) != 0 || value.size() != 8) continue;
    if (std::from_chars(key.data() + 3, key.data() + key.size(), id).ec != std::errc() || id == 0 || id > 65'535) continue;
    held_[static_cast<std::uint16_t>(id)] = {Reader(value).u64_be(), 0};
  }
}

std::string Session::connect() {
  owed_.clear();  // belongs to the connection that is gone; the server delivers again
  pending_.clear();
  connected_ = subscribed_ = false;
  ConnectOptions options;
  options.version = settings_.version;
  options.client_id = client_id_;
  options.login = settings_.login.has_value();
  if (settings_.login) {
    options.username = settings_.login->username;
    options.password = settings_.login->password.reveal();
  }
  options.keep_alive_s = keep_alive_s_;
  options.session_expiry_s = static_cast<std::uint32_t>(std::min<std::int64_t>(settings_.session_expiry_ms / 1000, 0xfffffffeLL));
  options.receive_maximum = settings_.receive_maximum;
  return encode_connect(options);
}

result<void> Session::on_packet(const Packet& packet, std::string& out) {
  if (const auto* connack = std::get_if<Connack>(&packet)) return on_connack(*connack, out);
  if (!connected_) return Error{ErrorCode::invalid, "the server sent something else before its CONNACK"};
  if (const auto* publish = std::get_if<Publish>(&packet)) {
    on_publish(*publish);
  } else if (const auto* pubrel = std::get_if<Pubrel>(&packet)) {
    if (held_.erase(pubrel->id) != 0) intake_.erase_position(position_key(pubrel->id));
    owe(intake_.epoch(), Type::pubcomp, pubrel->id);
  } else if (const auto* suback = std::get_if<Suback>(&packet)) {
    return on_suback(*suback);
  } else if (const auto* disconnect = std::get_if<Disconnect>(&packet)) {
    return Error{ErrorCode::unavailable, "the server ended the connection: " + reason_name(disconnect->reason, 5, disconnect->reason_text)};
  }
  out += std::exchange(pending_, {});
  return {};
}

result<void> Session::on_connack(const Connack& connack, std::string& out) {
  if (connected_) return Error{ErrorCode::invalid, "a second CONNACK"};
  if (connack.reason != 0) return Error{ErrorCode::denied, "the server refused the connection: " + reason_name(connack.reason, settings_.version, connack.reason_text)};
  connected_ = progress_ = true;
  if (connack.keep_alive_s && *connack.keep_alive_s > 0) keep_alive_s_ = *connack.keep_alive_s;
  if (!connack.session_present) {
    // The server knows nothing of what we hold: its ids begin anew.
    for (const auto& [id, held] : held_) intake_.erase_position(position_key(id));
    if (!held_.empty()) intake_.count("session_lost");
    held_.clear();
  }
  out += encode_subscribe(kSubscribeId, settings_.topics, settings_.qos, settings_.version);
  return {};
}

result<void> Session::on_suback(const Suback& suback) {
  if (suback.id != kSubscribeId || suback.reasons.size() != settings_.topics.size()) return Error{ErrorCode::invalid, "a SUBACK that answers no SUBSCRIBE of ours"};
  std::size_t granted = 0;
  for (std::size_t i = 0; i < suback.reasons.size(); ++i) {
    const auto reason = static_cast<std::uint8_t>(suback.reasons[i]);
    if (reason >= 0x80) {
      intake_.count("subscribe_refused");
      spdlog::error("source {}: the server refused to subscribe to {}: {}; allow it there (ACL) or change topics", name_, settings_.topics[i],
                    settings_.version == 5 ? reason_name(reason, 5, suback.reason_text) : "no reason given");
      continue;
    }
    ++granted;
    if (reason < settings_.qos) spdlog::warn("source {}: the server gives {} with QoS {} only, {} was asked for", name_, settings_.topics[i], reason, settings_.qos);
  }
  if (granted == 0) return Error{ErrorCode::denied, "the server refused every topic"};
  subscribed_ = progress_ = true;
  return {};
}

void Session::on_publish(const Publish& publish) {
  if (publish.qos == 2) return take_qos2(publish, hash_of(publish), true);
  intake_.accept({publish.payload, publish.topic});
  if (publish.qos == 1) owe(intake_.epoch(), Type::puback, publish.id);
}

void Session::take_qos2(const Publish& publish, std::uint64_t hash, bool deliver) {
  if (const auto held = held_.find(publish.id); held != held_.end() && publish.duplicate && held->second.hash == hash) {
    intake_.count("redelivered");
    return owe(held->second.epoch, Type::pubrec, publish.id);
  }
  if (deliver) intake_.accept({publish.payload, publish.topic});
  std::string position;
  put_u64_be(position, hash);
  intake_.set_position(position_key(publish.id), position);
  held_[publish.id] = {hash, intake_.epoch()};
  owe(intake_.epoch(), Type::pubrec, publish.id);
}

void Session::on_oversized(const Publish& publish, std::uint64_t size_bytes) {
  intake_.count("packet_too_large");
  spdlog::warn("source {}: a message of {} bytes on {} was dropped (max_packet is {})", name_, size_bytes, publish.topic.substr(0, 100), settings_.max_packet_bytes);
  Publish empty = publish;
  empty.payload = {};
  if (publish.qos == 2) take_qos2(empty, hash_of(empty) + size_bytes, false);
  else if (publish.qos == 1) owe(intake_.epoch(), Type::puback, publish.id);
}

void Session::owe(EpochNumber epoch, Type type, std::uint16_t id) {
  // Acknowledgements keep the order of what they answer (section 4.6): a redelivery whose epoch is durable waits for its neighbours.
  if ((epoch <= durable_ && owed_.empty()) || broken_on_purpose("mqtt-ack-before-commit")) return encode_ack(pending_, type, id);
  owed_.push_back({owed_.empty() ? epoch : std::max(epoch, owed_.back().epoch), type, id});
}

void Session::on_durable(EpochNumber up_to, std::string& out) {
  durable_ = std::max(durable_, up_to);
  out += std::exchange(pending_, {});
  if (owed_.empty() || owed_.front().epoch > durable_) return;
  fault_point("mqtt.before_ack");
  for (; !owed_.empty() && owed_.front().epoch <= durable_; owed_.pop_front()) encode_ack(out, owed_.front().type, owed_.front().id);
}

void Session::after_read(bool drained) {
  const std::size_t half = std::max<std::size_t>(1, std::min<std::size_t>(drained ? kHalfWindow : settings_.receive_maximum, settings_.receive_maximum / 2U));
  if (owed_.size() >= half) intake_.commit_soon();
}

}  // namespace rivulet::source::mqtt
