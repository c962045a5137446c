#include "store/inspect.h"

#include <unistd.h>

#include "store/database.h"
#include "store/quarantine.h"

namespace rivulet::store {

result<Inspect> Inspect::open(const std::string& directory) {
  const std::string path = database_path(directory);
  if (::access(path.c_str(), R_OK) != 0)
    return Error{ErrorCode::not_found, "store: no readable " + path + "; has the agent run with this agent.state, and may you read it?"};
  auto connection = Connection::open(path, Connection::Mode::read_only, "");
  if (!connection) return connection.error();
  return Inspect(std::move(*connection));
}

result<std::vector<StreamInfo>> Inspect::streams() {
  auto select = connection_.prepare("SELECT id, name, topic, last, acknowledged FROM streams ORDER BY id");
  if (!select) return select.error();
  std::vector<StreamInfo> found;
  for (;;) {
    auto row = select->step();
    if (!row) return row.error();
    if (!*row) return found;
    StreamInfo info;
    info.id = static_cast<StreamId>(select->integer(0));
    info.name = select->bytes(1);
    info.topic = select->bytes(2);
    info.last = static_cast<Sequence>(select->integer(3));
    info.acknowledged = static_cast<Sequence>(select->integer(4));
    found.push_back(std::move(info));
  }
}

result<std::uint64_t> Inspect::outbox_bytes() {
  auto bytes = connection_.integer("SELECT ifnull(sum(length(bytes)), 0) FROM packs");
  if (!bytes) return bytes.error();
  return static_cast<std::uint64_t>(*bytes);
}

result<std::optional<std::string>> Inspect::fact(const std::string& name) {
  auto select = connection_.prepare("SELECT value FROM facts WHERE name = ?1");
  if (!select) return select.error();
  select->bind(1, std::string_view(name));
  auto row = select->step();
  if (!row) return row.error();
  if (!*row) return std::optional<std::string>();
  return select->optional_bytes(0);
}

result<std::vector<Store::Quarantined>> Inspect::quarantined(std::int64_t after_id, std::size_t limit) {
  return list_quarantine(connection_, after_id, limit);
}

}  // namespace rivulet::store
