// StateTables: the writer's half of the state: steps, log rows and folded rows, in the caller's transaction.
//
// Thread: store. Errors: corrupt: a log row does not read.
#pragma once
#include <functional>
#include <string>

#include "store/pack.h"
#include "store/sqlite.h"
#include "store/state.h"
#include "store/store.h"

namespace rivulet::store {

class StateTables {
 public:
  StateTables(Connection& connection, Compression compression) : connection_(connection), compression_(compression) {}
  result<void> prepare();
  result<void> write(const StateChanges& changes);
  result<std::uint32_t> step(const std::string& pipeline, const std::string& step, const std::string& definition);
  result<void> log(const std::function<result<void>(std::uint64_t, std::string_view)>& visit);

 private:
  Connection& connection_;
  const Compression compression_;
  PackCodec codec_;
  Statement insert_log_, trim_log_, put_, erase_, read_log_;
};

}  // namespace rivulet::store
