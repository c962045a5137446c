// A TCP client for tests, or one of a unix-domain socket: never blocks; what came is in `got`.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace rivulet::test {

class TcpClient {
 public:
  explicit TcpClient(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd_ < 0 || ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) throw std::runtime_error("connect");
  }
  explicit TcpClient(const std::string& socket_file) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    if (socket_file.size() >= sizeof to.sun_path) throw std::runtime_error("path too long");
    std::memcpy(to.sun_path, socket_file.c_str(), socket_file.size());
    if (fd_ < 0 || ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) throw std::runtime_error("connect");
  }
  TcpClient(TcpClient&& other) noexcept : got(std::move(other.got)), fd_(std::exchange(other.fd_, -1)), closed_(other.closed_) {}
  TcpClient& operator=(TcpClient&&) = delete;
  ~TcpClient() { close(); }

  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void end() { ::shutdown(fd_, SHUT_WR); }

  // How many bytes the kernel took.
  std::size_t send(std::string_view bytes) {
    const auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? 0 : static_cast<std::size_t>(sent);
  }
  std::string& read() {
    char buffer[4096];
    for (;;) {
      const auto count = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
      if (count > 0) {
        got.append(buffer, static_cast<std::size_t>(count));
        continue;
      }
      if (count == 0 || errno != EAGAIN) closed_ = true;
      return got;
    }
  }
  bool has(std::string_view text) { return read().find(text) != std::string::npos; }
  bool closed() {
    read();
    return closed_;
  }
  int fd() const { return fd_; }

  std::string got;

 private:
  int fd_;
  bool closed_ = false;
};

}  // namespace rivulet::test
