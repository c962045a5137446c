#include "agent/source/stream/sessions.h"

#include <algorithm>
#include <charconv>

#include "agent/base/check.h"
#include "agent/base/log.h"

namespace rivulet::source {
namespace {

constexpr std::string_view prefix = "session:";
constexpr std::size_t longest_name = 128;
// A session that only says HELLO is written again at most this often: its time of last use is worth no more flash.
constexpr std::int64_t refresh_ms = 3'600'000;

bool good_name(std::string_view name) {
  return !name.empty() && name.size() <= longest_name &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c <= '~'; });
}

bool parse(std::string_view value, Session& into) {
  const char* const end = value.data() + value.size();
  const auto frames = std::from_chars(value.data(), end, into.accepted);
  if (frames.ec != std::errc() || frames.ptr == end || *frames.ptr != ' ') return false;
  const auto used = std::from_chars(frames.ptr + 1, end, into.last_used_ms);
  return used.ec == std::errc() && used.ptr == end;
}

}  // namespace

Sessions::Sessions(Intake& intake, std::size_t max_sessions) : intake_(intake), max_(std::max<std::size_t>(max_sessions, 1)) {}

void Sessions::load() {
  std::vector<SessionPtr> found;
  for (const auto& [key, value] : intake_.positions_at_start()) {
    if (!key.starts_with(prefix)) continue;
    auto session = std::make_shared<Session>();
    session->name = key.substr(prefix.size());
    if (!parse(value, *session)) {
      log::error("position {} is unreadable ({}); that session starts from 0 and its client may send twice", key, value);
      continue;
    }
    session->durable = session->accepted;
    found.push_back(std::move(session));
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a->last_used_ms < b->last_used_ms; });
  for (auto& session : found) {
    newest_use_ms_ = session->last_used_ms;
    by_name_[session->name] = order_.insert(order_.end(), session);
  }
}

result<SessionPtr> Sessions::open(std::string_view name) {
  if (!good_name(name)) {
    return Error{ErrorCode::invalid, "a session name is 1 to 128 printable characters without blanks"};
  }
  if (const auto known = by_name_.find(std::string(name)); known != by_name_.end()) {
    const SessionPtr session = *known->second;
    const auto before_ms = session->last_used_ms;
    touch(*session);
    if (session->accepted > 0 && session->last_used_ms - before_ms > refresh_ms) store(*session);
    return session;
  }
  if (!make_room()) return Error{ErrorCode::full, "all remembered sessions are in use; raise max_sessions"};
  auto session = std::make_shared<Session>();
  session->name = name;
  // It may have been remembered until a moment ago: what RESUME says holds once that erasure is durable.
  session->settles_with = last_erase_;
  by_name_[session->name] = order_.insert(order_.end(), session);
  touch(*session);
  return session;
}

void Sessions::accepted(const SessionPtr& session, std::uint64_t frames) {
  if (frames == 0) return;
  const EpochNumber epoch = intake_.epoch();
  session->accepted += frames;
  session->settles_with = epoch;
  if (session->in_flight.empty()) in_flight_.push_back(session);
  if (session->in_flight.empty() || session->in_flight.back().first != epoch) {
    session->in_flight.emplace_back(epoch, session->accepted);
  } else {
    session->in_flight.back().second = session->accepted;
  }
  if (session->name.empty()) return;
  touch(*session);
  store(*session);
}

void Sessions::on_durable(EpochNumber up_to) {
  durable_epoch_ = std::max(durable_epoch_, up_to);
  std::erase_if(in_flight_, [&](const SessionPtr& session) {
    while (!session->in_flight.empty() && session->in_flight.front().first <= up_to) {
      session->durable = session->in_flight.front().second;
      session->in_flight.pop_front();
    }
    return session->in_flight.empty();
  });
}

void Sessions::release(Session& session) {
  session.owner = nullptr;
  // One that never sent a frame has nothing to remember.
  if (session.name.empty() || session.accepted > 0) return;
  const auto known = by_name_.find(session.name);
  RV_CHECK(known != by_name_.end(), "a named session is remembered while it has a client");
  const auto place = known->second;
  by_name_.erase(known);
  order_.erase(place);
}

void Sessions::touch(Session& session) {
  newest_use_ms_ = std::max(newest_use_ms_ + 1, intake_.clock().wall_ms());
  session.last_used_ms = newest_use_ms_;
  const auto place = by_name_.at(session.name);
  order_.splice(order_.end(), order_, place);
}

bool Sessions::make_room() {
  while (by_name_.size() >= max_) {
    const auto idle = std::find_if(order_.begin(), order_.end(),
                                   [](const auto& each) { return each->owner == nullptr && each->in_flight.empty(); });
    if (idle == order_.end()) return false;
    intake_.erase_position(std::string(prefix) + (*idle)->name);
    intake_.count("sessions_forgotten");
    last_erase_ = intake_.epoch();
    by_name_.erase((*idle)->name);
    order_.erase(idle);
  }
  return true;
}

void Sessions::store(const Session& session) {
  intake_.set_position(std::string(prefix) + session.name,
                       std::to_string(session.accepted) + ' ' + std::to_string(session.last_used_ms));
}

}  // namespace rivulet::source
