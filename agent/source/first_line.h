// FirstLine: the first line of a file or connection that is not blank, where the lines after it need it: it names the fields of CSV.
//
// The names are in the file, and a connection begins with them anew: so nothing has to be remembered over restarts, rotation or crashes.
// Thread: io. Bound: max_bytes; of a longer line nothing is kept, and the lines after it are then undecodable.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rivulet::source {

class FirstLine {
 public:
  static constexpr std::size_t max_bytes = 64 * 1024;

  explicit FirstLine(bool wanted) : wanted_(wanted) {}

  // Whether `line` is the first one, or a blank one before it: it is no record then. Lines come in order, without their ends.
  bool takes(std::string_view line) {
    if (!wanted_ || text_) return false;
    if (line.find_first_not_of(" \t\r\xEF\xBB\xBF") != std::string_view::npos) text_ = line.size() <= max_bytes ? line : std::string_view();
    return true;
  }
  // It was longer than the longest line, and left out.
  void missed() {
    if (wanted_ && !text_) text_.emplace();
  }
  // For Frame::first_line.
  std::optional<std::string_view> text() const { return text_; }

 private:
  bool wanted_;
  std::optional<std::string> text_;
};

// Of an open file: its first line, and where the line after it begins. None: the file has no whole line that is not blank.
struct FirstLineOfFile {
  std::string text;
  std::uint64_t end = 0;
};
std::optional<FirstLineOfFile> read_first_line(int file);

}  // namespace rivulet::source
