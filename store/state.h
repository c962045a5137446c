// State: what stateful steps keep, as the store sees it: bytes by (table, key), a log of changes, and which step a table belongs to.
//
// A step has an id; its tables are id * 16 + part. Changes come as one log row an epoch and are folded into the B-tree by the
// one who knows what is latest (agent/pipeline/state), with an epoch. Thread: io, except where it says otherwise.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"

namespace rivulet::store {

// What one epoch does to the state, in one transaction with everything else of it.
struct StateChanges {
  std::uint64_t number = 0;          // of the log's row; 0: nothing has changed
  std::string body;                  // changes, by append_change()
  std::string folded;                // into the B-tree: changes, ascending; as bytes, since they may be most of the state in memory
  std::uint64_t folded_up_to = 0;    // log rows up to this one go
  bool empty() const { return number == 0; }
  std::size_t size_bytes() const { return body.size() + folded.size(); }
};

void append_change(std::string& body, std::uint32_t table, std::string_view key, std::optional<std::string_view> value);
// Error corrupt: the bytes are no body.
result<void> read_changes(std::string_view body, const std::function<void(std::uint32_t table, std::string_view key, std::optional<std::string_view> value)>& visit);

// The refusal, with the way out.
Error definition_changed(const std::string& pipeline, const std::string& step);

// A stateful step that the store knows. Bytes in the table only: what epochs changed since the last folding is in the log.
struct StateStep {
  std::uint32_t id = 0;
  std::string pipeline, step, definition;
  std::uint64_t rows = 0, bytes = 0;
};
inline constexpr std::uint32_t kStateParts = 16;  // tables of a step: id * kStateParts + part

// Where state comes from: the file (StateFile), or nothing that lasts (StateMemory: replay, tests).
class StateBackend {
 public:
  virtual ~StateBackend() = default;
  // The step's id. Error conflict: there is state under another definition; the message says the way out.
  virtual result<std::uint32_t> step(const std::string& pipeline, const std::string& step, const std::string& definition) = 0;
  // Each row of the log, oldest first.
  virtual result<void> log(const std::function<result<void>(std::uint64_t number, std::string_view body)>& visit) = 0;
  virtual result<std::optional<std::string>> get(std::uint32_t table, std::string_view key) = 0;
  // Up to `limit` rows of [from, to), ascending; an empty `to` is the end.
  virtual result<std::vector<std::pair<std::string, std::string>>> rows(std::uint32_t table, std::string_view from, std::string_view to, std::size_t limit) = 0;
};

}  // namespace rivulet::store
