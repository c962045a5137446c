// Aggregates over records that are written as JSON.
#pragma once
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/bytes.h"
#include "agent/base/clock.h"
#include "agent/codec/json.h"
#include "agent/pipeline/aggregate/aggregates.h"
#include "tests/support/catch.h"

namespace rivulet::pipeline {

using Fields = std::vector<std::pair<std::string, std::string>>;  // name, expression

class AggregateFixture {
 public:
  explicit AggregateFixture(const Fields& select, const std::string& having = "", bool has_window = true, bool subtractable = false) : evaluator(clock) {
    config::Aggregate config;
    if (has_window) config.window.kind = config::WindowSpec::Kind::tumbling;
    for (const auto& [name, sql] : select) config.select.push_back({name, {sql, {}}});
    if (!having.empty()) config.having = config::Expression{having, {}};
    aggregates = Aggregates::build(evaluator, config, "p.steps[0]", problems, subtractable);
    if (aggregates != nullptr) state = aggregates->fresh();
  }
  explicit AggregateFixture(const std::string& expression) : AggregateFixture(Fields{{"r", expression}}, "", true, false) {}

  result<void> take(const std::string& json, Timestamp timestamp_ms = 0) {
    text = json;
    Row row;
    row.timestamp_ms = timestamp_ms;
    if (json != "null") {
      if (!document.parse(text)) throw std::runtime_error("no JSON: " + json);
      row.bytes = text;
      for (const auto& field : document.fields()) row.fields.push_back({field.name, field.quoted, field.token, false});
    }
    return aggregates->take(row);
  }
  result<void> add(const std::string& json, Timestamp timestamp_ms = 0) {
    auto taken = take(json, timestamp_ms);
    if (taken) aggregates->add(state, ++arrival);
    return taken;
  }
  // Each becomes the field x of a record.
  AggregateFixture& values(const std::vector<std::string>& tokens) {
    for (const std::string& token : tokens) add("{\"x\":" + token + "}").value();
    return *this;
  }
  std::string whole() {
    std::string to;
    const auto row = aggregates->finish(state, "k", windowed ? &window : nullptr, to);
    return !row ? "error: " + row.error().message : *row ? to : "none";
  }
  // Of the field r, when it is the only one.
  std::string result_text() {
    windowed = false;
    const std::string row = whole();
    windowed = true;
    return row.rfind("{\"r\":", 0) == 0 ? row.substr(5, row.size() - 6) : row;
  }
  std::string in_window() {
    const std::string row = whole();
    return row.rfind("{\"r\":", 0) == 0 ? row.substr(5, row.find(",\"window_start\":") - 5) : row;
  }
  std::string bytes() const {
    std::string to;
    aggregates->encode(state, to);
    return to;
  }

  SystemClock clock;
  Evaluator evaluator;
  std::vector<config::Problem> problems;
  std::unique_ptr<Aggregates> aggregates;
  AggState state;
  Window window{10'000, 20'000, false};
  bool windowed = true;
  std::uint64_t arrival = 0;
  std::string text;
  codec::JsonDocument document;
};

inline std::string result_of(const std::string& expression, const std::vector<std::string>& tokens) {
  AggregateFixture fixture(expression);
  if (fixture.aggregates == nullptr) return "problem: " + fixture.problems.at(0).message;
  return fixture.values(tokens).result_text();
}
inline std::string problem_of(const std::string& expression, bool windowed = true, bool subtractable = false) {
  const AggregateFixture fixture(Fields{{"r", expression}}, "", windowed, subtractable);
  return fixture.problems.empty() ? "no problem" : fixture.problems[0].message;
}
// Why a record with this field x fails.
inline std::string failure_of(const std::string& expression, const std::string& token) {
  AggregateFixture fixture(expression);
  const auto added = fixture.add("{\"x\":" + token + "}");
  return added ? "no failure" : added.error().message;
}

}  // namespace rivulet::pipeline
