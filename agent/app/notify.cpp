#include "agent/app/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace rivulet::app {
namespace {

std::string variable(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? std::string() : std::string(text);
}

}  // namespace

Notify::Notify() : Notify(variable("NOTIFY_SOCKET")) {
  const std::string pid = variable("WATCHDOG_PID");
  if (!pid.empty() && std::strtoll(pid.c_str(), nullptr, 10) != ::getpid()) return;
  const long long watchdog_us = std::strtoll(variable("WATCHDOG_USEC").c_str(), nullptr, 10);
  if (watchdog_us > 0) watchdog_every_ms_ = std::max(1LL, watchdog_us / 2000);
}

Notify::Notify(const std::string& socket) {
  sockaddr_un to{};
  if (socket.size() < 2 || socket.size() >= sizeof to.sun_path || (socket[0] != '/' && socket[0] != '@')) return;
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, socket.data(), socket.size());
  if (socket[0] == '@') to.sun_path[0] = '\0';
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket.size() + (socket[0] == '/' ? 1 : 0));
  fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0 || ::connect(fd_, reinterpret_cast<const sockaddr*>(&to), length) == 0) return;
  ::close(fd_);
  fd_ = -1;
}

Notify::~Notify() {
  if (fd_ >= 0) ::close(fd_);
}

// sd_notify(3): with the time, so that the READY=1 that follows is known to be this reload's.
void Notify::reloading() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000));
}

void Notify::status(std::string_view text) {
  std::string line = "STATUS=";
  line += text.substr(0, text.find('\n'));
  send(line);
}

void Notify::send(std::string_view message) {
  if (fd_ < 0) return;
  [[maybe_unused]] const auto sent = ::send(fd_, message.data(), message.size(), MSG_NOSIGNAL);
}

}  // namespace rivulet::app
