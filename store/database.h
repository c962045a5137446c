// Database: the file itself. Opening, format, identity, what happens when it is damaged, and room on the disk.
//
// Files in the state folder: rivulet.db (+ -wal, -shm), `identity` (history of incarnations), `lock`, `ballast`.
// A damaged file is renamed to rivulet.db.damaged-<time> whole and a new incarnation begins. Thread: opened on the caller's,
// then owned by the store thread.
#pragma once
#include <cstdint>
#include <string>

#include "agent/base/clock.h"
#include "store/sqlite.h"
#include "store/store.h"

namespace rivulet::store {

inline constexpr std::int64_t kFormat = 1;            // what this version writes
inline constexpr std::int64_t kOldestWriter = 1;      // oldest format that may still write a file of ours
inline constexpr std::int64_t kPageBytes = 4096;
inline constexpr std::int64_t kWalPages = 1000;       // checkpoint after so many, also when busy (4 MiB)
inline constexpr std::int64_t kBallastBytes = 2 * kWalPages * kPageBytes;  // at least 1 MiB and twice the WAL limit

// An exclusive lock on the state folder for the life of the object.
class DirectoryLock {
 public:
  static result<DirectoryLock> take(const std::string& directory);
  DirectoryLock(DirectoryLock&& other) noexcept;
  DirectoryLock& operator=(DirectoryLock&&) = delete;
  ~DirectoryLock();

 private:
  explicit DirectoryLock(int fd) : fd_(fd) {}
  int fd_;
};

struct Opened {
  Connection connection;
  Identity identity;
};

// Makes the folder and the file if missing. Refuses a newer format and another agent's store that has a transaction under way.
result<Opened> open_database(const Options& options, const Clock& clock);

// The ballast: room that is given back to a disk that others filled, so that a checkpoint and a trim can succeed.
void make_ballast(const std::string& directory);     // if missing and the disk has four times its size free
bool release_ballast(const std::string& directory);  // true: there was one

std::string database_path(const std::string& directory);

}  // namespace rivulet::store
