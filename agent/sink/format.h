// Format: a record as a line of a file or of the standard output: NDJSON or CSV.
//
// NDJSON: the value, or an object like a line of `rivulet replay`; what is not JSON becomes a JSON string; line ends inside a JSON text (they are white
// space there) become blanks. CSV (RFC 4180, lines end with CRLF): the value's fields by name; a missing field and null are empty, objects and
// arrays are JSON; text is quoted where the standard demands it, and where it would otherwise be read as empty, a number, true or false.
// Thread: one. Bounds: one line.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "agent/codec/json.h"
#include "agent/config/output.h"
#include "store/store.h"

namespace rivulet::sink {

class Format {
 public:
  explicit Format(const config::FileOutput& settings) : settings_(settings) {}
  explicit Format(const config::StdoutOutput& settings) { settings_.whole = settings.whole; }

  void append(std::string& to, const store::PackRecord& record);
  std::string header() const;  // the first line of a file; empty: there is none

  // What decides how lines look, kept in the store so that what waits for a file can be written when the configuration has it no more.
  std::string description() const;
  static std::optional<config::FileOutput> described(std::string_view description);  // without path and rotation

 private:
  void append_value(std::string& to, std::optional<std::string_view> value);
  void append_csv(std::string& to, std::optional<std::string_view> value);
  void append_field(std::string& to, std::string_view token);
  void append_text(std::string& to, std::string_view text, bool must_stay_text) const;

  config::FileOutput settings_;
  codec::JsonDocument json_;
  std::string buffer_;
};

}  // namespace rivulet::sink
