// A Modbus slave whose answers are in the test's hand: over TCP on a free port of loopback, or on a pseudo terminal as a serial line.
//
// Each request is put to `answer`, in a thread of the connection; it may wait for what the test does. What it gives is sent: a PDU (function and data) in
// a proper frame, or bytes as they are; none: nothing. Lifetime: the destructor ends its threads, so `answer` must not wait for ever.
#pragma once
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace rivulet::test {

struct ModbusAsked {
  std::uint8_t unit = 0, function = 0;
  std::uint16_t address = 0, count = 0;
  std::string transaction;  // TCP: its four bytes before the length
  bool operator==(const ModbusAsked& other) const { return unit == other.unit && function == other.function && address == other.address && count == other.count; }
};
struct ModbusReply {
  std::string bytes;
  bool raw = false;   // as they are, else a PDU
  bool drip = false;  // TCP: a byte each 50 ms
};
using ModbusAnswer = std::function<std::optional<ModbusReply>(const ModbusAsked&)>;

inline std::string modbus_word(std::uint16_t word) { return {static_cast<char>(word >> 8), static_cast<char>(word & 0xFF)}; }
inline std::uint16_t modbus_word(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(bytes[at]) << 8 | static_cast<unsigned char>(bytes[at + 1]));
}
// Registers by address; bits: the lowest of each.
inline ModbusReply modbus_values(const ModbusAsked& asked, const std::function<std::uint16_t(std::uint16_t)>& value) {
  std::string data;
  if (asked.function > 2) {
    for (std::uint16_t i = 0; i < asked.count; ++i) data += modbus_word(value(static_cast<std::uint16_t>(asked.address + i)));
  } else {
    data.resize((asked.count + 7U) / 8);
    for (std::uint16_t i = 0; i < asked.count; ++i)
      if ((value(static_cast<std::uint16_t>(asked.address + i)) & 1) != 0) data[i / 8U] = static_cast<char>(static_cast<unsigned char>(data[i / 8U]) | 1U << i % 8U);
  }
  return {std::string{static_cast<char>(asked.function), static_cast<char>(data.size())} + data};
}
inline ModbusReply modbus_exception(const ModbusAsked& asked, std::uint8_t code) { return {std::string{static_cast<char>(asked.function | 0x80), static_cast<char>(code)}}; }

// What was asked so far; of any thread.
class ModbusSlave {
 public:
  virtual ~ModbusSlave() = default;
  std::vector<ModbusAsked> asked() const {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

 protected:
  explicit ModbusSlave(ModbusAnswer answer) : answer_(std::move(answer)) {}
  std::optional<ModbusReply> ask(const ModbusAsked& one) {
    {
      const std::lock_guard lock(mutex_);
      asked_.push_back(one);
    }
    return answer_(one);
  }

 private:
  const ModbusAnswer answer_;
  mutable std::mutex mutex_;
  std::vector<ModbusAsked> asked_;
};

class TcpSlave final : public ModbusSlave {
 public:
  explicit TcpSlave(ModbusAnswer answer, std::uint16_t port = 0) : ModbusSlave(std::move(answer)), acceptor_(io_, {boost::asio::ip::address_v4::loopback(), port}) {
    port_ = acceptor_.local_endpoint().port();
    accepting_ = std::thread([this] { accept(); });
  }
  ~TcpSlave() override {
    stopping_ = true;
    ::shutdown(acceptor_.native_handle(), SHUT_RDWR);
    accepting_.join();
    cut();
    for (std::thread& each : threads_) each.join();
  }
  std::uint16_t port() const { return port_; }
  int connections() const { return connections_; }
  void cut() {  // every connection that there is
    const std::lock_guard lock(sockets_mutex_);
    for (auto& each : sockets_) ::shutdown(each.native_handle(), SHUT_RDWR);
  }

 private:
  void accept() {
    while (!stopping_) {
      boost::system::error_code error;
      boost::asio::ip::tcp::socket socket(io_);
      acceptor_.accept(socket, error);
      if (error) continue;
      ++connections_;
      const std::lock_guard lock(sockets_mutex_);
      auto& kept = sockets_.emplace_back(std::move(socket));
      threads_.emplace_back([this, &kept] { serve(kept); });
    }
  }
  void serve(boost::asio::ip::tcp::socket& socket) {
    std::array<char, 12> request{};
    boost::system::error_code error;
    while (boost::asio::read(socket, boost::asio::buffer(request), error) == request.size()) {
      const std::string_view bytes(request.data(), request.size());
      const ModbusAsked one{static_cast<std::uint8_t>(bytes[6]), static_cast<std::uint8_t>(bytes[7]), modbus_word(bytes, 8), modbus_word(bytes, 10), std::string(bytes.substr(0, 4))};
      const auto reply = ask(one);
      if (!reply) continue;
      const std::string framed = reply->raw ? reply->bytes : one.transaction + modbus_word(static_cast<std::uint16_t>(reply->bytes.size() + 1)) + static_cast<char>(one.unit) + reply->bytes;
      const std::size_t part = reply->drip ? 1 : framed.size();
      for (std::size_t at = 0; at < framed.size() && !error && !stopping_; at += part) {
        boost::asio::write(socket, boost::asio::buffer(framed.data() + at, part), error);
        if (reply->drip) ::poll(nullptr, 0, 50);
      }
      if (error) break;
    }
    ::shutdown(socket.native_handle(), SHUT_RDWR);
  }

  boost::asio::io_context io_;
  boost::asio::ip::tcp::acceptor acceptor_;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> connections_ = 0;
  std::mutex sockets_mutex_;
  std::list<boost::asio::ip::tcp::socket> sockets_;
  std::vector<std::thread> threads_;
  std::thread accepting_;
};

class SerialSlave final : public ModbusSlave {
 public:
  explicit SerialSlave(ModbusAnswer answer) : ModbusSlave(std::move(answer)) {
    std::array<char, 128> name{};
    if (::openpty(&line_, &other_, name.data(), nullptr, nullptr) != 0) throw std::runtime_error("no pseudo terminal");
    termios raw{};
    ::cfmakeraw(&raw);
    ::tcsetattr(other_, TCSANOW, &raw);
    device_ = name.data();
    serving_ = std::thread([this] { serve(); });
  }
  ~SerialSlave() override {
    stopping_ = true;
    serving_.join();
    ::close(line_);
    ::close(other_);
  }
  const std::string& device() const { return device_; }

  static std::string framed(std::uint8_t unit, const std::string& pdu) {
    const std::string frame = static_cast<char>(unit) + pdu;
    std::uint16_t crc = 0xFFFF;  // Modbus over Serial Line, appendix B
    for (const char byte : frame) {
      crc = static_cast<std::uint16_t>(crc ^ static_cast<unsigned char>(byte));
      for (int i = 0; i < 8; ++i) crc = static_cast<std::uint16_t>((crc & 1) != 0 ? crc >> 1 ^ 0xA001 : crc >> 1);
    }
    return frame + static_cast<char>(crc & 0xFF) + static_cast<char>(crc >> 8);
  }

 private:
  void serve() {
    std::string got;
    while (!stopping_) {
      pollfd wait{line_, POLLIN, 0};
      if (::poll(&wait, 1, 20) <= 0) continue;
      std::array<char, 256> part{};
      const auto count = ::read(line_, part.data(), part.size());
      if (count <= 0) continue;
      got.append(part.data(), static_cast<std::size_t>(count));
      while (got.size() >= 8) {
        const std::string request = got.substr(0, 8);
        got.erase(0, 8);
        const ModbusAsked one{static_cast<std::uint8_t>(request[0]), static_cast<std::uint8_t>(request[1]), modbus_word(request, 2), modbus_word(request, 4), ""};
        const auto reply = ask(one);
        if (!reply) continue;
        const std::string bytes = reply->raw ? reply->bytes : framed(one.unit, reply->bytes);
        if (::write(line_, bytes.data(), bytes.size()) < 0) return;
      }
    }
  }

  int line_ = -1, other_ = -1;
  std::string device_;
  std::atomic<bool> stopping_ = false;
  std::thread serving_;
};

}  // namespace rivulet::test
