// Frames: cuts what a serial port gave into frames: lines with a delimiter of the user's, or fixed lengths that silence or a start sequence finds.
//
// A serial line has no beginning: what is read first may be the end of something, and a byte can be missing or made up at any place.
// - lines: the first piece after reset() is left out unless silence was before it (idle_gap), since a number without its first digit is a number.
// - fixed with `start`: bytes before the next start are left out; a frame that is followed by something else is found again at the next start.
// - fixed: an unfinished frame is left out once silence came; after reset() everything up to the first silence.
// Empty lines are none. What is left out is counted in Left. Time is the caller's steady clock in ms.
// Bound: longest() bytes and one chunk. Thread: any, one at a time. No I/O.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/config/serial.h"

namespace rivulet::source {

class Frames {
 public:
  struct Left {
    std::uint64_t too_long = 0;    // lines
    std::uint64_t incomplete = 0;  // frames or lines without their beginning or end
    std::uint64_t bytes = 0;       // that belong to no frame
  };

  explicit Frames(const config::SerialSource& config) : config_(config) {}

  void reset(std::int64_t now_ms);       // the port was opened
  void trust() { synchronous_ = true; }  // what comes now comes because it was asked for: from its beginning
  void listen(std::int64_t now_ms) { last_ms_ = now_ms; }  // after a pause of ours, which was no silence of the device's
  void add(std::string_view bytes, std::int64_t now_ms);   // after next() said that there is none
  // The next frame, valid until the next call; false: there is none yet.
  bool next(std::string_view& frame);
  void put_back() { at_ = searched_ = frame_at_; }  // the frame that next() gave has no room: it comes again
  void lost();                          // the port is gone: what is unfinished stays so
  Left take_left();
  std::size_t held_bytes() const { return bytes_.size() - at_; }

 private:
  bool next_line(std::string_view& frame);
  bool next_fixed(std::string_view& frame);
  bool find_start();
  void silence();

  const config::SerialSource& config_;
  std::string bytes_;
  std::size_t at_ = 0, frame_at_ = 0, searched_ = 0;
  bool synchronous_ = false;  // bytes_ at at_ is the beginning of something
  bool skipping_ = false;     // within a line that is too long
  std::int64_t last_ms_ = 0;
  Left left_;
};

}  // namespace rivulet::source
