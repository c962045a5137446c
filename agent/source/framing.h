// Framer: cuts a byte stream into frames: lines, or frames with a 4-byte big-endian length before them.
//
// A frame that lies whole in the chunk is handed over as a view into it; only the piece of a frame that a chunk ends with is
// copied. Lines end with LF; one CR before it is cut off. An empty line is a frame too (the decoder decides what it means).
// Bound: what is kept between chunks is one unfinished frame (at most max_frame_bytes + 5), or, after a refusal, the rest of
// that chunk. Thread: any, one at a time. Cost: one memchr over the bytes, no allocation per frame.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace rivulet::source {

class Framer {
 public:
  enum class Kind { newline, length };
  enum class TooLong { fail, skip };  // skip: the line is left out and counted (newline only)
  enum class Verdict {
    taken,          // the frame is used up, go on
    taken_and_stop, // the frame is used up, the next one has to wait
    refused,        // not taken: the same frame comes again at resume()
  };
  enum class Status {
    more,     // everything complete was handed over
    stopped,  // by a verdict; only resume() may follow
    too_long, // a frame breaks the limit; the stream is useless from here on
  };
  using OnFrame = std::function<Verdict(std::string_view frame)>;

  Framer(Kind kind, std::uint64_t max_frame_bytes, TooLong too_long = TooLong::fail)
      : kind_(kind), skip_(too_long == TooLong::skip), max_bytes_(max_frame_bytes) {}

  Status feed(std::string_view chunk, const OnFrame& on_frame);
  Status resume(const OnFrame& on_frame);  // what a verdict held back

  // The unfinished frame at the end of the stream, a length header included (a last line without LF).
  std::string_view rest() const { return carry_; }
  std::size_t held_bytes() const { return carry_.capacity(); }
  bool skipping() const { return skipping_bytes_ > 0; }  // inside a line that is being left out
  // Of the unfinished frame, also of a line that is being left out, and after a refusal of all that is held back.
  std::uint64_t unfinished_bytes() const { return carry_.size() + skipping_bytes_; }
  std::uint64_t take_skipped();                // lines left out since the last call
  bool has_skipped() const { return skipped_ > 0; }
  void shrink();                               // gives the memory of what is not held back

 private:
  struct Cut {
    std::size_t used = 0;
    Status status = Status::more;
  };
  Cut cut(std::string_view bytes, const OnFrame& on_frame);
  Cut cut_lines(std::string_view bytes, const OnFrame& on_frame);
  Cut cut_sized(std::string_view bytes, const OnFrame& on_frame) const;
  std::string_view after_skipped(std::string_view bytes);
  std::size_t missing(std::string_view chunk) const;
  Status keep(std::string_view rest);
  void append(std::string_view bytes);

  Kind kind_;
  bool skip_;
  bool stopped_ = false;
  std::uint64_t max_bytes_;
  std::uint64_t skipped_ = 0;         // lines
  std::uint64_t skipping_bytes_ = 0;  // of the line that is being left out, as far as it came
  std::string carry_;
};

}  // namespace rivulet::source
