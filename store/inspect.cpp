#include "store/inspect.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include <fmt/core.h>

#include "store/database.h"
#include "store/limits.h"
#include "store/outbox.h"
#include "store/quarantine.h"
#include "store/state_tables.h"

namespace rivulet::store {
namespace {

std::uint64_t file_size(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

std::string escaped(const std::string& path) {  // for a file: URI
  std::string text;
  for (const char c : path) {
    if (c == '%' || c == '?' || c == '#') text += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    else text += c;
  }
  return text;
}

}  // namespace

result<Connection> look_into(const std::string& directory) {
  const std::string path = database_path(directory);
  if (::access(path.c_str(), F_OK) != 0)
    return Error{ErrorCode::not_found, "store: no " + path + "; has the agent run with this agent.state, and may you look into that folder?"};
  if (::access(path.c_str(), R_OK) != 0)
    return Error{ErrorCode::denied, "store: you may not read " + path + "; run this as the agent's user or as root"};
  const auto usable = [](Connection& connection) { return connection.integer("SELECT count(*) FROM meta"); };
  auto connection = Connection::open(path, Connection::Mode::read_only, "");
  if (!connection) return connection.error();
  auto read = usable(*connection);
  // Without an agent and without the right to make the log's index nothing can be changing the file.
  if (!read && (file_size(path + "-wal") == 0 || ::access((path + "-wal").c_str(), F_OK) != 0) && read.error().code != ErrorCode::corrupt) {
    connection = Connection::open("file:" + escaped(path) + "?immutable=1", Connection::Mode::read_only, "");
    if (!connection) return connection.error();
    read = usable(*connection);
  }
  if (!read && read.error().message.find("no such table") != std::string::npos)
    return Error{ErrorCode::unavailable, "store: " + path + " is just being made, or is no store of rivulet; try again in a moment"};
  if (!read) return read.error();
  auto format = connection->prepare("SELECT value FROM meta WHERE name = 'format'");
  if (!format) return format.error();
  auto row = format->step();
  if (!row) return row.error();
  if (*row && std::atoll(std::string(format->bytes(0)).c_str()) > kFormat)
    return Error{ErrorCode::invalid, "store: " + path + " was written by a newer rivulet; look at it with that version"};
  return std::move(*connection);
}

result<Inspect> Inspect::open(const std::string& directory) {
  auto connection = look_into(directory);
  if (!connection) return connection.error();
  return Inspect(std::move(*connection), directory);
}

result<std::optional<std::string>> Inspect::one(const char* sql, const std::string& name) {
  auto select = connection_.prepare(sql);
  if (!select) return select.error();
  select->bind(1, std::string_view(name));
  auto row = select->step();
  if (!row) return row.error();
  if (!*row) return std::optional<std::string>();
  return select->optional_bytes(0);
}

result<std::string> Inspect::agent_id() {
  auto found = one("SELECT value FROM meta WHERE name = ?1", "agent_id");
  if (!found) return found.error();
  return found->value_or("");
}

result<Uuid> Inspect::incarnation() {
  auto found = one("SELECT value FROM meta WHERE name = ?1", "incarnation");
  if (!found) return found.error();
  const auto parsed = Uuid::parse(found->value_or(""));
  if (!parsed) return Error{ErrorCode::corrupt, "store: its incarnation is not a UUID"};
  return *parsed;
}

result<std::vector<StreamInfo>> Inspect::streams() {
  auto select = connection_.prepare("SELECT id, name, topic, last, acknowledged, bytes FROM streams ORDER BY id");
  if (!select) return select.error();
  std::vector<StreamInfo> found;
  for (;;) {
    auto row = select->step();
    if (!row) return row.error();
    if (!*row) break;
    StreamInfo info;
    info.id = static_cast<StreamId>(select->integer(0));
    info.name = select->bytes(1);
    info.topic = select->bytes(2);
    info.last = static_cast<Sequence>(select->integer(3));
    info.acknowledged = static_cast<Sequence>(select->integer(4));
    info.bytes = static_cast<std::uint64_t>(select->integer(5));
    found.push_back(std::move(info));
  }
  auto gaps = connection_.prepare("SELECT id, last FROM packs WHERE gap = 1");
  if (!gaps) return gaps.error();
  for (;;) {
    auto row = gaps->step();
    if (!row) return row.error();
    if (!*row) return found;
    const std::int64_t id = gaps->integer(0);
    for (StreamInfo& info : found)
      if (info.id == stream_of(id)) info.gap_records += count_above(info.acknowledged, first_of(id), std::min(info.last, static_cast<Sequence>(gaps->integer(1))));
  }
}

result<StoreStats> Inspect::stats() {
  const auto all = streams();
  if (!all) return all.error();
  StoreStats stats;
  for (const StreamInfo& info : *all) {
    stats.outbox_records += info.waiting();
    stats.outbox_bytes += info.bytes;
  }
  const auto pages = connection_.integer("PRAGMA page_count");
  if (!pages) return pages.error();
  const auto free = connection_.integer("PRAGMA freelist_count");
  if (!free) return free.error();
  const auto quarantined = connection_.integer("SELECT count(*) FROM quarantine");
  if (!quarantined) return quarantined.error();
  stats.used_bytes = static_cast<std::uint64_t>(*pages - *free) * kPageBytes;
  stats.quarantine_records = static_cast<std::uint64_t>(*quarantined);
  stats.file_bytes = file_size(database_path(directory_));
  stats.wal_bytes = file_size(database_path(directory_) + "-wal");
  return stats;
}

result<std::uint64_t> Inspect::outbox_bytes() {
  const auto all = stats();
  if (!all) return all.error();
  return all->outbox_bytes;
}

result<std::optional<std::string>> Inspect::fact(const std::string& name) { return one("SELECT value FROM facts WHERE name = ?1", name); }

result<std::vector<StateStep>> Inspect::state() {
  auto tables = connection_.integer("SELECT count(*) FROM sqlite_schema WHERE name = 'state_steps'");  // absent until this version has opened the file once
  if (!tables) return tables.error();
  return *tables == 0 ? std::vector<StateStep>() : list_state(connection_);
}

result<std::optional<std::string>> Inspect::state_definition(const std::string& pipeline, const std::string& step) {
  auto select = connection_.prepare("SELECT definition FROM state_steps WHERE pipeline = ?1 AND step = ?2");
  if (!select) return select.error();
  auto row = select->bind(1, std::string_view(pipeline)).bind(2, std::string_view(step)).step();
  if (!row) return row.error();
  return *row ? select->optional_bytes(0) : std::nullopt;
}

result<std::vector<Store::Quarantined>> Inspect::quarantined(std::int64_t after_id, std::size_t limit) {
  return list_quarantine(connection_, after_id, limit);
}

}  // namespace rivulet::store
