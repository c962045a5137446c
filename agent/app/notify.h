// Notify: tells systemd how the service is (sd_notify(3)): one datagram to the socket that NOTIFY_SOCKET names.
//
// Written by ourselves, so that the binary needs no libsystemd. Without NOTIFY_SOCKET everything is a no-op; a message that
// cannot be sent is dropped, systemd's own time-outs notice. Thread: any, but for construction. Never blocks.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace rivulet::app {

class Notify {
 public:
  Notify();  // from the environment: NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID
  explicit Notify(const std::string& socket);  // a path, or '@' and a name in the abstract namespace; empty: off
  ~Notify();
  Notify(const Notify&) = delete;
  Notify& operator=(const Notify&) = delete;

  void ready() { send("READY=1"); }
  void reloading();  // ready() follows, whatever came of it
  void stopping() { send("STOPPING=1"); }
  void watchdog() { send("WATCHDOG=1"); }
  void status(std::string_view text);  // one line for `systemctl status`

  bool on() const { return fd_ >= 0; }
  // How often watchdog() has to come at most, halved for safety; 0: the watchdog is off.
  std::int64_t watchdog_every_ms() const { return watchdog_every_ms_; }

 private:
  void send(std::string_view message);
  int fd_ = -1;
  std::int64_t watchdog_every_ms_ = 0;
};

}  // namespace rivulet::app
