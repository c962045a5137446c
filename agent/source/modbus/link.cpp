#include "agent/source/modbus/link.h"

#include <fcntl.h>
#include <modbus/modbus.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <utility>

#include "agent/source/modbus/requests.h"

namespace rivulet::source::modbus {
namespace {

using Kind = config::ModbusSource::Kind;
constexpr int kSilenceMs = 30;  // a serial line with nothing for so long has nothing under way: USB adapters hand over each 16 ms

std::string system_text(int error) { return std::strerror(error); }  // NOLINT(concurrency-mt-unsafe): glibc's is, for known errors

std::int64_t now_ms() { return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

constexpr std::array<const char*, 12> kExceptions = {"", "illegal function", "illegal data address", "illegal data value", "server device failure", "acknowledge", "server device busy",
                                                     "negative acknowledge", "memory parity error", "", "gateway path unavailable", "gateway target device failed to respond"};

Answer answer_of(int error, std::int64_t timeout_ms) {
  const int code = error - MODBUS_ENOBASE;
  if (code >= 1 && code < MODBUS_EXCEPTION_MAX) return {Answer::Kind::exception, code, "exception " + std::to_string(code) + " (" + kExceptions[static_cast<std::size_t>(code)] + ")"};
  switch (error) {
    case ETIMEDOUT: return {Answer::Kind::timeout, 0, "no answer within " + std::to_string(timeout_ms) + " ms"};
    case EMBBADCRC: return {Answer::Kind::bad_response, 0, "an answer with a wrong checksum"};
    case EMBBADSLAVE: return {Answer::Kind::bad_response, 0, "the answer of another unit"};
    case EMBBADEXC: return {Answer::Kind::bad_response, 0, "an exception that the protocol does not have"};
    default: break;
  }
  if (error >= MODBUS_ENOBASE) return {Answer::Kind::bad_response, 0, "an answer that is none to the request (its length, function or transaction)"};
  return {Answer::Kind::lost, 0, "connection lost: " + system_text(error)};
}

}  // namespace

Link::Link(config::ModbusSource::Bus bus, std::int64_t timeout_ms) : bus_(std::move(bus)), timeout_ms_(timeout_ms), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Link::~Link() {
  close();
  if (wake_ >= 0) ::close(wake_);
}

std::int64_t Link::silence_us() const {
  return serial() ? std::max<std::int64_t>(1750, 3'500'000LL * 11 / bus_.rtu->baud) : 0;  // Modbus over Serial Line 2.5.1.1; 1.75 ms above 19200
}

bool Link::interrupted() const {
  const std::lock_guard lock(mutex_);
  return interrupted_;
}

void Link::interrupt() {
  const std::lock_guard lock(mutex_);
  interrupted_ = true;
  const std::uint64_t one = 1;
  if (wake_ >= 0) static_cast<void>(!::write(wake_, &one, sizeof one));
  if (socket_ >= 0 && !serial()) ::shutdown(socket_, SHUT_RDWR);
}

bool Link::adopt(int socket) {
  const std::lock_guard lock(mutex_);
  socket_ = socket;
  return !interrupted_;
}

void Link::close() {
  const std::lock_guard lock(mutex_);
  socket_ = -1;
  if (modbus_ != nullptr) {
    modbus_close(modbus_);
    modbus_free(modbus_);
    modbus_ = nullptr;
  }
  if (lock_ >= 0) ::close(std::exchange(lock_, -1));
}

result<void> Link::open() {
  if (wake_ < 0) return Error{ErrorCode::io, "modbus: no file descriptor is free"};
  if (modbus_ != nullptr && !stale()) return {};
  close();
  if (interrupted()) return Error{ErrorCode::unavailable, "modbus: stopping"};
  auto opened = serial() ? open_rtu() : open_tcp();
  if (!opened) {
    close();
    return opened;
  }
  const auto seconds = static_cast<std::uint32_t>(timeout_ms_ / 1000), rest_us = static_cast<std::uint32_t>(timeout_ms_ % 1000 * 1000);
  modbus_set_response_timeout(modbus_, seconds, rest_us);
  modbus_set_byte_timeout(modbus_, 0, 0);  // else a slave that sends a byte now and then holds the line for minutes
  modbus_set_error_recovery(modbus_, MODBUS_ERROR_RECOVERY_NONE);
  const int socket = modbus_get_socket(modbus_);
  if (socket >= FD_SETSIZE) {  // libmodbus waits with select()
    close();
    return Error{ErrorCode::full, "modbus: " + bus_.name() + ": no file descriptor below " + std::to_string(FD_SETSIZE) + " is free, which libmodbus needs; lower max_clients of tcp sources"};
  }
  if (!adopt(socket)) return Error{ErrorCode::unavailable, "modbus: stopping"};
  return {};
}

result<void> Link::open_rtu() {
  const auto& rtu = *bus_.rtu;
  const auto cannot = [&rtu] {
    return Error{ErrorCode::unavailable, "modbus: cannot open " + rtu.device + ": " + system_text(errno) + "; is the adapter plugged in, and may this user read and write it (group dialout)?"};
  };
  lock_ = ::open(rtu.device.c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (lock_ < 0) return cannot();
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    return Error{ErrorCode::conflict, "modbus: " + rtu.device + " is locked by another program, or by another source of this agent"};
  modbus_ = modbus_new_rtu(rtu.device.c_str(), static_cast<int>(rtu.baud), rtu.parity, 8, rtu.stop_bits);
  if (modbus_ == nullptr) return Error{ErrorCode::invalid, "modbus: " + rtu.device + ": " + system_text(errno)};
  if (modbus_connect(modbus_) != 0) return cannot();
  if (rtu.rs485 && modbus_rtu_set_serial_mode(modbus_, MODBUS_RTU_RS485) != 0)
    return Error{ErrorCode::invalid, "modbus: the driver of " + rtu.device + " has no RS-485 mode (" + system_text(errno) + "); set rs485: false, most adapters switch by themselves"};
  return {};
}

result<void> Link::open_tcp() {
  const auto socket = connect_tcp();
  if (!socket) return socket.error();
  modbus_ = modbus_new_tcp("127.0.0.1", 502);  // an address that is not used: the connection is there
  if (modbus_ == nullptr) {
    ::close(*socket);
    return Error{ErrorCode::io, "modbus: " + bus_.name() + ": " + system_text(errno)};
  }
  modbus_set_socket(modbus_, *socket);
  return {};
}

result<int> Link::connect_tcp() {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  const int resolved = ::getaddrinfo(bus_.host.c_str(), std::to_string(bus_.port).c_str(), &hints, &found);
  if (resolved != 0) return Error{ErrorCode::unavailable, "modbus: " + bus_.host + ": " + ::gai_strerror(resolved)};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, ::freeaddrinfo);
  int failure = EHOSTUNREACH;
  for (const addrinfo* one = found; one != nullptr && !interrupted(); one = one->ai_next) {
    const int socket = ::socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socket < 0) {
      failure = errno;
      continue;
    }
    failure = ::connect(socket, one->ai_addr, one->ai_addrlen) == 0 ? 0 : errno;
    if (failure == EINPROGRESS) {
      std::array<pollfd, 2> waits{{{socket, POLLOUT, 0}, {wake_, POLLIN, 0}}};
      socklen_t size = sizeof failure;
      const std::int64_t until_ms = now_ms() + timeout_ms_;
      int ready = 0;
      while ((ready = ::poll(waits.data(), waits.size(), static_cast<int>(std::max<std::int64_t>(until_ms - now_ms(), 0)))) < 0 && errno == EINTR) {
      }
      failure = ready <= 0 ? ETIMEDOUT : EINTR;
      if (ready > 0 && waits[0].revents != 0) ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &failure, &size);
    }
    if (failure == 0) {
      const int on = 1;
      ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      ::setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
      return socket;
    }
    ::close(socket);
  }
  return Error{ErrorCode::unavailable, "modbus: cannot connect to " + bus_.name() + ": " + system_text(failure)};
}

// The other side has closed, or has sent what nobody asked for: out of step.
bool Link::stale() const {
  if (serial()) return false;
  char byte = 0;
  const auto got = ::recv(socket_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

Answer Link::read(std::uint8_t unit, Kind kind, std::uint16_t address, std::span<std::uint16_t> to) {
  const int count = static_cast<int>(to.size());
  int got = modbus_set_slave(modbus_, unit);
  if (got == 0 && serial()) modbus_flush(modbus_);
  if (got == 0 && (kind == Kind::coil || kind == Kind::discrete)) {
    std::array<std::uint8_t, kMaxBits> bits{};
    got = kind == Kind::coil ? modbus_read_bits(modbus_, address, count, bits.data()) : modbus_read_input_bits(modbus_, address, count, bits.data());
    if (got >= 0) std::copy_n(bits.begin(), to.size(), to.begin());
  } else if (got == 0) {
    got = kind == Kind::holding ? modbus_read_registers(modbus_, address, count, to.data()) : modbus_read_input_registers(modbus_, address, count, to.data());
  }
  if (got == count) return {};
  return answer_of(got < 0 ? errno : EMBBADDATA, timeout_ms_);
}

void Link::settle() {
  if (!serial() || modbus_ == nullptr) return;
  const int line = modbus_get_socket(modbus_);
  std::array<char, 256> rest{};
  for (const std::int64_t until_ms = now_ms() + timeout_ms_; now_ms() < until_ms;) {
    std::array<pollfd, 2> waits{{{line, POLLIN, 0}, {wake_, POLLIN, 0}}};
    const int ready = ::poll(waits.data(), waits.size(), kSilenceMs);
    if (ready == 0 || (waits[1].revents & POLLIN) != 0) return;
    if (ready > 0 && ::read(line, rest.data(), rest.size()) <= 0) return;
  }
}

}  // namespace rivulet::source::modbus
