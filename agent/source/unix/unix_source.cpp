#include "agent/source/unix/unix_source.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/datagram_protocol.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <cerrno>
#include <cstring>

#include "agent/source/datagram/datagram_source.h"
#include "agent/source/stream/stream_server.h"
#include "agent/source/unix/socket_file.h"

namespace rivulet::source {
namespace {

class UnixStreamAddress final : public StreamAddress {
 public:
  explicit UnixStreamAddress(const config::UnixSource& config) : file_(config.path, config.mode) {}

  result<void> listen(Acceptor& acceptor) override {
    boost::system::error_code error;
    acceptor.open(boost::asio::local::stream_protocol(), error);
    if (error) return Error{ErrorCode::unavailable, "unix: cannot open a socket: " + error.message()};
    return file_.bind(acceptor.native_handle());
  }
  void closed() override { file_.remove(); }

  std::string welcome(Socket& socket) override {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return "unknown";
    return text_of(credentials);
  }
  std::string text(const Acceptor&) const override { return file_.path(); }

 private:
  SocketFile file_;
};

class UnixDatagramAddress final : public DatagramAddress {
 public:
  explicit UnixDatagramAddress(const config::UnixSource& config) : file_(config.path, config.mode) {}

  result<void> bind(Socket& socket, const std::string&) override {
    boost::system::error_code error;
    socket.open(boost::asio::local::datagram_protocol(), error);
    const int on = 1;
    if (error || ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0)
      return Error{ErrorCode::unavailable, "unix: cannot open a socket: " + (error ? error.message() : std::string(std::strerror(errno)))};
    return file_.bind(socket.native_handle());
  }
  void closed() override { file_.remove(); }

  std::uint32_t look_at(const msghdr& message, std::string& sender) override {
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(const_cast<msghdr*>(&message), part)) {
      if (part->cmsg_level != SOL_SOCKET) continue;
      if (part->cmsg_type == SCM_RIGHTS) close_files(*part);
      if (part->cmsg_type == SCM_CREDENTIALS) remember(*part, sender);
    }
    return 0;
  }
  std::string text(const Socket&) const override { return file_.path(); }

 private:
  // A sender may send open files along, which are ours then: nobody asked for them, and many would use up the descriptors.
  static void close_files(const cmsghdr& part) {
    for (std::size_t at = CMSG_LEN(0); at + sizeof(int) <= part.cmsg_len; at += sizeof(int)) {
      int file = -1;
      std::memcpy(&file, reinterpret_cast<const char*>(&part) + at, sizeof file);
      ::close(file);
    }
  }
  void remember(const cmsghdr& part, std::string& sender) {
    ucred found{};
    std::memcpy(&found, CMSG_DATA(&part), sizeof found);
    if (found.pid == last_.pid && found.uid == last_.uid && !sender.empty()) return;
    last_ = found;
    sender = text_of(found);
  }

  SocketFile file_;
  ucred last_{};
};

}  // namespace

std::unique_ptr<Source> make_unix_source(boost::asio::io_context& io, const config::UnixSource& config, std::string name, Intake& intake) {
  if (config.datagrams) return std::make_unique<DatagramSource>(io, config.datagram, std::move(name), intake, std::make_unique<UnixDatagramAddress>(config));
  return std::make_unique<StreamServer>(io, config.stream, std::move(name), intake, std::make_unique<UnixStreamAddress>(config));
}

std::string describe_guarantee(const config::UnixSource& config) {
  if (!config.datagrams) return describe_guarantee(config.stream);
  return "at most once: datagrams have no acknowledgement. What was read and not yet committed (up to agent.commit_interval), and what waits in the socket (the sysctl "
         "net.unix.max_dgram_qlen), is lost when the agent is killed; while it has no room a sender waits (one that does not block is told EAGAIN), and nothing is dropped.";
}

}  // namespace rivulet::source
