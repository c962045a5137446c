// Engine, the part that works for room: emptying a full disk, drop-oldest, giving pages back, and what is told of it.
#include "agent/base/log.h"
#include "store/engine.h"

namespace rivulet::store {
namespace {

constexpr std::uint64_t kDropBytesAtOnce = 8ULL << 20;
constexpr std::int64_t kShrinkEveryMs = 1000, kSleepMs = 30'000;
constexpr std::int64_t kTellDropsEveryMs = 60'000;

}  // namespace

// Checkpoint, delete in small batches, checkpoint.
void Engine::make_room() {
  const auto nothing = [](bool&) -> result<void> { return {}; };
  if (!checked(room_.checkpoint())) return;
  while (rides() || outbox_.wants_trim())
    if (!attempt(true, kTrimPacksWhenFull, nothing)) return;
  (void)checked(room_.checkpoint());
}

void Engine::drop_to_limit(const Protected& protect) {
  const Limits& limits = room_.limits();
  if (options_.when_full != WhenFull::drop_oldest || lost_ || room_.used_bytes() <= limits.outbox_max) return;
  if (!protect.get()) {
    const auto prepared = fact(kPreparedFact);
    if (!prepared || *prepared) return;  // the forwarder has not yet said what it covers
  }
  std::uint64_t all = 0;
  bool more = true;
  while (more && room_.used_bytes() > limits.drop_to) {
    std::uint64_t dropped = 0;
    const std::uint64_t wanted = std::min(room_.used_bytes() - limits.drop_to, kDropBytesAtOnce);
    auto done = transact(true, [&](bool&) -> result<void> {
      dropped = 0;
      const std::uint64_t before = outbox_.bytes();
      while (before - std::min(before, outbox_.bytes()) < wanted) {
        auto count = outbox_.drop_oldest(protect.get().value_or(std::map<StreamId, Sequence>{}));
        if (!count) return count.error();
        if (*count == 0) break;
        dropped += *count;
      }
      return {};
    });
    more = done.has_value() && dropped > 0;
    if (done) all += dropped;
  }
  if (all == 0) return;
  dropped_records_ += all;
  last_drop_ms_ = clock_.steady_ms();
  if (!dropped_told_ms_ || last_drop_ms_ - *dropped_told_ms_ >= kTellDropsEveryMs) tell_dropped();
}

void Engine::tell_dropped() {
  if (dropped_records_ == dropped_told_) return;
  dropped_told_ = dropped_records_;
  dropped_told_ms_ = clock_.steady_ms();
  log::warn("store: storage limit reached: {} oldest records were dropped since the start, gap records go out in their place (storage.when_full: drop-oldest)", dropped_told_);
}

// Once a minute at most: a record that fails may come thousands of times a second.
void Engine::tell_quarantine_dropped() {
  if (quarantine_.dropped() == quarantine_told_ || (quarantine_told_ms_ && clock_.steady_ms() - *quarantine_told_ms_ < kTellDropsEveryMs)) return;
  quarantine_told_ms_ = clock_.steady_ms();
  quarantine_told_ = quarantine_.dropped();
  log::warn("store: quarantine is full ({} records): {} oldest records were dropped from it since the start; look at what it holds (`rivulet quarantine list`), mend "
               "the cause, then have them go on or drop them (`rivulet quarantine retry`, `drop`)", quarantine_.records(), quarantine_told_);
}

std::int64_t Engine::background() {
  if (lost_) return kSleepMs;
  if (dropped_told_ms_ && clock_.steady_ms() - *dropped_told_ms_ >= kTellDropsEveryMs) tell_dropped();
  tell_quarantine_dropped();
  if (!room_.has_ballast() && room_.restore_ballast()) log::info("store: the disk of {} has room again", options_.directory);
  if (rides() || outbox_.wants_trim()) {
    if (auto done = transact(true, [](bool&) -> result<void> { return {}; }); !done) return kShrinkEveryMs;
    return outbox_.wants_trim() ? 0 : kShrinkEveryMs;
  }
  if (!room_.has_ballast()) return kShrinkEveryMs;
  if (!room_.wants_shrink()) return kSleepMs;
  (void)checked(room_.shrink());
  return kShrinkEveryMs;
}

}  // namespace rivulet::store
