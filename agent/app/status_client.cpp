#include "agent/app/status_client.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace rivulet::app {
namespace {

constexpr std::size_t kMaxAnswerBytes = 4 << 20;
constexpr timeval kTimeout{5, 0};

class Socket {
 public:
  explicit Socket(int family) : fd_(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &kTimeout, sizeof kTimeout);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &kTimeout, sizeof kTimeout);
  }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&&) = delete;
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

Error nobody(const std::string& listen, int error) {
  return {ErrorCode::not_found, "nobody answers at " + listen + ": " + std::strerror(error) + "; is the agent running?"};
}

result<Socket> connect_to(const std::string& listen) {
  if (listen.rfind("unix:", 0) == 0) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::strncpy(to.sun_path, listen.c_str() + 5, sizeof to.sun_path - 1);
    Socket socket(AF_UNIX);
    if (::connect(socket.fd(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) return nobody(listen, errno);
    return socket;
  }
  const std::size_t colon = listen.rfind(':');
  if (colon == std::string::npos) return Error{ErrorCode::invalid, listen + " is no address, expected host:port or unix:path"};
  std::string host = listen.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  if (host == "0.0.0.0") host = "127.0.0.1";
  if (host == "::") host = "::1";
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), listen.c_str() + colon + 1, &wanted, &found); error != 0)
    return Error{ErrorCode::not_found, "cannot find " + listen + ": " + ::gai_strerror(error)};
  Socket socket(found->ai_family);
  const int failed = ::connect(socket.fd(), found->ai_addr, found->ai_addrlen) == 0 ? 0 : errno;
  ::freeaddrinfo(found);
  if (failed != 0) return nobody(listen, failed);
  return socket;
}

}  // namespace

result<HttpAnswer> http_get(const std::string& listen, const std::string& target, const std::string& accept) {
  auto socket = connect_to(listen);
  if (!socket) return socket.error();
  const std::string request = "GET " + target + " HTTP/1.1\r\nHost: rivulet\r\nConnection: close\r\nAccept: " + accept + "\r\n\r\n";
  if (::send(socket->fd(), request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) return nobody(listen, errno);
  std::string answer;
  char buffer[4096];
  for (;;) {
    const ssize_t got = ::recv(socket->fd(), buffer, sizeof buffer, 0);
    if (got == 0) break;
    if (got < 0) return Error{ErrorCode::unavailable, listen + " does not answer in time; is the agent stuck?"};
    answer.append(buffer, static_cast<std::size_t>(got));
    if (answer.size() > kMaxAnswerBytes) return Error{ErrorCode::invalid, listen + " answers with more than 4 MiB: not a rivulet"};
  }
  const std::size_t head = answer.find("\r\n\r\n");
  if (answer.rfind("HTTP/1.", 0) != 0 || head == std::string::npos) return Error{ErrorCode::invalid, listen + " does not speak HTTP: not a rivulet"};
  return HttpAnswer{std::atoi(answer.c_str() + 9), answer.substr(head + 4)};
}

}  // namespace rivulet::app
