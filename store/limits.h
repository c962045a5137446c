// Limits: how storage.max is divided. All sizes in bytes.
//
//   storage.max = [ outbox and all other tables: outbox_max | reserve ] = page_cap, + emergency + wal + ballast
//
// Sources are refused above outbox_max; epochs that are already handed over fit into the reserve; the forwarder's changes may
// go into the emergency pages above the cap as well, because they are what makes room again.
#pragma once
#include <algorithm>
#include <cstdint>

#include "store/store.h"

namespace rivulet::store {

inline constexpr std::uint64_t kPageBytes = 4096;
inline constexpr std::uint64_t kLeastStorageBytes = 8ULL << 20;

struct Limits {
  std::uint64_t wal = 0;         // checkpoint when the log holds this much, also when busy; its file is cut back to it
  std::uint64_t ballast = 0;     // at least 1 MiB and twice the log
  std::uint64_t emergency = 0;
  std::uint64_t page_cap = 0;    // max_page_count for epochs
  std::uint64_t outbox_max = 0;  // pages in use; above it nothing new is taken in
  std::uint64_t drop_to = 0;     // drop-oldest goes on until no more than this is in use
  QuarantineBound quarantine;

  static Limits of(const Options& options) {
    Limits limits;
    const std::uint64_t max = std::max(options.max_bytes, kLeastStorageBytes);
    // 4 MiB of log: at 10 pages an epoch a checkpoint every 100 epochs, so that a page that changes each time is copied once.
    limits.wal = std::clamp<std::uint64_t>(max / 64, 64 * kPageBytes, 1024 * kPageBytes);
    limits.ballast = std::max<std::uint64_t>(1ULL << 20, 2 * limits.wal);
    limits.emergency = std::clamp<std::uint64_t>(max / 64, 32 * kPageBytes, 1024 * kPageBytes);
    limits.page_cap = max - limits.wal - limits.ballast - limits.emergency;
    const std::uint64_t epochs = options.epochs_in_flight * options.epoch_max_bytes;
    const std::uint64_t reserve = std::min(std::max(epochs + epochs / 8, limits.page_cap / 16), limits.page_cap / 3);
    limits.outbox_max = limits.page_cap - reserve;
    limits.drop_to = limits.outbox_max - limits.outbox_max / 16;
    limits.quarantine = {options.quarantine.records, std::min(options.quarantine.bytes, limits.outbox_max / 8)};
    return limits;
  }
};

}  // namespace rivulet::store
