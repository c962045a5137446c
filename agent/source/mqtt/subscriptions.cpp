#include "agent/source/mqtt/subscriptions.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "agent/base/bytes.h"
#include "agent/base/log.h"

namespace rivulet::source::mqtt {
namespace {

constexpr const char* kPosition = "topics";

}  // namespace

Subscriptions::Subscriptions(const config::MqttSource& settings, std::string name, Intake& intake)
    : settings_(settings), name_(std::move(name)), intake_(intake) {
  const auto found = intake.positions_at_start().find(kPosition);
  if (found == intake.positions_at_start().end()) return;
  stored_ = found->second;
  Reader reader(stored_);
  while (!reader.at_end()) {
    const std::string_view filter = reader.sized();
    if (!reader.ok()) break;
    known_.emplace(filter);
  }
}

void Subscriptions::connected(bool session_present, std::string& out) {
  asked_id_ = dropped_id_ = 0;
  answered_ = false;
  if (!session_present) known_.clear();
  std::vector<std::string> dropped;
  const std::set<std::string> wanted(settings_.topics.begin(), settings_.topics.end());
  std::set_difference(known_.begin(), known_.end(), wanted.begin(), wanted.end(), std::back_inserter(dropped));
  auto all = known_;
  all.insert(wanted.begin(), wanted.end());
  remember(std::move(all));
  if (!dropped.empty()) {
    dropped_id_ = next_id();
    out += encode_unsubscribe(dropped_id_, dropped, settings_.version);
  }
  subscribe({wanted.begin(), wanted.end()}, out);
}

void Subscriptions::subscribe(std::vector<std::string> filters, std::string& out) {
  asked_ = std::move(filters);
  asked_id_ = next_id();
  out += encode_subscribe(asked_id_, asked_, settings_.qos, settings_.version);
}

void Subscriptions::remember(std::set<std::string> filters) {
  known_ = std::move(filters);
  std::string position;
  for (const auto& filter : known_) put_sized(position, filter);
  if (position == stored_) return;
  stored_ = std::move(position);
  intake_.set_position(kPosition, stored_);
}

result<void> Subscriptions::on_suback(const Suback& suback) {
  if (suback.id == 0 || suback.id != asked_id_ || suback.reasons.size() != asked_.size()) return Error{ErrorCode::invalid, "a SUBACK that answers no SUBSCRIBE of ours"};
  asked_id_ = 0;
  answered_ = true;
  for (std::size_t i = 0; i < asked_.size(); ++i) {
    const std::string& filter = asked_[i];
    const auto granted = static_cast<std::uint8_t>(suback.reasons[i]);
    if (granted >= 0x80) {
      const std::string reason = settings_.version == 5 ? reason_name(granted, 5, suback.reason_text) : "no reason given";
      intake_.count("subscribe_refused");
      if (std::exchange(refused_[filter], reason) != reason)
        log::error("source {}: the server refused to subscribe to {}: {}; allow it there (ACL) or change topics. It is tried again every minute", name_, filter, reason);
      continue;
    }
    if (refused_.erase(filter) > 0) log::info("source {}: the server now gives {}", name_, filter);
    if (granted < settings_.qos) log::warn("source {}: the server gives {} with QoS {} only, {} was asked for", name_, filter, granted, settings_.qos);
  }
  return {};
}

result<void> Subscriptions::on_unsuback(const Unsuback& unsuback) {
  if (unsuback.id == 0 || unsuback.id != dropped_id_) return Error{ErrorCode::invalid, "an UNSUBACK that answers no UNSUBSCRIBE of ours"};
  dropped_id_ = 0;
  remember({settings_.topics.begin(), settings_.topics.end()});
  return {};
}

void Subscriptions::retry(std::string& out) {
  if (asked_id_ != 0 || refused_.empty()) return;
  std::vector<std::string> filters;
  for (const auto& [filter, reason] : refused_) filters.push_back(filter);
  subscribe(std::move(filters), out);
}

std::string Subscriptions::refused() const {
  std::string text;
  for (const auto& [filter, reason] : refused_) {
    if (text.size() > 300) return text + ", ...";
    text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", filter, reason);
  }
  return text;
}

}  // namespace rivulet::source::mqtt
