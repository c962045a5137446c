// Tail: one file that is read, how far, and the reader that takes lines from it.
//
// Its position row is "file:<serial>" = "1 <offset> <inode> <head> <length of path> <path><origin>"; the offset is always
// the end of a line. The serial names the file whatever it is called and whatever its inode is. What the head is a hash of has a
// row of its own, "head:<serial>", for it changes only while the first 1 KiB is read. Thread: io.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/source/file/head.h"

namespace rivulet::source {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor() { close(); }
  void close();
  bool is_open() const { return fd_ >= 0; }
  int get() const { return fd_; }

 private:
  int release();
  int fd_ = -1;
};

struct Tail {
  std::uint64_t serial = 0;
  std::string path;
  std::string origin;  // the path it was written under; files of one origin are read one after the other
  std::uint64_t inode = 0;
  std::uint64_t device = 0;  // of the folder in which it was seen last; 0: not seen since the start
  std::uint64_t offset = 0;  // everything before it was handed over
  Head head;                 // of the bytes before offset
  std::size_t stored_head = 0;  // bytes of it that its row has

  Descriptor file;
  std::uint64_t size = 0;         // when it was last looked at
  std::int64_t modified_ns = 0;
  std::uint64_t searched_to = 0;  // no newline in [offset, searched_to)
  bool too_long = false;          // the line at offset breaks the limit; its end is being looked for
  bool hole = false;              // NUL bytes from offset on; their end is being looked for
  bool check_head = true;         // before the next read: it changed since it was last compared
  bool wanted = true;             // the configured path means it (a file that was rotated away is finished all the same)
  bool missing = false;           // not in the folder, and not open
  std::uint64_t predecessor = 0;  // serial of the file that was written before it under this origin; it is finished first
  unsigned quiet_polls = 0;
  std::uint64_t failed_poll = 0;  // reading it failed in this poll; its successors do not wait for it
  std::uint64_t moved_poll = 0;   // in this poll it was not under its name any more; its successors wait for the next listing
  std::string problem;            // why
  std::uint64_t last_read = 0;    // turn number
  std::shared_ptr<struct PackedFile> packed;  // it was compressed, and is read there
  bool compressed = false;                    // it was found compressed
  std::string packed_head;                    // of one that was never seen otherwise

  bool has_data() const { return !missing && (packed != nullptr || size > searched_to); }
  std::string position() const;
};
std::string position_key(std::uint64_t serial);
std::string head_key(std::uint64_t serial);
bool is_head_key(std::string_view key);
std::optional<Tail> parse_position(std::string_view key, std::string_view value);

// What a file begins with, min(size, 1 KiB) bytes; nothing when it cannot be read.
std::optional<std::string> read_head(int file);
std::uint64_t last_line_end(int file, std::uint64_t size, std::uint64_t max_line_bytes);  // <= size

// Takes lines off a tail, a chunk at a time; one buffer for all tails, so memory does not grow with the number of files.
// A line that is not finished is read again from its start when the file has grown.
class LineReader {
 public:
  static constexpr std::size_t chunk_bytes = 64 * 1024;
  explicit LineReader(std::uint64_t max_line_bytes) : max_line_bytes_(max_line_bytes), buffer_(chunk_bytes) {}

  using OnLine = std::function<bool(std::string_view line)>;  // false: not taken, no room
  struct Outcome {
    std::uint64_t lines = 0;
    std::uint64_t too_long = 0;
    std::uint64_t hole_bytes = 0;
    bool no_room = false;
    int error = 0;  // errno
  };
  Outcome read(Tail& tail, const OnLine& on_line);

 private:
  void take_lines(Tail& tail, std::string_view bytes, bool at_end, const OnLine& on_line, Outcome& outcome);
  bool take_line(std::string_view line, const OnLine& on_line, Outcome& outcome) const;
  std::uint64_t max_line_bytes_;
  std::vector<char> buffer_;
};

}  // namespace rivulet::source
