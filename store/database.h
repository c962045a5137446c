// Database: the file itself. Opening, format, identity, and what happens when it is damaged.
//
// Files in the state folder: rivulet.db (+ -wal, -shm), `identity` (history of incarnations), `lock`, `ballast`, and `damaged`,
// a mark left by a process that met damage while running: only then does the next open read the whole file to check it.
// A disk that is full when the file is opened gets the ballast back (room.h), once: opening needs pages, too.
// A damaged file is renamed to rivulet.db.damaged-<time> whole and a new incarnation begins. Thread: opened on the caller's,
// then owned by the store thread.
#pragma once
#include <cstdint>
#include <string>

#include "agent/base/clock.h"
#include "store/sqlite.h"
#include "store/store.h"

namespace rivulet::store {

inline constexpr std::int64_t kFormat = 3;            // what this version writes; 2: with state, 3: the quarantine knows where its records go on
inline constexpr std::int64_t kOldestWriter = 1;      // oldest format that may still write a new file of ours; 2 once it holds windows (outbox.cpp)

// The forwarder's fact that a Kafka transaction was prepared and is not resolved.
inline constexpr const char* kPreparedFact = "prepared";

// Made with its parents if missing (0700); one that is there keeps its mode.
result<void> make_directory(const std::string& directory);

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

// Makes the folder and the file if missing. Refuses a newer format and another agent's store that has a transaction under way; without one
// the store is this agent's from here on, and its changelogs do not hold everything any more.
result<Opened> open_database(const Options& options, const Clock& clock);

// The process met damage while running and will end: the next open looks closely.
void mark_damaged(const std::string& directory, const std::string& what);

std::string database_path(const std::string& directory);
std::string ballast_path(const std::string& directory);

}  // namespace rivulet::store
