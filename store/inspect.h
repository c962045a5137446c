// Inspect: a look at a store from another process, while the agent runs or not. Read-only.
//
// Thread: one. Every call is its own short read transaction, so that the agent's log does not grow behind it.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "store/sqlite.h"
#include "store/store.h"

namespace rivulet::store {

class Inspect {
 public:
  static result<Inspect> open(const std::string& directory);
  result<std::vector<StreamInfo>> streams();
  result<std::uint64_t> outbox_bytes();
  result<std::optional<std::string>> fact(const std::string& name);
  result<std::vector<Store::Quarantined>> quarantined(std::int64_t after_id, std::size_t limit);

 private:
  explicit Inspect(Connection connection) : connection_(std::move(connection)) {}
  Connection connection_;
};

}  // namespace rivulet::store
