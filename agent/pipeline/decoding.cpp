#include "agent/pipeline/decoding.h"

#include <fmt/format.h>

namespace rivulet::pipeline {

using Kind = config::Decode::Kind;

result<std::unique_ptr<codec::Decoder>> make_decoder(const config::Decode& decode) {
  switch (decode.kind) {
    case Kind::csv: return codec::make_csv_decoder({decode.columns, decode.header, decode.separator, decode.guess});
    case Kind::cbor: return codec::make_cbor_decoder();
    case Kind::influx: return codec::make_influx_decoder();
    case Kind::raw:
      if (!decode.pattern.empty()) return codec::make_pattern_decoder(decode.pattern, decode.guess);
      break;
    default: break;
  }
  return std::unique_ptr<codec::Decoder>();
}

std::string describe(const config::Decode& decode) {
  switch (decode.kind) {
    case Kind::csv:
      if (!decode.header) return fmt::format("csv: {}", fmt::join(decode.columns, ", "));
      return std::string("csv with a header, the first line of each file, connection or message") + (decode.columns.empty() ? "" : ", which is left out");
    case Kind::influx: return "influx line protocol";
    case Kind::cbor: return "cbor";
    case Kind::raw: return decode.pattern.empty() ? "raw" : "raw by the pattern " + decode.pattern;
    default: return "json";
  }
}

}  // namespace rivulet::pipeline
