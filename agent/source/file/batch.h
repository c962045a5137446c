// Batch: one file that is complete when it appears, often compressed, and the reader of its lines.
//
// Its position row is "batch:<serial>" = "1 <state> <offset> <size> <inode> <head> <path>": the offset counts decompressed bytes and is the end of a
// line; the head is of the file as it is on disk. Thread: io.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/codec/decompress.h"
#include "agent/source/file/head.h"
#include "agent/source/file/tail.h"
#include "agent/source/first_line.h"
#include "agent/source/framing.h"

namespace rivulet::source {

struct Batch {
  enum class State : char { reading = 'r', done = 'd', damaged = 'x' } state = State::reading;
  std::uint64_t serial = 0;
  std::string path;
  std::uint64_t inode = 0;
  std::uint64_t device = 0;  // of the folder in which it was seen last; 0: not seen since the start
  std::uint64_t size = 0;    // on disk, when it was last looked at
  std::uint64_t offset = 0;  // decompressed: everything before it was handed over
  Head head;

  std::int64_t modified_ns = -1;
  bool missing = false;
  std::uint64_t seen_poll = 0;    // it was found in that poll's listing
  bool cut_off = false;           // it ends in the middle: nothing more is read before it grows

  std::string position() const;
};
inline constexpr std::string_view batch_prefix = "batch:";
std::string batch_key(std::uint64_t serial);
std::optional<Batch> parse_batch(std::string_view key, std::string_view value);

// From a position to the end of one file. What lies before the position is decompressed again and passed over.
// Bounds: two chunks, an unfinished line (max_line_bytes), and what codec::Decompressor keeps.
class BatchReader {
 public:
  static constexpr std::size_t chunk_bytes = 64 * 1024;
  enum class End { not_yet, complete, cut_off, damaged, shorter, unreadable };  // shorter: it ends before the position
  struct Outcome {
    std::uint64_t lines = 0, too_long = 0;
    bool no_room = false;
    End end = End::not_yet;
    std::string why;  // damaged, unreadable
  };
  // False: not taken, no room. `first_line`: Frame's.
  using OnLine = std::function<bool(std::string_view line, const std::optional<std::string_view>& first_line)>;

  BatchReader(Descriptor file, codec::Compression compression, std::uint64_t offset, std::uint64_t max_line_bytes, bool first_line_names);
  Outcome step(const OnLine& on_line);  // about one chunk
  std::uint64_t offset() const { return offset_; }

 private:
  Framer::Verdict take(std::string_view line, const OnLine& on_line, Outcome& outcome);
  void hand_over(std::string_view bytes, const OnLine& on_line, Outcome& outcome);
  void settle(Outcome& outcome);
  void end(const OnLine& on_line, Outcome& outcome);

  Descriptor file_;
  const bool compressed_;
  const std::unique_ptr<codec::Decompressor> decompressor_;
  std::array<char, chunk_bytes> in_, out_;
  std::string_view waiting_;      // of in_
  std::uint64_t read_bytes_ = 0;  // of the file
  std::uint64_t made_bytes_ = 0;  // decompressed
  std::uint64_t offset_;
  FirstLine first_line_;
  Framer passed_, framer_;  // passed_: what lies before the position, for its first line
  bool names_wanted_, held_ = false, at_end_ = false;
};

// A followed file that was compressed: held open from when it was found, its reader made when its turn comes.
struct PackedFile {
  Descriptor file;
  codec::Compression compression = codec::Compression::none;
  std::unique_ptr<BatchReader> reader;
};

}  // namespace rivulet::source
