// Link: one connection to Modbus slaves, a TCP connection or a serial line, over libmodbus. It does one request at a time and waits for its answer.
//
// Thread: its poller's, which it blocks; interrupt() from any, once, for good. Lifetime: the caller's.
// Bounds: read() takes the timeout at most, whatever trickles in (libmodbus' timeout for each byte is off, the one of the answer holds for
// all of it); open() the timeout for each address of the name, and what the resolver takes (an IP address: nothing).
// After interrupt() a TCP call returns at once, one on a serial line within the timeout.
// A serial line is the agent's alone while it is open (flock): an answer does not say whose request it is for.
// Errors: an answer says which of five kinds. After timeout, bad_response and lost a TCP connection is of no use (the late answer would be taken for
// the next one's; libmodbus issue 255): close(). A serial line: settle().
#pragma once
#include <cstdint>
#include <mutex>
#include <span>
#include <string>

#include "agent/base/result.h"
#include "agent/config/modbus.h"

struct _modbus;

namespace rivulet::source::modbus {

struct Answer {
  enum class Kind { ok, exception, timeout, bad_response, lost };
  Kind kind = Kind::ok;
  int code = 0;      // of an exception, as the slave sent it
  std::string what;  // for a person; empty: ok
};

class Link {
 public:
  Link(config::ModbusSource::Bus bus, std::int64_t timeout_ms);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // Connects, if it is not; one that the other side has closed meanwhile is made anew.
  result<void> open();
  // Registers, or bits as 0 and 1.
  Answer read(std::uint8_t unit, config::ModbusSource::Kind kind, std::uint16_t address, std::span<std::uint16_t> to);
  // A serial line: waits until nothing more comes, and forgets what came.
  void settle();
  void close();
  void interrupt();

  bool serial() const { return bus_.rtu.has_value(); }
  std::int64_t silence_us() const;  // between two requests: 3.5 characters on a serial line

 private:
  result<void> open_tcp();
  result<void> open_rtu();
  result<int> connect_tcp();
  bool stale() const;
  bool adopt(int socket);  // false: interrupted
  bool interrupted() const;

  const config::ModbusSource::Bus bus_;
  const std::int64_t timeout_ms_;
  int wake_ = -1;  // an eventfd, readable after interrupt()
  int lock_ = -1;  // of a serial line: libmodbus opens another
  _modbus* modbus_ = nullptr;
  mutable std::mutex mutex_;  // of what follows
  int socket_ = -1;
  bool interrupted_ = false;
};

}  // namespace rivulet::source::modbus
