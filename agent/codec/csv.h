// CSV (RFC 4180), read in whatever pieces it comes: fields in double quotes may hold separators, line ends and doubled quotes; lines end with
// LF or CRLF; a byte order mark and empty lines are skipped.
//
// (libcsv, the one in Debian, has had no release since 2013.) Thread: one. Bounds: kMaxRowBytes a row, kMaxFields fields.
// Errors: what is wrong and in which line; nothing more can be read then.
#pragma once
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"

namespace rivulet::codec {

struct CsvField {
  std::string text;
  bool quoted = false;
};

class CsvReader {
 public:
  static constexpr std::size_t kMaxRowBytes = 1 << 20, kMaxFields = 4096;
  // A row; its error ends the reading and is answered with the line.
  using Visit = std::function<result<void>(const std::vector<CsvField>& fields)>;

  explicit CsvReader(Visit visit, char separator = ',') : visit_(std::move(visit)), separator_(separator) {}
  result<void> feed(std::string_view bytes);
  result<void> finish();  // the last line may have no end

 private:
  enum class At { start, plain, quoted, after_quote, after_return };
  result<void> take(std::string_view bytes);
  std::size_t text_at(std::string_view bytes) const;
  result<void> take(char c);
  result<void> end_row();
  void end_field();
  Error wrong(const std::string& what) const;

  const Visit visit_;
  const char separator_;
  std::vector<CsvField> fields_;
  CsvField field_;
  At at_ = At::start;
  std::size_t line_ = 1, row_line_ = 1, row_bytes_ = 0;
  std::string start_;  // may be a byte order mark
  bool begun_ = false;
};

}  // namespace rivulet::codec
