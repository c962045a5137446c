#include "agent/app/top/terminal.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iterator>

namespace rivulet::app {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
constexpr const char* kEnter = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
constexpr const char* kLeave = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l\r";
volatile std::sig_atomic_t ended = 0, resized = 0;

void on_signal(int number) {
  if (number == SIGWINCH) resized = 1;
  else ended = 1;
}

std::size_t of_environment(const char* name, std::size_t otherwise) {
  const char* text = std::getenv(name);
  const long number = text == nullptr ? 0 : std::strtol(text, nullptr, 10);
  return number >= 10 && number <= 1000 ? static_cast<std::size_t>(number) : otherwise;
}

}  // namespace

bool Terminal::usable() {
  const char* term = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) == 1 && term != nullptr && *term != '\0' && std::strcmp(term, "dumb") != 0;
}

// The signals are blocked but in ppoll(): none can come between a look at the flags and the wait.
Terminal::Terminal() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigset_t ours;
  ::sigemptyset(&ours);
  for (std::size_t i = 0; i < std::size(kSignals); ++i) {
    ::sigaddset(&ours, kSignals[i]);
    ::sigaction(kSignals[i], &action, &old_[i]);
  }
  ::sigprocmask(SIG_BLOCK, &ours, &mask_);
  keys_ = ::isatty(STDIN_FILENO) == 1 && ::tcgetattr(STDIN_FILENO, &before_) == 0;
  if (keys_) {
    termios now = before_;
    now.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &now);
  }
  write(kEnter);
}

Terminal::~Terminal() {
  write(kLeave);
  if (keys_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  for (std::size_t i = 0; i < std::size(kSignals); ++i) ::sigaction(kSignals[i], &old_[i], nullptr);
  ::sigprocmask(SIG_SETMASK, &mask_, nullptr);
}

ScreenSize Terminal::size() const {
  winsize given{};
  ScreenSize size;
  const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &given) == 0 && given.ws_col > 0 && given.ws_row > 0;
  size.columns = known ? given.ws_col : of_environment("COLUMNS", 80);
  size.rows = known ? given.ws_row : of_environment("LINES", 24);
  const char* no_color = std::getenv("NO_COLOR");
  size.plain = no_color != nullptr && *no_color != '\0';
  return size;
}

// From the top, each line to its end: nothing flickers, and a slow line carries little.
void Terminal::show(const std::vector<std::string>& lines) {
  std::string text = "\x1b[H";
  for (std::size_t i = 0; i < lines.size(); ++i) text += (i == 0 ? "" : "\r\n") + lines[i] + "\x1b[K";
  write(text + "\x1b[J");
}

Terminal::Woken Terminal::wait(std::int64_t ms) {
  timespec time{static_cast<std::time_t>(ms / 1000), static_cast<long>(ms % 1000) * 1'000'000};
  pollfd input{STDIN_FILENO, POLLIN, 0};
  sigset_t open = mask_;
  for (const int number : kSignals) ::sigdelset(&open, number);
  const int ready = ::ppoll(&input, keys_ ? 1 : 0, &time, &open);
  if (ended != 0) return Woken::end;
  if (resized != 0) {
    resized = 0;
    return Woken::resized;
  }
  if (ready > 0) {
    char keys[64];
    const ssize_t got = ::read(STDIN_FILENO, keys, sizeof keys);
    if (got <= 0) return Woken::end;
    if (std::any_of(keys, keys + got, [](char key) { return key == 'q' || key == 'Q' || key == 3; })) return Woken::end;
    return Woken::resized;  // any other key: look at once
  }
  return Woken::time;
}

void Terminal::write(const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t wrote = ::write(STDOUT_FILENO, text.data() + at, text.size() - at);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) {
      ended = 1;  // the terminal is gone
      return;
    }
    at += static_cast<std::size_t>(wrote);
  }
}

}  // namespace rivulet::app
