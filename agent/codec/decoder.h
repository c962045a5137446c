// Decoder: one frame's bytes into records, each a JsonObject; the codecs other than json, and raw without a pattern, are behind it.
//
// A frame of a line source holds one record; a message (MQTT, Kafka, a length-prefixed frame) may hold several lines, and each is a record.
// What cannot be decoded is one piece of the frame, and the rest goes on. Thread: one at a time. Lifetime: the frame outlives the next()
// calls for it; what next() gave lives in the JsonObject. Bounds: nothing is kept between frames but the names of a CSV header
// (kMaxHeaderBytes). Errors: why this piece is no record, for a person.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/codec/json_object.h"

namespace rivulet::codec {

class Decoder {
 public:
  enum class Found { record, nothing, end };  // nothing: an empty line, a comment

  virtual ~Decoder() = default;
  // `first_line`: of the file or connection that the frame is a later line of; none: the frame stands for itself.
  void begin(std::string_view frame, const std::optional<std::string_view>& first_line = std::nullopt);
  // The next record of the frame, `to` cleared before.
  result<Found> next(JsonObject& to);
  // The bytes that the last next() was about.
  std::string_view piece() const { return piece_; }
  // What the following next() calls would be about.
  std::string_view rest() const { return rest_; }
  std::size_t frame_bytes() const { return frame_bytes_; }
  // What a piece of the frame needs as its `first_line` to be read alone; none: nothing.
  virtual std::optional<std::string> header() const { return std::nullopt; }

 protected:
  virtual void on_begin(const std::optional<std::string_view>& first_line) { static_cast<void>(first_line); }
  // Of `rest_`, which is not empty: takes its bytes off.
  virtual result<Found> take(JsonObject& to) = 0;

  std::string_view rest_;

 private:
  std::string_view piece_;
  std::size_t frame_bytes_ = 0;
  bool told_ = false;
};

inline constexpr std::size_t kMaxHeaderBytes = 64 * 1024;

struct CsvOptions {
  std::vector<std::string> columns;  // empty: the header names them
  bool header = false;               // the first line is one; where columns are given it is left out
  char separator = ',';
  bool guess = true;                 // fields without quotes that read as JSON numbers, true and false are those, empty ones null; else all are text
};
std::unique_ptr<Decoder> make_csv_decoder(const CsvOptions& options);

std::unique_ptr<Decoder> make_influx_decoder();
std::unique_ptr<Decoder> make_cbor_decoder();

// Error: what is wrong with the pattern, and where.
result<std::unique_ptr<Decoder>> make_pattern_decoder(const std::string& pattern, bool guess);

// A token for text without a type: as CsvOptions::guess has it. `text` is UTF-8.
void append_guessed(std::string& to, std::string_view text);

}  // namespace rivulet::codec
