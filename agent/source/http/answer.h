// Answer: what an HTTP client is told, a line of JSON: {"records":3} or {"error":"line 2: ...","line":2}.
//
// Thread: any (plain data). Units: retry_after in seconds.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace rivulet::source {

struct Answer {
  unsigned status = 200;
  std::string body;
  std::string headers;  // whole lines
};

Answer records_taken(std::uint64_t records, bool replayed = false);
// line 0: it is about the whole.
Answer refused(unsigned status, std::string_view why, std::uint64_t line = 0);
Answer no_room(std::string_view why, int retry_after_s = 1);  // 503

// As it goes out. `last`: the connection ends with it. `body`: false for HEAD.
std::string text_of(const Answer& answer, bool last, bool body = true);

}  // namespace rivulet::source
