// QueryOutput: the rows of `rivulet query` as aligned text, JSON or CSV.
//
// Aligned text: the columns are as wide as the first kMeasuredRows rows ask for. While rows come the store is being read, so a reader of the output that
// is slow is waited for until the reading's time is over, and no longer: up to kBufferedBytes wait here. finish() writes the rest in its
// own time. Thread: one. Errors: unavailable: the output was not taken in time; io: it cannot be written; invalid: two columns of one
// name as JSON.
#pragma once
#include <string>
#include <vector>

#include "agent/app/commands.h"
#include "agent/base/clock.h"
#include "agent/pipeline/query/query.h"

namespace rivulet::app {

class QueryOutput final : public pipeline::QueryRows {
 public:
  static constexpr std::size_t kMeasuredRows = 1000, kMeasuredBytes = 256 << 10, kBufferedBytes = 1 << 20;

  QueryOutput(QueryFormat format, int fd, const Clock& clock, std::int64_t within_ms) : format_(format), fd_(fd), clock_(clock), end_ms_(clock.steady_ms() + within_ms) {}
  result<void> columns(const std::vector<std::string>& names) override;
  result<void> row(const std::vector<pipeline::QueryValue>& values) override;
  result<void> finish();

 private:
  struct Cell {
    std::string text;
    bool number = false;
    std::size_t width = 0;
  };
  void align();  // what waited to be measured
  void append_line(const std::vector<Cell>& cells);
  result<void> write(bool whole);

  const QueryFormat format_;
  const int fd_;
  const Clock& clock_;
  const std::int64_t end_ms_;
  std::vector<std::string> names_;
  std::vector<std::vector<Cell>> measured_;
  std::size_t measured_bytes_ = 0;
  std::vector<std::size_t> widths_;  // none: still measuring
  std::vector<char> right_;          // a column of numbers
  std::string buffer_;
};

}  // namespace rivulet::app
