// Terminal: the terminal of standard input and output while `rivulet top` has it: no echo, no lines, its own screen where there is one.
//
// The destructor gives it back as it was, and so do SIGINT, SIGTERM and SIGHUP, which end wait(). Only plain escapes (VT100, and the alternate screen that
// others ignore), so a serial console does. A terminal that does not know its size (a serial line) is 80x24, or LINES and COLUMNS. One at a time. Thread: main.
#pragma once
#include <termios.h>

#include <csignal>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/app/top/screen.h"

namespace rivulet::app {

class Terminal {
 public:
  static bool usable();  // standard output is a terminal that knows escapes
  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  ScreenSize size() const;
  void show(const std::vector<std::string>& lines);
  enum class Woken { time, resized, end };
  Woken wait(std::int64_t ms);  // end: a signal, `q`, or nobody types there any more

 private:
  void write(const std::string& text);
  termios before_{};
  bool keys_ = false;  // standard input is the terminal too
  struct sigaction old_[4];
  sigset_t mask_{};  // of before
};

}  // namespace rivulet::app
