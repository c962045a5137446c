// Aggregates: the aggregate functions of one `aggregate` step and the expressions inside and over them.
//
//   select: {mean: "round(avg(t * 1.8 + 32), 1)", spread: "max(t) - min(t)", n: "count(*)"}   having: "n > 1"
// What stands inside a call is evaluated for each record (take), a bare field without SQLite; what stands around the calls once a result
// (finish). What the functions mean: README.md. A record is taken once and then added to every window it belongs to:
// whatever can fail about it fails in take(), so that add(), subtract() and merge() cannot.
// Thread: io. Lifetime: the Evaluator's; its own longer than its states'. Bounds: kMaxCalls calls a step, kMaxKeptBytes of a text or JSON
// value that a state keeps, and for each function what README.md says. Units: milliseconds, bytes.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/config/config.h"
#include "agent/pipeline/evaluator.h"
#include "agent/record/record.h"

namespace rivulet::pipeline {

namespace aggregate {
class Part;
struct ConstSlot;
struct Plan;
struct Slot;
}  // namespace aggregate

inline constexpr std::size_t kMaxCalls = 200;
inline constexpr std::size_t kMaxKeptBytes = 64 * 1024;

// What the records of one window and key came to. Fresh when made; belongs to the Aggregates it is used with first. Simple
// functions (count, sum, avg, min and max of numbers, first, last ...) live in the words, without memory of their own.
class AggState {
 public:
  AggState() noexcept;
  ~AggState();
  AggState(AggState&&) noexcept;
  AggState& operator=(AggState&&) noexcept;

 private:
  friend class Aggregates;
  static constexpr std::size_t kInlineWords = 8;  // avg and count(*) are 7
  std::uint64_t inline_[kInlineWords] = {};
  std::unique_ptr<std::uint64_t[]> words_;                   // instead, where a step needs more
  std::unique_ptr<std::unique_ptr<aggregate::Part>[]> parts_;  // lists, sketches, texts
};

class Aggregates {
 public:
  // Null, and problems with their places, when an expression is wrong. `subtractable`: every function must be able to take a
  // record back (of a table); one that cannot is a problem.
  static std::unique_ptr<Aggregates> build(Evaluator& evaluator, const config::Aggregate& config, const std::string& path, std::vector<config::Problem>& problems, bool subtractable = false);
  ~Aggregates();
  Aggregates(const Aggregates&) = delete;
  Aggregates& operator=(const Aggregates&) = delete;

  // What a state is made of, as canonical text: states of equal definitions can be read by each other, whatever stands around the calls.
  const std::string& definition() const;

  AggState fresh() const { return {}; }
  // The record whose values add() and subtract() use, until the next take(): views into `row`. A null value has no fields: they
  // are NULL. Error: why the record fails; nothing was changed, and nothing is taken.
  result<void> take(const Row& row);
  // `arrival` grows from record to record over the whole step; first, last, collect go by it, also across merged states.
  void add(AggState& state, std::uint64_t arrival) const;
  // Takes back what was added with the same values. A changed row: take() the new one first to see that it does not fail.
  void subtract(AggState& state) const;
  // As if the records of both had been added to `into`.
  void merge(AggState& into, const AggState& from) const;

  void encode(const AggState& state, std::string& to) const;  // appends; versioned
  result<AggState> decode(std::string_view bytes) const;      // damaged or foreign bytes are an error
  static std::uint32_t checksum(std::string_view bytes);      // the last four bytes of a state, of those before

  // Appends the result as a JSON object, with window_start and window_end at the end where there is a window and `select` does
  // not name them. False: `having` says no, and nothing is appended. Error: an expression over the aggregates fails.
  result<bool> finish(const AggState& state, std::string_view key, const Window* window, std::string& to);

  std::size_t size_bytes(const AggState& state) const;  // with what hangs on it, about
  // Values that did not fit (collect and collect_set at their bounds, time_weighted_avg far behind), counted since build().
  std::uint64_t left_out() const { return left_out_; }

 private:
  explicit Aggregates(std::unique_ptr<aggregate::Plan> plan);
  aggregate::Slot slot(AggState& state, std::size_t index) const;
  aggregate::ConstSlot slot(const AggState& state, std::size_t index) const;
  Outcome run_outer(const AggState& state, std::string_view key, const Window* window);
  void prepare(AggState& state) const;
  void append_call(const AggState& state, std::size_t call, const Window* window, std::string& to) const;

  std::unique_ptr<aggregate::Plan> plan_;
  Row outer_row_;
  std::string outer_text_;
  mutable std::uint64_t left_out_ = 0;
};

}  // namespace rivulet::pipeline
