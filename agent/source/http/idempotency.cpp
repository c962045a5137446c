#include "agent/source/http/idempotency.h"

#include <fmt/core.h>
#include <xxhash.h>

#include <algorithm>
#include <vector>

#include "agent/base/log.h"
#include "agent/base/words.h"

namespace rivulet::source {
namespace {

constexpr std::string_view kPrefix = "key:", kClock = "clock";
constexpr std::size_t kHashDigits = 16;

bool take_blank(std::string_view& text) {
  if (text.empty() || text.front() != ' ') return false;
  text.remove_prefix(1);
  return true;
}

bool take_hash(std::string_view& text, BodyHash& to) {
  if (text.size() < 2 * kHashDigits) return false;
  std::string_view high = text.substr(0, kHashDigits), low = text.substr(kHashDigits, kHashDigits);
  text.remove_prefix(2 * kHashDigits);
  return take_number(high, to.high, 16) && high.empty() && take_number(low, to.low, 16) && low.empty();
}

}  // namespace

BodyHash hash_of(std::string_view body, bool by_lines) {
  const XXH128_hash_t hash = XXH3_128bits_withSeed(body.data(), body.size(), by_lines ? 1 : 0);  // cut otherwise it is another request
  return {hash.high64, hash.low64};
}

IdempotencyKeys::IdempotencyKeys(Intake& intake, config::HttpSource::Idempotency config) : intake_(intake), config_(config), clock_(intake.clock()) {}

void IdempotencyKeys::load() {
  std::vector<Entry> found;
  for (const auto& [key, value] : intake_.positions_at_start()) {
    std::string_view rest = value;
    if (key == kClock) {
      std::int64_t written_ms = 0;
      if (take_number(rest, written_ms) && rest.empty()) clock_.go_on_from(written_ms);
      else log::error("position {} is unreadable ({}); keys may be remembered for longer", key, value);
      continue;
    }
    if (!key.starts_with(kPrefix)) continue;
    Entry entry;
    entry.key = key.substr(kPrefix.size());
    if (!take_hash(rest, entry.body) || !take_blank(rest) || !take_number(rest, entry.at_ms) || !take_blank(rest) || !take_number(rest, entry.records) || !rest.empty()) {
      log::error("position {} is unreadable ({}); a request with that Idempotency-Key that comes again is taken again", key, value);
      continue;
    }
    clock_.go_on_from(entry.at_ms);
    found.push_back(std::move(entry));
  }
  std::sort(found.begin(), found.end(), [](const Entry& a, const Entry& b) { return a.at_ms < b.at_ms; });
  for (Entry& entry : found) {
    const auto place = order_.insert(order_.end(), std::move(entry));
    by_key_[place->key] = place;
  }
  written_ms_ = clock_.now_ms();
}

IdempotencyKeys::Known IdempotencyKeys::look(std::string_view key, const BodyHash& body) const {
  const auto found = by_key_.find(key);
  if (found == by_key_.end() || too_old(*found->second)) return {};
  const Entry& entry = *found->second;
  if (entry.body != body) return {Found::other_body, 0, 0};
  return {entry.epoch <= durable_ ? Found::durable : Found::under_way, entry.records, entry.epoch};
}

bool IdempotencyKeys::make_room() {
  forget_old();
  while (by_key_.size() >= config_.max) {
    if (order_.front().epoch > durable_) return false;
    intake_.count("idempotency_keys_forgotten");
    forget(order_.begin());
  }
  return true;
}

void IdempotencyKeys::remember(std::string_view key, const BodyHash& body, std::uint64_t records) {
  if (const auto known = by_key_.find(key); known != by_key_.end()) forget(known->second);  // it was too old
  const auto place = order_.insert(order_.end(), Entry{std::string(key), body, clock_.now_ms(), records, intake_.epoch()});
  by_key_[place->key] = place;
  intake_.set_position(std::string(kPrefix) + place->key, fmt::format("{:016x}{:016x} {} {}", body.high, body.low, place->at_ms, records));
  write_clock();
}

void IdempotencyKeys::on_durable(EpochNumber up_to) { durable_ = std::max(durable_, up_to); }

void IdempotencyKeys::tick() {
  constexpr std::int64_t kMinuteMs = 60'000, kHourMs = 60 * kMinuteMs;
  forget_old();
  // A write an hour while nothing else happens: what a restart makes the clock forget is at most that.
  if (!by_key_.empty() && clock_.now_ms() - written_ms_ >= std::clamp(config_.window_ms / 24, kMinuteMs, kHourMs)) write_clock();
}

void IdempotencyKeys::forget_old() {
  while (!order_.empty() && too_old(order_.front())) forget(order_.begin());
}

void IdempotencyKeys::forget(Order::iterator entry) {
  intake_.erase_position(std::string(kPrefix) + entry->key);
  by_key_.erase(entry->key);
  order_.erase(entry);
}

void IdempotencyKeys::write_clock() {
  written_ms_ = clock_.now_ms();
  intake_.set_position(kClock, std::to_string(written_ms_));
}

}  // namespace rivulet::source
