#include "store/rebuild.h"

#include <map>

namespace rivulet::store {
namespace {

constexpr const char* kTablesOfIt[] = {"packs", "streams", "positions", "state", "state_log", "state_steps"};

result<void> clear(Connection& connection) {
  for (const char* table : kTablesOfIt)
    if (auto done = connection.execute(std::string("DELETE FROM ") + table); !done) return done;
  return {};
}

result<void> put_positions(Connection& connection, const std::vector<PositionChange>& positions) {
  auto put = connection.prepare("INSERT INTO positions VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value");
  if (!put) return put.error();
  auto erase = connection.prepare("DELETE FROM positions WHERE source = ?1 AND key = ?2");
  if (!erase) return erase.error();
  for (const PositionChange& change : positions) {
    Statement& statement = change.value ? *put : *erase;
    statement.bind(1, std::string_view(change.source)).bind_blob(2, change.key);
    if (change.value) statement.bind_blob(3, *change.value);
    if (auto done = statement.run(); !done) return done;
  }
  return {};
}

result<void> put_rows(Connection& connection, StateTables& state, const Rebuild& rebuild) {
  for (const StateStep& step : rebuild.steps)
    if (auto made = state.step(step.pipeline, step.step, step.definition); !made) return made.error();
  if (rebuild.rows.empty()) return {};
  auto steps = list_state(connection);
  if (!steps) return steps.error();
  std::map<std::pair<std::string, std::string>, std::uint32_t> ids;
  for (const StateStep& step : *steps) ids[{step.pipeline, step.step}] = step.id;
  auto put = connection.prepare("INSERT INTO state VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value");
  if (!put) return put.error();
  auto erase = connection.prepare("DELETE FROM state WHERE part = ?1 AND key = ?2");
  if (!erase) return erase.error();
  for (const Rebuild::Row& row : rebuild.rows) {
    const auto id = ids.find({row.pipeline, row.step});
    if (id == ids.end() || row.part >= kStateParts) return Error{ErrorCode::invalid, "store: a row of state belongs to no step"};
    Statement& statement = row.value ? *put : *erase;
    statement.bind(1, std::int64_t{id->second} * kStateParts + row.part).bind_blob(2, row.key);
    if (row.value) statement.bind_blob(3, *row.value);
    if (auto done = statement.run(); !done) return done;
  }
  return {};
}

}  // namespace

result<bool> is_unused(Connection& connection) {
  for (const char* table : {"packs", "streams", "positions", "state_log", "state_steps", "facts", "quarantine"}) {
    auto count = connection.integer(("SELECT count(*) FROM (SELECT 1 FROM " + std::string(table) + " LIMIT 1)").c_str());
    if (!count) return count.error();
    if (*count > 0) return false;
  }
  return true;
}

result<void> rebuild_rows(Connection& connection, StateTables& state, const Rebuild& rebuild) {
  if (rebuild.begin)
    if (auto done = clear(connection); !done) return done;
  if (auto done = put_rows(connection, state, rebuild); !done) return done;
  if (auto done = put_positions(connection, rebuild.positions); !done) return done;
  auto put = connection.prepare("INSERT INTO streams VALUES(?1, ?2, ?3, ?4, ?4, 0)");
  if (!put) return put.error();
  for (const StreamInfo& stream : rebuild.streams)
    if (auto done = put->bind(1, std::int64_t{stream.id}).bind(2, std::string_view(stream.name)).bind(3, std::string_view(stream.topic)).bind(4, static_cast<std::int64_t>(stream.last)).run(); !done)
      return done;
  return {};
}

}  // namespace rivulet::store
