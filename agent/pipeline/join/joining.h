// Joining: what all joins share: computing a pair's value and passing it on.
//
// A pair whose value cannot be computed goes to quarantine as a result of its key; the others of the same record go on.
// Thread: io. Lifetime: the Topology's.
#pragma once
#include "agent/pipeline/join/select.h"
#include "agent/pipeline/stateful/operator.h"
#include "agent/pipeline/table/table_view.h"

namespace rivulet::pipeline {

class Joining : public Operator {
 public:
  std::string definition() const override { return definition_; }

 protected:
  // `definition` is what the state depends on; what select gives is not kept anywhere.
  Joining(const OperatorParts& parts, std::string definition)
      : config_(std::get<config::Join>(parts.step.what)), select_(parts.evaluator, config_, parts.step.path, parts.problems), definition_(std::move(definition)) {}

  static TableView* table_of(const OperatorParts& parts, const std::string& name);  // null: it has problems of its own

  // Error: the value cannot be computed.
  result<void> try_emit(std::optional<std::string_view> key, const Side* left, const Side* right, Timestamp timestamp_ms, const std::optional<Window>& window, Emit& out);
  // The same, to quarantine: where no record that is at hand stands for the pair.
  void emit(std::optional<std::string_view> key, const Side* left, const Side* right, Timestamp timestamp_ms, const std::optional<Window>& window, Emit& out);
  void emit_tombstone(std::string_view key, Timestamp timestamp_ms, Emit& out);

  void keep_state(StepState& state) { state_ = &state; }
  void damaged() { state_->fail({ErrorCode::corrupt, "a row of a join's state does not read"}); }  // nothing of this epoch is committed

  const config::Join config_;
  bool pads_left() const { return config_.kind != config::Join::Kind::inner; }  // a left record without a right one gives a result
  bool pads_right() const { return config_.kind == config::Join::Kind::outer; }

 private:
  JoinSelect select_;
  const std::string definition_;
  StepState* state_ = nullptr;
};

inline Side side_of(const TableRow& row) { return {row.value, row.text, nullptr}; }

// A record's key in another table, by an expression over it.
class KeyOf {
 public:
  KeyOf(Evaluator& evaluator, const config::Expression& expression, const std::string& path, std::vector<config::Problem>& problems);
  // Nothing: null. Valid until the next call.
  result<std::optional<std::string_view>> of(const Row& row);
  result<std::optional<std::string_view>> of(const TableRow& row);

 private:
  Group group_;
  StoredRow stored_;
};

std::unique_ptr<Operator> make_join(const OperatorParts& parts);
std::unique_ptr<Operator> make_stream_stream(const OperatorParts& parts);
std::unique_ptr<Operator> make_stream_table(const OperatorParts& parts);
std::unique_ptr<Operator> make_table_table(const OperatorParts& parts);
std::unique_ptr<Operator> make_foreign_key(const OperatorParts& parts);

}  // namespace rivulet::pipeline
