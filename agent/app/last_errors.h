// LastErrors: the last warnings and errors of the log, so that `rivulet status` and the status page can say them without the log.
//
// Lines of the same shape (log_shape: their text without digits) are one entry, which has the newest text and counts. Bounds: kEntries entries of kTextBytes
// bytes of text; the entry that is quiet longest goes. So at most about 8 KiB, and nothing before the first line. Thread: the owner's.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rivulet::app {

struct LastError {
  bool error = false;  // else a warning
  std::string text;    // as logged, without control characters
  std::int64_t first_ms = 0, last_ms = 0;  // wall clock
  std::uint64_t count = 0;
};

class LastErrors {
 public:
  static constexpr std::size_t kEntries = 16, kTextBytes = 400;

  void add(bool error, std::string_view shape, std::string_view text, std::int64_t wall_ms);
  std::vector<LastError> newest_first() const;

 private:
  struct Entry {
    std::string shape;
    LastError what;
  };
  std::vector<Entry> entries_;  // the newest last
};

}  // namespace rivulet::app
