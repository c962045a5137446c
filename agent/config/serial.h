// What a serial source is told: the port, how characters go over it, how they become frames, and what is asked for.
//
// Thread: any (plain data). Units: ms, bytes.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace rivulet::config {

struct SerialSource {
  std::string device;  // a path; opened by it again when the device comes back
  std::uint32_t baud = 9600;
  int data_bits = 8, stop_bits = 1;
  enum class Parity { none, even, odd } parity = Parity::none;
  enum class Flow { none, hardware, software } flow = Flow::none;
  bool fixed = false;             // framing: fixed; else lines
  std::string delimiter = "\n";   // of lines
  std::uint32_t length = 0;       // of fixed frames, `start` included
  std::string start;              // what each fixed frame begins with; empty: only silence tells where one begins
  std::int64_t idle_gap_ms = 100;  // silence of so long is between frames; 0: says nothing
  struct Poll {
    std::string send;
    std::int64_t interval_ms = 1000;
  };
  std::optional<Poll> poll;
  std::uint64_t max_line_bytes = 4096;
  bool first_line_names = false;  // csv with a header: the first line after each opening is no record
};

}  // namespace rivulet::config
