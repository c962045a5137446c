// Inspect: a look at a store from another process, while the agent runs or not. Read-only.
//
// Thread: one. Every call is its own short read transaction, so that the agent's log does not grow behind it.
// Errors: not_found (no store there), invalid (a newer format), denied, unavailable (busy for more than 2 s).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "store/sqlite.h"
#include "store/store.h"

namespace rivulet::store {

// A read-only connection to the store in `directory`, its format looked at. Errors as above.
result<Connection> look_into(const std::string& directory);

class Inspect {
 public:
  static result<Inspect> open(const std::string& directory);

  // Who it is, as kept in the file.
  result<std::string> agent_id();
  result<Uuid> incarnation();

  result<std::vector<StreamInfo>> streams();
  // What can be told from the file: outbox, used, file, wal, quarantine records. The counters since the agent's start are 0.
  result<StoreStats> stats();
  result<std::uint64_t> outbox_bytes();
  result<std::optional<std::string>> fact(const std::string& name);
  result<std::vector<StateStep>> state();
  result<std::optional<std::string>> state_definition(const std::string& pipeline, const std::string& step);  // none: it keeps nothing
  result<std::vector<Store::Quarantined>> quarantined(std::int64_t after_id, std::size_t limit);

 private:
  Inspect(Connection connection, std::string directory) : connection_(std::move(connection)), directory_(std::move(directory)) {}
  result<std::optional<std::string>> one(const char* sql, const std::string& name);

  Connection connection_;
  std::string directory_;
};

}  // namespace rivulet::store
