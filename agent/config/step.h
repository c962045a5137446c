// The steps of a pipeline, in their configuration's order. Thread: any (plain data). Units: durations in ms.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "agent/config/expression.h"
#include "agent/config/location.h"
#include "agent/config/output.h"

namespace rivulet::config {

struct Where { Expression condition; };
struct Select { std::vector<Assignment> fields; };  // the record becomes exactly these
struct Set { std::vector<Assignment> fields; };
struct Drop { std::vector<std::string> fields; };
struct Rename { std::vector<std::pair<std::string, std::string>> fields; };  // old, new
struct Key { Expression expression; };
struct SetTimestamp { Expression expression; };  // its result is ms since 1970
struct LogStep { std::string message; std::string level = "info"; };  // message: text, ${field} not substituted
struct Flatten {
  std::string separator = "_";
  std::uint32_t depth = 0;          // so many levels are taken apart; 0: all
  std::uint32_t max_fields = 1000;  // a record that would have more is set aside
  std::optional<std::string> explode;  // a field with a list: a record for each of its elements
};
struct Constant {
  std::string text;
  bool plain = false;  // without quotes: a number, true, false or null where it reads as one
};
struct Enrich {
  using Row = std::vector<std::pair<std::string, Constant>>;
  struct Rows {
    std::map<std::string, Row> by_key;
    Row otherwise;
  };
  std::optional<Expression> by;      // absent: the record's key
  std::shared_ptr<const Rows> rows;  // a configuration is copied, its tables are not
};
struct Clamp {
  std::int64_t future_ms = 0;  // timestamps further ahead of the clock than this ...
  bool to_limit = false;       // ... become the clock's time; or the clock's time and this
};
struct Route {
  struct Case {
    Expression when;
    Output to;
  };
  std::vector<Case> cases;
  std::optional<Output> otherwise;
  bool all = false;  // every case that holds, not the first alone
};

struct WindowSpec {
  enum class Kind { none, tumbling, hopping, sliding, session } kind = Kind::none;
  std::int64_t size_ms = 0;     // of a sliding window: the difference; of a session: the gap
  std::int64_t advance_ms = 0;  // hopping; tumbling: the size
  std::int64_t grace_ms = 0;
  Location at;
};
enum class EmitWhen { updates, every_change, closed };
struct Aggregate {
  WindowSpec window;
  std::optional<Expression> by;  // absent: the record's key
  std::vector<Assignment> select;
  std::optional<Expression> having;
  EmitWhen emit = EmitWhen::updates;
  bool emit_given = false;
  enum class Suppressed { no, until_closed, limit } suppressed = Suppressed::no;  // by the step after it
  EmitWhen emits() const {  // what comes out, and goes into that step
    if (suppressed == Suppressed::until_closed) return EmitWhen::closed;
    return suppressed == Suppressed::limit && !emit_given ? EmitWhen::every_change : emit;  // suppress thins
  }
  std::optional<std::string> late_topic;
  bool of_table = false;  // of a table's rows, found by load(): a row that changes takes back what it gave
};
struct Suppress {
  bool until_closed = true;
  std::int64_t limit_ms = 0;  // else
};
struct Table { std::optional<std::int64_t> history_ms; };  // with history: versioned
struct Join {
  enum class Kind { inner, left, outer } kind = Kind::inner;
  std::string with;  // a source, a pipeline or a lookup table
  Location with_at;
  struct Within {
    std::int64_t before_ms = 0, after_ms = 0;  // left l matches right from l - before to l + after; either may be negative
    std::int64_t grace_ms = 0;
  };
  std::optional<Within> within;
  std::optional<std::int64_t> grace_ms;  // stream-table
  std::optional<Expression> on;          // over the left record: the key of the other table's row
  std::vector<Assignment> select;        // empty: {"left":...,"right":...}
  std::optional<std::string> late_topic;
  // What the two inputs are, found by load():
  enum class How { stream_stream, stream_table, table_table, foreign_key, lookup } how = How::stream_stream;
  std::string left_table, right_table;  // "<pipeline>/<step>", or the name of a LookupTable; empty: a stream
};
struct Absence { std::int64_t after_ms = 0; };

// Whose records a step looks at together: those of a key, or all.
struct Grouped {
  std::optional<Expression> by;  // absent: the record's key
  bool all = false;
};
struct Sample : Grouped {
  std::uint64_t every = 0;       // the first of so many; 0: at most one in
  std::int64_t interval_ms = 0;  // of event time
};
struct Dedupe {
  Expression by;
  std::int64_t within_ms = 0;
};
struct Deadband : Grouped {
  std::string field;
  double change = 0;     // from the last reported value; more than that is reported
  bool percent = false;  // of that value
  std::optional<std::int64_t> max_silence_ms;
};
struct RateLimit : Grouped {
  std::uint64_t max = 1;
  std::int64_t per_ms = 1000;  // intervals of event time, aligned to 0
  bool thin = false;           // the last of an interval comes at its end, instead of the first ones alone
};

struct Step {
  std::string kind;  // as written: "where", "set", ...
  Location at;
  std::string path;  // "pipelines.p.steps[0]"
  std::string name;  // of a stateful step: its state's; of a route: its streams'; default: its kind
  std::variant<Where, Select, Set, Drop, Rename, Key, SetTimestamp, LogStep, Flatten, Enrich, Clamp, Route, Aggregate, Suppress, Table, Join, Absence, Sample, Dedupe, Deadband, RateLimit> what;
};
bool is_stateful(const Step& step);
bool has_name(const Step& step);  // that no other step of the pipeline has

}  // namespace rivulet::config
