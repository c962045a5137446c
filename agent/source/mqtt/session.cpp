#include "agent/source/mqtt/session.h"

#include <fmt/core.h>
#include <xxhash.h>

#include <algorithm>
#include <charconv>

#include "agent/base/bytes.h"
#include "agent/base/fault_point.h"
#include "agent/base/log.h"

namespace rivulet::source::mqtt {
namespace {

std::uint16_t configured_keep_alive_s(const config::MqttSource& settings) {
  return static_cast<std::uint16_t>(std::clamp<std::int64_t>(settings.keep_alive_ms / 1000, 1, 65'535));
}

std::uint32_t session_expiry_s(const config::MqttSource& settings) {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(settings.session_expiry_ms / 1000, 1, 0xfffffffeLL));
}

std::string position_key(std::uint16_t id) { return "id:" + std::to_string(id); }

std::string position_of(std::uint64_t hash, bool released) {
  std::string position;
  put_u64_be(position, hash);
  if (released) position += 'r';
  return position;
}

std::uint64_t hash_of(const Publish& publish) {
  const XXH64_hash_t topic = XXH3_64bits(publish.topic.data(), publish.topic.size());
  return XXH3_64bits_withSeed(publish.payload.data(), publish.payload.size(), topic);
}

}  // namespace

Session::Session(const config::MqttSource& settings, std::string name, std::string client_id, Intake& intake)
    : settings_(settings), name_(std::move(name)), client_id_(std::move(client_id)), intake_(intake), subscriptions_(settings, name_, intake),
      window_(settings.receive_maximum), keep_alive_s_(configured_keep_alive_s(settings)) {
  for (const auto& [key, value] : intake.positions_at_start()) {
    unsigned id = 0;
    if (key.rfind("id:", 0) != 0 || value.size() < 8) continue;
    if (std::from_chars(key.data() + 3, key.data() + key.size(), id).ec != std::errc() || id == 0 || id > 65'535) continue;
    const bool released = value.size() > 8;
    held_[static_cast<std::uint16_t>(id)] = {Reader(value).u64_be(), 0, released};
    if (released) released_.push_back(static_cast<std::uint16_t>(id));
  }
}

void Session::disconnected() {
  owed_.clear();
  paid_.clear();
  freed_ = 0;
  connected_ = false;
}

std::string Session::connect() {
  disconnected();
  window_.connected();
  keep_alive_s_ = configured_keep_alive_s(settings_);
  ConnectOptions options;
  options.version = settings_.version;
  options.client_id = client_id_;
  options.login = settings_.login.has_value();
  if (settings_.login) {
    options.username = settings_.login->username;
    options.password = settings_.login->password.reveal();
  }
  options.keep_alive_s = keep_alive_s_;
  options.session_expiry_s = session_expiry_s(settings_);
  options.receive_maximum = settings_.receive_maximum;
  return encode_connect(options);
}

result<void> Session::on_packet(const Packet& packet, std::string& out) {
  if (const auto* connack = std::get_if<Connack>(&packet)) return on_connack(*connack, out);
  if (!connected_) return Error{ErrorCode::invalid, "the server sent something else before its CONNACK"};
  if (const auto* publish = std::get_if<Publish>(&packet)) on_publish(*publish);
  else if (const auto* pubrel = std::get_if<Pubrel>(&packet)) on_pubrel(*pubrel);
  else if (const auto* suback = std::get_if<Suback>(&packet)) return subscriptions_.on_suback(*suback);
  else if (const auto* unsuback = std::get_if<Unsuback>(&packet)) return subscriptions_.on_unsuback(*unsuback);
  else if (std::holds_alternative<Puback>(packet)) return Error{ErrorCode::invalid, "the server acknowledged a message that was never sent"};
  else if (const auto* disconnect = std::get_if<Disconnect>(&packet))
    return Error{ErrorCode::unavailable, "the server ended the connection: " + reason_name(disconnect->reason, 5, disconnect->reason_text)};
  flush(out);
  return {};
}

result<void> Session::on_connack(const Connack& connack, std::string& out) {
  if (connected_) return Error{ErrorCode::invalid, "a second CONNACK"};
  if (connack.reason != 0) return Error{ErrorCode::denied, "the server refused the connection: " + reason_name(connack.reason, settings_.version, connack.reason_text)};
  connected_ = true;
  if (connack.keep_alive_s && *connack.keep_alive_s > 0) keep_alive_s_ = *connack.keep_alive_s;
  if (connack.session_expiry_s && *connack.session_expiry_s < session_expiry_s(settings_) && !std::exchange(told_expiry_, true))
    log::warn("source {}: the server keeps the session for {} s only, {} s were asked for; what it queues is lost when the agent is away longer", name_,
                 *connack.session_expiry_s, session_expiry_s(settings_));
  if (!connack.session_present) {
    // The server knows nothing of what we hold: its ids begin anew.
    for (const auto& [id, held] : held_) intake_.erase_position(position_key(id));
    if (!held_.empty()) intake_.count("session_lost");
    held_.clear();
    released_.clear();
    last_new_id_ = 0;
    ids_count_up_ = true;
  }
  subscriptions_.connected(connack.session_present, out);
  return {};
}

void Session::on_publish(const Publish& publish) {
  if (publish.qos > 0) window_.delivered(intake_.clock().steady_ms());
  if (publish.qos > 0 && !publish.duplicate) on_new_id(publish.id);
  if (publish.qos == 2) return take_qos2(publish, hash_of(publish), true);
  intake_.accept({publish.payload, publish.topic});
  if (publish.qos == 1) owe(intake_.epoch(), Type::puback, publish.id);
}

void Session::on_new_id(std::uint16_t id) {
  const bool wrapped = last_new_id_ > 65'535 - 5'000 && id < 5'000;
  if (id <= last_new_id_ && !wrapped) ids_count_up_ = false;
  last_new_id_ = id;
  if (!ids_count_up_) forget_released(0);
}

void Session::forget_released(std::size_t but) {
  for (; released_.size() > but; released_.pop_front()) {
    const auto found = held_.find(released_.front());
    if (found == held_.end() || !found->second.released) continue;
    intake_.erase_position(position_key(found->first));
    held_.erase(found);
  }
}

void Session::take_qos2(const Publish& publish, std::uint64_t hash, bool deliver) {
  if (const auto held = held_.find(publish.id); held != held_.end() && publish.duplicate && held->second.hash == hash) {
    intake_.count("redelivered");
    return owe(held->second.epoch, Type::pubrec, publish.id);
  }
  if (deliver) intake_.accept({publish.payload, publish.topic});
  intake_.set_position(position_key(publish.id), position_of(hash, false));
  held_[publish.id] = {hash, intake_.epoch()};
  owe(intake_.epoch(), Type::pubrec, publish.id);
}

// An id that is not held is answered too (it may have been released and forgotten): with the epoch that fills now.
void Session::on_pubrel(const Pubrel& pubrel) {
  if (const auto held = held_.find(pubrel.id); held != held_.end() && !held->second.released) {
    held->second.released = true;
    intake_.set_position(position_key(pubrel.id), position_of(held->second.hash, true));
    released_.push_back(pubrel.id);
    forget_released(ids_count_up_ ? settings_.receive_maximum : 0);
  }
  owe(intake_.epoch(), Type::pubcomp, pubrel.id);
}

void Session::on_oversized(const Publish& publish, std::uint64_t size_bytes, std::string& out) {
  intake_.count("packet_too_large");
  log::warn("source {}: a message of {} bytes on {} was dropped (max_packet is {})", name_, size_bytes, publish.topic.substr(0, 100), settings_.max_packet_bytes);
  if (publish.qos > 0) window_.delivered(intake_.clock().steady_ms());
  if (publish.qos > 0 && !publish.duplicate) on_new_id(publish.id);
  Publish empty = publish;
  empty.payload = {};
  if (publish.qos == 2) take_qos2(empty, hash_of(empty) + size_bytes, false);
  else if (publish.qos == 1) owe(intake_.epoch(), Type::puback, publish.id);
  flush(out);
}

void Session::owe(EpochNumber epoch, Type type, std::uint16_t id) {
  // Acknowledgements keep the order of what they answer (section 4.6): a redelivery whose epoch is durable waits for its neighbours.
  if ((epoch <= durable_ && owed_.empty()) || broken_on_purpose("mqtt-ack-before-commit")) return pay(type, id);
  owed_.push_back({owed_.empty() ? epoch : std::max(epoch, owed_.back().epoch), type, id});
}

void Session::pay(Type type, std::uint16_t id) {
  encode_ack(paid_, type, id);
  if (type != Type::pubrec) ++freed_;  // mosquitto frees a slot of QoS 2 at PUBCOMP only
}

void Session::flush(std::string& out) {
  window_.freed(std::exchange(freed_, 0), intake_.clock().steady_ms());
  out += std::exchange(paid_, {});
}

void Session::on_durable(EpochNumber up_to, std::string& out) {
  durable_ = std::max(durable_, up_to);
  if (!owed_.empty() && owed_.front().epoch <= durable_) fault_point("mqtt.before_ack");
  for (; !owed_.empty() && owed_.front().epoch <= durable_; owed_.pop_front()) pay(owed_.front().type, owed_.front().id);
  flush(out);
}

void Session::after_read(bool drained) {
  // While more is at hand the server does not wait, and half of what it may send is early enough.
  const std::size_t due = drained ? window_.half(intake_.clock().steady_ms()) : std::max<std::size_t>(1, settings_.receive_maximum / 2U);
  if (owed_.size() >= due) intake_.commit_soon();
}

}  // namespace rivulet::source::mqtt
