#include "agent/pipeline/join/joining.h"

#include "agent/pipeline/sql_text.h"

namespace rivulet::pipeline {

TableView* Joining::table_of(const OperatorParts& parts, const std::string& name) {
  const auto found = parts.tables.find(name);
  return found == parts.tables.end() ? nullptr : found->second;
}

result<void> Joining::try_emit(std::optional<std::string_view> key, const Side* left, const Side* right, Timestamp timestamp_ms, const std::optional<Window>& window, Emit& out) {
  auto value = select_.value(left, right);
  if (!value) return value.error();
  out.emit({key, *value, timestamp_ms, window});
  return {};
}

void Joining::emit(std::optional<std::string_view> key, const Side* left, const Side* right, Timestamp timestamp_ms, const std::optional<Window>& window, Emit& out) {
  const auto done = try_emit(key, left, right, timestamp_ms, window, out);
  if (!done) out.failed({key, left != nullptr ? left->value : right->value, timestamp_ms, window}, done.error().message);
}

void Joining::emit_tombstone(std::string_view key, Timestamp timestamp_ms, Emit& out) {
  Emitted result;
  result.key = key;
  result.timestamp_ms = timestamp_ms;
  out.emit(result);
}

KeyOf::KeyOf(Evaluator& evaluator, const config::Expression& expression, const std::string& path, std::vector<config::Problem>& problems) : group_(evaluator) {
  auto sql = left_alone(expression.sql);
  auto added = sql ? group_.add(ItemKind::text, *sql) : result<void>(sql.error());
  if (added) added = group_.prepare();
  if (!added) problems.push_back({expression.at, path + ".on", added.error().message, false});
}

result<std::optional<std::string_view>> KeyOf::of(const Row& row) {
  const Outcome outcome = group_.run(row);
  if (outcome.kind == Outcome::Kind::failed) return Error{ErrorCode::invalid, "on: " + outcome.reason};
  const Group::Result& key = group_.results().front();
  return key.null ? std::optional<std::string_view>() : std::optional(key.text);
}

result<std::optional<std::string_view>> KeyOf::of(const TableRow& row) {
  auto fields = stored_.of(row);
  if (!fields) return fields.error();
  return of(**fields);
}

std::unique_ptr<Operator> make_join(const OperatorParts& parts) {
  switch (std::get<config::Join>(parts.step.what).how) {
    case config::Join::How::stream_table:
    case config::Join::How::lookup: return make_stream_table(parts);
    case config::Join::How::table_table: return make_table_table(parts);
    case config::Join::How::foreign_key: return make_foreign_key(parts);
    default: return make_stream_stream(parts);
  }
}

}  // namespace rivulet::pipeline
