// Position: how far a file is written, as the store keeps it beside what is acknowledged.
//
// Both change in one transaction, so a restart cuts the file to `offset` and goes on with the first record that is not acknowledged: nothing twice,
// nothing missing. A file is known by its last bytes before the offset, and one that is empty by its inode (a hint: inodes are used again).
// A plain struct. Thread: any.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rivulet::sink {

inline constexpr std::size_t kTailBytes = 1024;

struct Position {
  std::uint64_t offset = 0;      // bytes that belong to acknowledged records (and the header)
  std::uint32_t tail_bytes = 0;  // of them, at the end: min(offset, kTailBytes)
  std::uint64_t tail_hash = 0;   // XXH3 of those
  std::uint64_t inode = 0;
  std::int64_t begun_ms = 0;     // wall clock
  std::uint64_t number = 0;      // the highest that a rotated file got
  bool renaming = false;         // the file with this inode is to get this number; nothing is in the next one yet
  std::string format;            // Format::description()
};

std::string encode(const Position& position);
std::optional<Position> decode_position(std::string_view bytes);  // nothing: it is not one

// The fact of the store that holds it.
std::string position_fact(const std::string& path);

}  // namespace rivulet::sink
