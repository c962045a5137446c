#include "store/room.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>


#include "agent/base/log.h"
#include "agent/base/pulse.h"
#include "store/database.h"

namespace rivulet::store {
namespace {

constexpr int kShrinkPages = 64;                        // a step: 256 KiB, one short transaction
constexpr std::uint64_t kKeptFreeBytes = 4ULL << 20;    // free pages below this are kept: they will be filled again

int remember_pages(void* at, sqlite3*, const char*, int pages) {
  *static_cast<int*>(at) = pages;
  return SQLITE_OK;
}

result<std::uint64_t> pages(Statement& statement) {
  auto row = statement.step();
  if (!row) return row.error();
  const auto count = static_cast<std::uint64_t>(statement.integer(0));
  statement.reset();
  return count;
}

}  // namespace

Room::Room(Connection& connection, std::string directory, const Limits& limits)
    : connection_(connection), ballast_(ballast_path(directory)), directory_(std::move(directory)), limits_(limits),
      checkpoint_at_(static_cast<int>(limits.wal / kPageBytes)) {}

result<void> Room::prepare() {
  auto count = connection_.prepare("PRAGMA page_count");
  if (!count) return count.error();
  page_count_ = std::move(*count);
  auto free = connection_.prepare("PRAGMA freelist_count");
  if (!free) return free.error();
  free_count_ = std::move(*free);
  sqlite3_wal_hook(connection_.raw(), remember_pages, &log_pages_);
  if (!restore_ballast())
    log::error("store: the disk of {} has less than {} MiB free: until there is more, nothing is taken in that does not fit into the file as it is",
                  directory_, 2 * limits_.ballast >> 20);
  auto measured = measure();
  above_bytes_ = used_bytes_ + free_bytes_;
  return measured;
}

result<void> Room::measure() {
  const auto all = pages(page_count_);
  if (!all) return all.error();
  const auto free = pages(free_count_);
  if (!free) return free.error();
  used_bytes_ = (*all - *free) * kPageBytes;
  free_bytes_ = *free * kPageBytes;
  return {};
}

result<void> Room::checkpoint_if_due() {
  if (log_pages_ < checkpoint_at_) return {};
  return checkpoint();
}

result<void> Room::checkpoint() {
  const PulseScope at(Pulse::Doing::disk);
  int in_log = 0, copied = 0;
  const int code = sqlite3_wal_checkpoint_v2(connection_.raw(), "main", SQLITE_CHECKPOINT_PASSIVE, &in_log, &copied);
  const int step = static_cast<int>(limits_.wal / kPageBytes);
  const bool whole = code == SQLITE_OK && in_log == copied;
  if (whole) log_pages_ = 0;  // the next commit writes from the log's beginning again
  checkpoint_at_ = whole ? step : std::max(log_pages_, 0) + step / 4;
  if (code == SQLITE_OK || (code & 0xff) == SQLITE_BUSY) return {};
  const Error error = sqlite_error(connection_.raw(), "checkpoint");
  if (error.code != ErrorCode::full && error.code != ErrorCode::unavailable) return error;
  log::debug("{}", error.message);
  return {};
}

void Room::set_limits(const Limits& limits) {
  limits_ = limits;
  above_bytes_ = used_bytes_ + free_bytes_;
  checkpoint_at_ = static_cast<int>(limits.wal / kPageBytes);
  if (auto set = connection_.execute("PRAGMA journal_size_limit=" + std::to_string(limits.wal)); !set) log::debug("{}", set.error().message);
  (void)restore_ballast();  // of the new size; where the disk has no room for it, it is as if it were given back
}

result<void> Room::allow_growth(bool emergency) {
  std::uint64_t cap = limits_.page_cap;
  above_bytes_ = std::min(above_bytes_, used_bytes_ + free_bytes_);
  if (emergency) cap = std::max(cap, above_bytes_) + limits_.emergency;
  else if (!has_ballast_) cap = std::min(cap, used_bytes_ + free_bytes_);
  if (cap / kPageBytes == allowed_pages_) return {};
  if (auto set = connection_.execute("PRAGMA max_page_count=" + std::to_string(cap / kPageBytes)); !set) return set;
  allowed_pages_ = cap / kPageBytes;
  return {};
}

std::uint64_t Room::outbox_max_bytes() const {
  if (has_ballast_) return limits_.outbox_max;
  const std::uint64_t file = used_bytes_ + free_bytes_, reserve = limits_.page_cap - limits_.outbox_max;
  return std::min(limits_.outbox_max, file - std::min(file, reserve));
}

bool Room::release_ballast() {
  has_ballast_ = false;
  return ::unlink(ballast_.c_str()) == 0;
}

bool Room::restore_ballast() {
  const PulseScope at(Pulse::Doing::disk);
  const auto size = static_cast<off_t>(limits_.ballast);
  struct stat there {};
  has_ballast_ = ::stat(ballast_.c_str(), &there) == 0 && there.st_size == size;
  if (has_ballast_) return true;
  struct statvfs disk {};
  if (::statvfs(directory_.c_str(), &disk) != 0 || static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize < 2 * limits_.ballast) return false;
  const int fd = ::open(ballast_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  has_ballast_ = ::posix_fallocate(fd, 0, size) == 0;
  if (!has_ballast_) ::unlink(ballast_.c_str());
  ::close(fd);
  return has_ballast_;
}

bool Room::wants_shrink() const { return free_bytes_ > kKeptFreeBytes && free_bytes_ > used_bytes_; }

result<void> Room::shrink() {
  auto done = connection_.execute("PRAGMA incremental_vacuum(" + std::to_string(kShrinkPages) + ")");
  if (!done && done.error().code != ErrorCode::full && done.error().code != ErrorCode::unavailable) return done;
  if (auto measured = measure(); !measured) return measured;
  return checkpoint_if_due();
}

}  // namespace rivulet::store
