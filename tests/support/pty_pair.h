// Two serial ports joined by socat: what is written to one is read from the other. pull_out() ends socat: both ends hang up and are gone.
#pragma once
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tests/support/temp_folder.h"

namespace rivulet::test {

class PtyPair {
 public:
  PtyPair() { plug_in(); }
  PtyPair(const PtyPair&) = delete;
  PtyPair& operator=(const PtyPair&) = delete;
  ~PtyPair() { pull_out(); }

  std::string port() const { return folder_ / "port"; }  // for the source; a link, as udev makes them

  void plug_in() {
    const std::string here = "pty,raw,echo=0,link=" + port(), there = "pty,raw,echo=0,link=" + (folder_ / "device");
    std::string name = "socat";
    char* arguments[] = {name.data(), const_cast<char*>(here.c_str()), const_cast<char*>(there.c_str()), nullptr};
    if (::posix_spawnp(&socat_, "socat", nullptr, nullptr, arguments, environ) != 0) throw std::runtime_error("no socat; run tests/support/setup");
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!std::filesystem::exists(port()) || !std::filesystem::exists(folder_ / "device")) {
      if (std::chrono::steady_clock::now() > until) throw std::runtime_error("socat makes no ports");
      ::poll(nullptr, 0, 2);
    }
    device_ = ::open((folder_ / "device").c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (device_ < 0) throw std::runtime_error("the device's end cannot be opened");
    termios now{};  // socat makes an end, and its settings some time later; the device's comes last
    while (::tcgetattr(device_, &now) != 0 || (now.c_lflag & (ICANON | ECHO)) != 0) {
      if (std::chrono::steady_clock::now() > until) throw std::runtime_error("socat makes no raw ports");
      ::poll(nullptr, 0, 2);
    }
  }
  void pull_out() {
    if (device_ >= 0) ::close(std::exchange(device_, -1));
    if (socat_ > 0) {
      ::kill(socat_, SIGKILL);  // not asked to end: it could be ending already, for its device is gone, and then hang in its handler
      ::waitpid(std::exchange(socat_, -1), nullptr, 0);
    }
    std::filesystem::remove(port());
    std::filesystem::remove(folder_ / "device");
  }
  // The device speaks: how many of the bytes the cable takes now. A kernel may hold only a few KiB until the other end reads.
  std::size_t offer(std::string_view bytes) const {
    const auto written = ::write(device_, bytes.data(), bytes.size());
    if (written < 0 && errno != EAGAIN) throw std::runtime_error("the device's end is gone");
    return written > 0 ? static_cast<std::size_t>(written) : 0;
  }
  // All of it, within a deadline; for what fits into the cable.
  void say(std::string_view bytes) const {
    while (!bytes.empty()) {
      pollfd ready{device_, POLLOUT, 0};
      if (::poll(&ready, 1, 30'000) != 1) throw std::runtime_error("the device's end takes nothing");
      bytes.remove_prefix(offer(bytes));
    }
  }
  // What the device hears now.
  std::string heard() const {
    char buffer[1024];
    const auto got = ::read(device_, buffer, sizeof buffer);
    return got > 0 ? std::string(buffer, static_cast<std::size_t>(got)) : std::string();
  }

 private:
  TempFolder folder_;
  pid_t socat_ = -1;
  int device_ = -1;
};

}  // namespace rivulet::test
