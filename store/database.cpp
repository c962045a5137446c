#include "store/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include <spdlog/spdlog.h>

#include "store/identity.h"

namespace rivulet::store {
namespace {

constexpr std::int64_t kApplicationId = 0x52565531;  // "RVU1"

const char* const kSchema = R"sql(
CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE streams(id INTEGER PRIMARY KEY, name TEXT NOT NULL, topic TEXT NOT NULL, last INTEGER NOT NULL,
  acknowledged INTEGER NOT NULL, UNIQUE(name, topic)) STRICT;
CREATE TABLE packs(stream INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, gap INTEGER NOT NULL,
  at_ms INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY(stream, first)) STRICT, WITHOUT ROWID;
CREATE TABLE positions(source TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY(source, key)) STRICT, WITHOUT ROWID;
CREATE TABLE facts(name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE quarantine(id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, source TEXT NOT NULL, pipeline TEXT NOT NULL,
  step TEXT NOT NULL, reason TEXT NOT NULL, key BLOB, value BLOB, timestamp_ms INTEGER NOT NULL, topic TEXT NOT NULL) STRICT;
)sql";

result<std::string> meta(Connection& connection, const char* name) {
  auto statement = connection.prepare("SELECT value FROM meta WHERE name = ?1");
  if (!statement) return statement.error();
  statement->bind(1, std::string_view(name));
  auto row = statement->step();
  if (!row) return row.error();
  return *row ? std::string(statement->bytes(0)) : std::string();
}

result<void> set_meta(Connection& connection, const char* name, const std::string& value) {
  auto statement = connection.prepare("INSERT INTO meta VALUES(?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value");
  if (!statement) return statement.error();
  return statement->bind(1, std::string_view(name)).bind_blob(2, value).run();
}

result<void> configure(Connection& connection, const Options& options) {
  sqlite3_db_config(connection.raw(), SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  sqlite3_db_config(connection.raw(), SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
  const std::string pragmas =
      "PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA mmap_size=0;"
      "PRAGMA cache_size=-512; PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON; PRAGMA secure_delete=OFF;"
      "PRAGMA wal_autocheckpoint=" + std::to_string(kWalPages) + "; PRAGMA journal_size_limit=" + std::to_string(kWalPages * kPageBytes) +
      "; PRAGMA max_page_count=" + std::to_string(std::max<std::uint64_t>(options.max_bytes / kPageBytes, 1024));
  if (auto set = connection.execute(pragmas); !set) return set.error();
  auto mode = connection.prepare("PRAGMA journal_mode");
  if (!mode) return mode.error();
  if (auto row = mode->step(); !row || mode->bytes(0) != "wal")
    return Error{ErrorCode::io, "store: " + options.directory + " does not carry a write-ahead log; use a local file system, not a network share"};
  return {};
}

result<void> create(Connection& connection, const Options& options, const Uuid& incarnation) {
  auto transaction = Transaction::begin(connection);
  if (!transaction) return transaction.error();
  if (auto made = connection.execute("PRAGMA application_id=" + std::to_string(kApplicationId)); !made) return made;
  if (auto made = connection.execute(kSchema); !made) return made;
  for (const auto& [name, value] : {std::pair<const char*, std::string>{"format", std::to_string(kFormat)},
                                    {"oldest_writer", std::to_string(kOldestWriter)},
                                    {"agent_id", options.agent_id},
                                    {"incarnation", incarnation.text()}})
    if (auto set = set_meta(connection, name, value); !set) return set;
  return transaction->commit();
}

// What a file says of itself, checked. corrupt: set it aside. Any other error: refuse to start.
result<Uuid> check_existing(Connection& connection, const Options& options) {
  auto application = connection.integer("PRAGMA application_id");
  if (!application) return application.error();
  if (*application != kApplicationId)
    return Error{ErrorCode::invalid, "store: " + database_path(options.directory) + " is not a rivulet store; move it away or set agent.state to another folder"};
  auto oldest = meta(connection, "oldest_writer");
  if (!oldest) return oldest.error();
  if (oldest->empty() || std::atoll(oldest->c_str()) > kFormat)
    return Error{ErrorCode::invalid, "store: " + database_path(options.directory) + " was written by a newer rivulet (its format needs at least " + *oldest +
                                         ", this version writes " + std::to_string(kFormat) + "); install that version again"};
  auto health = connection.prepare("PRAGMA quick_check(1)");
  if (!health) return health.error();
  auto row = health->step();
  if (!row) return row.error();
  if (health->bytes(0) != "ok") return Error{ErrorCode::corrupt, "store: quick_check says: " + std::string(health->bytes(0))};
  auto id = meta(connection, "incarnation");
  if (!id) return id.error();
  const auto incarnation = Uuid::parse(*id);
  if (!incarnation) return Error{ErrorCode::corrupt, "store: its incarnation is not a UUID"};

  auto agent = meta(connection, "agent_id");
  if (!agent) return agent.error();
  if (*agent != options.agent_id) {
    auto open = connection.integer("SELECT count(*) FROM facts WHERE name = 'prepared'");
    if (!open) return open.error();
    if (*open != 0)
      return Error{ErrorCode::conflict, "store: it belongs to agent '" + *agent + "', which has a Kafka transaction under way; start once with agent.id: " +
                                            *agent + " and a reachable broker, then change the id to " + options.agent_id};
    if (auto set = set_meta(connection, "agent_id", options.agent_id); !set) return set.error();
    spdlog::warn("store: agent.id changed from {} to {}", *agent, options.agent_id);
  }
  return *incarnation;
}

std::string set_aside(const std::string& directory, const Clock& clock) {
  const std::string suffix = ".damaged-" + std::to_string(clock.wall_ms());
  for (const char* part : {"", "-wal", "-shm"}) {
    const std::string path = database_path(directory) + part;
    std::error_code ignored;  // -wal and -shm may be absent
    std::filesystem::rename(path, database_path(directory) + suffix + part, ignored);
  }
  return database_path(directory) + suffix;
}

}  // namespace

std::string database_path(const std::string& directory) { return directory + "/rivulet.db"; }

result<DirectoryLock> DirectoryLock::take(const std::string& directory) {
  const std::string path = directory + "/lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Error{ErrorCode::io, "store: cannot write in " + directory + " (" + std::strerror(errno) + "); make the folder writable for the agent's user or set agent.state"};
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    ::close(fd);
    return Error{ErrorCode::conflict, "store: " + directory + " is in use by another rivulet; stop it first, or set agent.state to another folder"};
  }
  return DirectoryLock(fd);
}
DirectoryLock::DirectoryLock(DirectoryLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
DirectoryLock::~DirectoryLock() {
  if (fd_ >= 0) ::close(fd_);
}

result<Opened> open_database(const Options& options, const Clock& clock) {
  IdentityFile history(options.directory);
  if (auto read = history.read(); !read) return read.error();
  std::string notice;
  for (int attempt = 0;; ++attempt) {
    const std::string path = database_path(options.directory);
    Error why;
    auto connection = Connection::open(path, Connection::Mode::read_write, options.vfs);
    if (connection) {
      auto configured = configure(*connection, options);
      auto tables = configured ? connection->integer("SELECT count(*) FROM sqlite_schema") : result<std::int64_t>(configured.error());
      if (tables && *tables == 0) {
        const Uuid incarnation = Uuid::random();
        // The history first: a crash in between leaves an incarnation that was never used, which does no harm.
        if (auto added = history.add(incarnation); !added) return added.error();
        if (auto made = create(*connection, options, incarnation); !made) return made.error();
        return Opened{std::move(*connection), Identity{incarnation, history.before(incarnation), !notice.empty(), notice}};
      }
      if (tables) {
        auto incarnation = check_existing(*connection, options);
        if (incarnation) {
          if (auto added = history.add(*incarnation); !added) return added.error();
          return Opened{std::move(*connection), Identity{*incarnation, history.before(*incarnation), !notice.empty(), notice}};
        }
        why = incarnation.error();
      } else {
        why = tables.error();
      }
      *connection = Connection();
    } else {
      why = connection.error();
    }
    if (why.code != ErrorCode::corrupt || attempt > 0) return why;
    notice = why.message + "; the damaged file was set aside as " + set_aside(options.directory, clock) + " and a new store begun: what it held and Kafka did not yet have is in that file only";
    spdlog::error("{}", notice);
  }
}

void make_ballast(const std::string& directory) {
  const std::string path = directory + "/ballast";
  struct statvfs disk {};
  struct stat there {};
  if (::stat(path.c_str(), &there) == 0 && there.st_size >= kBallastBytes) return;
  if (::statvfs(directory.c_str(), &disk) != 0 || static_cast<std::int64_t>(disk.f_bavail) * static_cast<std::int64_t>(disk.f_frsize) < 4 * kBallastBytes) return;
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return;
  if (::posix_fallocate(fd, 0, kBallastBytes) != 0) ::unlink(path.c_str());
  ::close(fd);
}

bool release_ballast(const std::string& directory) { return ::unlink((directory + "/ballast").c_str()) == 0; }

}  // namespace rivulet::store
