#include "store/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>

#include "agent/base/fault_point.h"
#include "agent/base/log.h"
#include "store/changelog.h"
#include "store/identity.h"
#include "store/limits.h"
#include "store/quarantine.h"
#include "store/state_tables.h"

namespace rivulet::store {
namespace {

std::string damage_mark(const std::string& directory) { return directory + "/damaged"; }

constexpr std::int64_t kApplicationId = 0x52565531;  // "RVU1"

constexpr std::uint64_t kOpenBytes = 128 << 10;  // free on the disk: the log, its index of 32 KiB, the first pages of a new file

constexpr std::int64_t kTables = 6;
const char* const kSchema = R"sql(
CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE streams(id INTEGER PRIMARY KEY, name TEXT NOT NULL, topic TEXT NOT NULL, last INTEGER NOT NULL,
  acknowledged INTEGER NOT NULL, bytes INTEGER NOT NULL, UNIQUE(name, topic)) STRICT;
CREATE TABLE packs(id INTEGER PRIMARY KEY, last INTEGER NOT NULL, gap INTEGER NOT NULL, at_ms INTEGER NOT NULL,
  bytes BLOB NOT NULL) STRICT;
CREATE TABLE positions(source TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY(source, key)) STRICT, WITHOUT ROWID;
CREATE TABLE facts(name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE quarantine(id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, source TEXT NOT NULL, pipeline TEXT NOT NULL,
  step TEXT NOT NULL, reason TEXT NOT NULL, key BLOB, value BLOB, timestamp_ms INTEGER NOT NULL, topic TEXT NOT NULL,
  place TEXT, window_start INTEGER, window_end INTEGER, first_line BLOB) STRICT;
)sql";

// Format 2. `state`: id of the step * 16 + part of it; `state_log`: what epochs changed and is not yet in `state` (store/state.h).
const char* const kStateSchema = R"sql(
CREATE TABLE IF NOT EXISTS state_steps(id INTEGER PRIMARY KEY, pipeline TEXT NOT NULL, step TEXT NOT NULL, definition TEXT NOT NULL,
  UNIQUE(pipeline, step)) STRICT;
CREATE TABLE IF NOT EXISTS state_log(id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS state(part INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY(part, key)) STRICT, WITHOUT ROWID;
)sql";

// Format 3, for a file from before.
const char* const kPlaces = R"sql(
ALTER TABLE quarantine ADD COLUMN place TEXT;
ALTER TABLE quarantine ADD COLUMN window_start INTEGER;
ALTER TABLE quarantine ADD COLUMN window_end INTEGER;
ALTER TABLE quarantine ADD COLUMN first_line BLOB;
)sql";

// Gaps are counted without reading every pack. An older program keeps it without knowing of it, so it is no part of the format.
const char* const kGapIndex = "CREATE INDEX IF NOT EXISTS packs_gaps ON packs(id, last) WHERE gap = 1";

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

// secure_delete off: trimmed packs would be written once more. wal_autocheckpoint off: Room does it and sees its errors.
result<void> configure(Connection& connection, const Options& options) {
  const Limits limits = Limits::of(options);
  sqlite3_db_config(connection.raw(), SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  sqlite3_db_config(connection.raw(), SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
  const std::string durability = broken_on_purpose("store.no_sync") ? "OFF" : "FULL";
  const std::string pragmas =
      "PRAGMA page_size=" + std::to_string(kPageBytes) + "; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA mmap_size=0;"
      "PRAGMA cache_size=-512; PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON; PRAGMA secure_delete=OFF; PRAGMA trusted_schema=OFF;"
      "PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=" + durability +
      "; PRAGMA journal_size_limit=" + std::to_string(limits.wal) +
      "; PRAGMA max_page_count=" + std::to_string(limits.page_cap / kPageBytes);
  if (auto set = connection.execute(pragmas); !set) return set.error();
  int chunk = static_cast<int>(limits.wal / 4);  // the file grows in steps: fewer changes of its size to make durable
  sqlite3_file_control(connection.raw(), "main", SQLITE_FCNTL_CHUNK_SIZE, &chunk);
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
  if (auto made = connection.execute(kStateSchema); !made) return made;
  if (auto made = connection.execute(kGapIndex); !made) return made;
  for (const auto& [name, value] : {std::pair<const char*, std::string>{"format", std::to_string(kFormat)},
                                    {"oldest_writer", std::to_string(kOldestWriter)},
                                    {"agent_id", options.agent_id},
                                    {"incarnation", incarnation.text()}})
    if (auto set = set_meta(connection, name, value); !set) return set;
  return transaction->commit();
}

// A file of an older format gets what is new; an older program that opens it later does not look at that.
result<void> upgrade(Connection& connection) {
  auto format = meta(connection, "format");
  if (!format) return format.error();
  if (std::atoll(format->c_str()) >= kFormat) return {};
  auto transaction = Transaction::begin(connection);
  if (!transaction) return transaction.error();
  if (auto made = connection.execute(kStateSchema); !made) return made;
  const auto places = has_places(connection);
  if (!places) return places.error();
  if (!*places)
    if (auto made = connection.execute(kPlaces); !made) return made;
  if (auto set = set_meta(connection, "format", std::to_string(kFormat)); !set) return set;
  return transaction->commit();
}

Error damaged(const std::string& what) { return Error{ErrorCode::corrupt, "store: " + what}; }

enum class Content { nothing, ours };

// A reader that runs as root (`rivulet status`) while nobody has the store open makes its log and index, and gives them to the owner of the store in a
// second step (SQLite, os_unix.c): in between they cannot be opened by the agent's user.
result<std::int64_t> application_id(Connection& connection) {
  auto application = connection.integer("PRAGMA application_id");
  for (int tries = 0; tries < 50 && !application && (sqlite3_errcode(connection.raw()) & 0xff) == SQLITE_CANTOPEN; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    application = connection.integer("PRAGMA application_id");
  }
  return application;
}

// Looks before anything is written: another program's file, and a newer rivulet's, stay as they are.
result<Content> look(Connection& connection, const Options& options) {
  const std::string path = database_path(options.directory);
  auto application = application_id(connection);
  if (!application) return application.error();
  auto tables = connection.integer("SELECT count(*) FROM sqlite_schema WHERE type = 'table'");
  if (!tables) return tables.error();
  if (*application == 0 && *tables == 0) return Content::nothing;  // new, or killed before its first transaction
  if (*application != kApplicationId)
    return Error{ErrorCode::invalid, "store: " + path + " is not a rivulet store; move it away or set agent.state to another folder"};
  auto known = connection.integer("SELECT count(*) FROM sqlite_schema WHERE name IN ('meta', 'streams', 'packs', 'positions', 'facts', 'quarantine')");
  if (!known) return known.error();
  if (*known < kTables) return damaged("tables are missing");
  auto oldest = meta(connection, "oldest_writer");
  if (!oldest) return oldest.error();
  const long long needed = std::atoll(oldest->c_str());
  if (needed < 1) return damaged("its format is missing");
  if (needed > kFormat)
    return Error{ErrorCode::invalid, "store: " + path + " was written by a newer rivulet (only format " + *oldest + " and newer may write it, this version writes format " +
                                         std::to_string(kFormat) + "); install that version again"};
  return Content::ours;
}

// The structure of the whole file, and the checksums of the state's log (a pack that fails its own becomes a gap); slow, because it reads all of it.
result<void> check_closely(Connection& connection) {
  auto health = connection.prepare("PRAGMA quick_check(1)");
  if (!health) return health.error();
  auto row = health->step();
  if (!row) return row.error();
  if (health->bytes(0) != "ok") return damaged("quick_check says: " + std::string(health->bytes(0)));
  health->reset();
  return check_state_log(connection);
}

// A changelog's keys name the agent: under another id it holds nothing yet, and the next start writes it anew.
result<void> forget_generations(Connection& connection) {
  auto forget = connection.prepare("DELETE FROM positions WHERE substr(source, 1, 1) = '@' AND key = ?1");
  if (!forget) return forget.error();
  return forget->bind_blob(1, kGenerationKey).run();
}

result<void> check_agent(Connection& connection, const Options& options) {
  auto agent = meta(connection, "agent_id");
  if (!agent) return agent.error();
  if (*agent == options.agent_id) return {};
  auto open = connection.integer("SELECT count(*) FROM facts WHERE name = 'prepared'");
  if (!open) return open.error();
  if (*open != 0)
    return Error{ErrorCode::conflict, "store: it belongs to agent '" + *agent + "', which has a Kafka transaction under way; start once with agent.id: " +
                                          *agent + " and a reachable broker, then change the id to " + options.agent_id};
  auto transaction = Transaction::begin(connection);
  if (!transaction) return transaction.error();
  if (auto set = set_meta(connection, "agent_id", options.agent_id); !set) return set;
  if (auto forgotten = forget_generations(connection); !forgotten) return forgotten;
  if (auto done = transaction->commit(); !done) return done;
  log::warn("store: agent.id changed from {} to {}", *agent, options.agent_id);
  return {};
}

// corrupt: set it aside. Any other error: refuse to start.
result<Uuid> check_existing(Connection& connection, const Options& options) {
  if (::access(damage_mark(options.directory).c_str(), F_OK) == 0)
    if (auto checked = check_closely(connection); !checked) return checked.error();
  for (const char* query : {"SELECT count(*) FROM streams", "SELECT max(id) FROM packs", "SELECT min(id) FROM packs",
                            "SELECT max(id) FROM quarantine", "SELECT count(*) FROM facts", "SELECT count(*) FROM positions"})
    if (auto read = connection.integer(query); !read) return read.error();
  auto id = meta(connection, "incarnation");
  if (!id) return id.error();
  const auto incarnation = Uuid::parse(*id);
  if (!incarnation) return damaged("its incarnation is not a UUID");
  if (auto checked = check_agent(connection, options); !checked) return checked.error();
  return *incarnation;
}

void sync_directory(const std::string& directory) {
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);  // a rename that a power cut undoes is done again by the next start
  ::close(fd);
}

std::string set_aside(const std::string& directory, const Clock& clock) {
  std::string suffix = ".damaged-" + std::to_string(clock.wall_ms());
  while (::access((database_path(directory) + suffix).c_str(), F_OK) == 0) suffix += "x";
  for (const char* part : {"", "-wal", "-shm"}) {
    const std::string path = database_path(directory) + part;
    std::error_code ignored;  // -wal and -shm may be absent
    std::filesystem::rename(path, database_path(directory) + suffix + part, ignored);
  }
  ::unlink(damage_mark(directory).c_str());
  sync_directory(directory);
  return database_path(directory) + suffix;
}

}  // namespace

std::string database_path(const std::string& directory) { return directory + "/rivulet.db"; }
std::string ballast_path(const std::string& directory) { return directory + "/ballast"; }

result<DirectoryLock> DirectoryLock::take(const std::string& directory) {
  const std::string path = directory + "/lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 && errno == EROFS)
    return Error{ErrorCode::io, "store: " + directory + " is on a file system that is mounted read-only. The service may write below /var/lib/rivulet only, unless its unit has ReadWritePaths= (drop-ins/state.conf); the kernel mounts a disk that fails so (see dmesg). Else mount it writable, or set agent.state to a folder that is"};
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

void mark_damaged(const std::string& directory, const std::string& what) {
  const int fd = ::open(damage_mark(directory).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return;
  (void)!::write(fd, what.data(), what.size());
  ::fsync(fd);
  ::close(fd);
  sync_directory(directory);
}

result<void> make_directory(const std::string& directory) {
  std::error_code error;
  if (const auto parent = std::filesystem::path(directory).parent_path(); !parent.empty()) std::filesystem::create_directories(parent, error);
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
    return Error{ErrorCode::io, "store: cannot make " + directory + ": " + std::strerror(errno) + "; make it by hand or set agent.state"};
  if (!std::filesystem::is_directory(directory, error)) return Error{ErrorCode::invalid, "store: " + directory + " is not a folder; set agent.state to one"};
  return {};
}

namespace {

result<Opened> try_open(const Options& options, IdentityFile& history) {
  auto connection = Connection::open(database_path(options.directory), Connection::Mode::read_write, options.vfs);
  if (!connection) return connection.error();
  const auto content = look(*connection, options);
  if (!content) return content.error();
  // What sensors say is nobody else's, also in a folder that others may read; the log and its index take the same mode.
  if (*content == Content::nothing) ::chmod(database_path(options.directory).c_str(), 0600);
  if (auto configured = configure(*connection, options); !configured) return configured.error();
  Uuid incarnation = Uuid::random();
  if (*content == Content::ours) {
    auto existing = check_existing(*connection, options);
    if (!existing) return existing.error();
    incarnation = *existing;
    if (auto upgraded = upgrade(*connection); !upgraded) return upgraded.error();
    // Without it counting takes longer: a file that has no room for one more page is opened all the same.
    if (auto made = connection->execute(kGapIndex); !made && made.error().code != ErrorCode::full) return made.error();
  }
  // The history first: a crash in between leaves an incarnation that was never used, which does no harm.
  if (auto added = history.add(incarnation); !added) return added.error();
  if (*content == Content::nothing)
    if (auto made = create(*connection, options, incarnation); !made) return made.error();
  ::unlink(damage_mark(options.directory).c_str());  // it was looked at closely, or is new
  Identity identity;
  identity.incarnation = incarnation;
  identity.history = history.before(incarnation);
  return Opened{std::move(*connection), std::move(identity)};
}

// `notice`: said when a damaged file was set aside, also if no new one can be made for want of room.
result<Opened> open_or_set_aside(const Options& options, const Clock& clock, std::string& notice) {
  IdentityFile history(options.directory);
  if (auto read = history.read(); !read) return read.error();
  const std::string path = database_path(options.directory);
  // A log without its database belongs to a file that is gone: SQLite would delete it.
  if (::access(path.c_str(), F_OK) != 0 && ::access((path + "-wal").c_str(), F_OK) == 0) set_aside(options.directory, clock);
  auto opened = try_open(options, history);
  if (opened.has_error() && opened.error().code == ErrorCode::corrupt) {
    notice = opened.error().message + "; the damaged file was set aside as " + set_aside(options.directory, clock) +
             " and a new store begun: what it held and Kafka did not yet have is in that file only";
    log::error("{}", notice);
    opened = try_open(options, history);
  }
  if (opened && !notice.empty()) {
    opened->identity.adopted_after_damage = true;
    opened->identity.notice = notice;
  }
  return opened;
}

std::uint64_t free_bytes(const std::string& directory) {
  struct statvfs disk {};
  return ::statvfs(directory.c_str(), &disk) == 0 ? static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize : UINT64_MAX;
}

// SQLite says so, or it was another call on a disk that has nothing left.
bool for_want_of_room(const Error& error, const std::string& directory) {
  if (error.code == ErrorCode::full) return true;
  return (error.code == ErrorCode::io || error.code == ErrorCode::unknown_fate) && free_bytes(directory) < kOpenBytes;
}

}  // namespace

// Without this a machine that was started again with a full disk would not forward what is stored, which makes room.
result<Opened> open_database(const Options& options, const Clock& clock) {
  if (options.agent_id.empty()) return Error{ErrorCode::invalid, "store: agent.id is empty"};
  if (options.max_bytes < kLeastStorageBytes) return Error{ErrorCode::invalid, "store: agent.storage.max must be at least 8MiB"};
  std::string notice;
  auto opened = open_or_set_aside(options, clock, notice);
  if (opened || !for_want_of_room(opened.error(), options.directory)) return opened;
  const bool had_ballast = ::unlink(ballast_path(options.directory).c_str()) == 0;
  if (had_ballast) {
    log::warn("store: the disk of {} is full: the ballast was given back to it, so that the store can be opened", options.directory);
    opened = open_or_set_aside(options, clock, notice);
    if (opened || !for_want_of_room(opened.error(), options.directory)) return opened;
  }
  return Error{ErrorCode::full, "store: the disk of " + options.directory + " is full, and " + (had_ballast ? "what the agent keeps free for this was not enough" : "the agent has nothing left there to give back") +
                                    "; free at least " + std::to_string(2 * Limits::of(options).ballast >> 20) + " MiB on it (`df " + options.directory +
                                    "`), or move the folder to a larger disk and set agent.state to it, then start again (" + opened.error().message + ")"};
}

}  // namespace rivulet::store
