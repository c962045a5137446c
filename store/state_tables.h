// StateTables: the writer's half of the state: steps, log rows and folded rows, in the caller's transaction.
//
// Thread: store. Errors: corrupt: a log row does not read.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "store/pack.h"
#include "store/sqlite.h"
#include "store/state.h"
#include "store/store.h"

namespace rivulet::store {

class StateTables {
 public:
  StateTables(Connection& connection, Compression compression) : connection_(connection), compression_(compression) {}
  result<void> prepare();
  void set_compression(Compression compression) { compression_ = compression; }
  result<void> write(const StateChanges& changes);
  result<std::uint32_t> step(const std::string& pipeline, const std::string& step, const std::string& definition);
  result<void> log(const std::function<result<void>(std::uint64_t, std::string_view)>& visit);
  // Which of a step's rows go.
  using Gone = std::function<bool(std::uint32_t part, std::string_view key)>;
  // False: there is no such step. Of a step that keeps nothing (`whole`) the name goes too. Also from the log, whose rows are written anew.
  result<bool> forget(const std::string& pipeline, const std::string& step, bool whole, const Gone& gone);

 private:
  result<void> forget_in_log(std::uint32_t id, const Gone& gone);
  Connection& connection_;
  Compression compression_;
  PackCodec codec_;
  Statement insert_log_, trim_log_, put_, erase_, read_log_;
};

// For log(): whether every row reads; and the same for a connection, whose file may be of a format without a log.
result<void> read_only_changes(std::uint64_t number, std::string_view body);
result<void> check_state_log(Connection& connection);

// Also for read-only connections (inspect.h).
result<std::vector<StateStep>> list_state(Connection& connection);

}  // namespace rivulet::store
