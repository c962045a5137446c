#include "agent/source/unix/socket_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace rivulet::source {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  const int number_;
};

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

Error cannot(const std::string& path, const std::string& why) { return {ErrorCode::unavailable, "unix: cannot listen on " + path + ": " + why}; }

bool address_of(const std::string& path, sockaddr_un& to) {
  to = {};
  to.sun_family = AF_UNIX;
  if (path.size() >= sizeof to.sun_path) return false;
  std::memcpy(to.sun_path, path.c_str(), path.size() + 1);
  return true;
}

int type_of(int socket) {
  int type = 0;
  socklen_t size = sizeof type;
  return ::getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) == 0 ? type : SOCK_STREAM;
}

}  // namespace

// What stands at the path goes, if it is a socket that nobody listens at.
result<void> SocketFile::clear(int type) const {
  struct stat about{};
  if (::lstat(path_.c_str(), &about) != 0) {
    if (errno == ENOENT) return {};
    return cannot(path_, std::strerror(errno));
  }
  if (!S_ISSOCK(about.st_mode)) return cannot(path_, "there is a file that is not a socket; remove it, or change path");
  sockaddr_un address;
  const Descriptor probe(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!address_of(path_, address) || probe.number() < 0) return cannot(path_, std::strerror(errno));
  if (::connect(probe.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno == EAGAIN || errno == EPROTOTYPE)
    return cannot(path_, "a living process listens there already; end it, or change path");
  if (errno != ECONNREFUSED) return cannot(path_, std::string("whether somebody listens there cannot be told: ") + std::strerror(errno) + "; remove the file, or change path");
  if (::unlink(path_.c_str()) != 0 && errno != ENOENT) return cannot(path_, std::string("the file of a dead process is in the way: ") + std::strerror(errno) + "; remove it");
  return {};
}

result<void> SocketFile::bind(int socket) {
  sockaddr_un address;
  if (!address_of(path_, address)) return cannot(path_, "the path is longer than " + std::to_string(sizeof address.sun_path - 1) + " bytes");
  const Descriptor folder(::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.number() < 0) return cannot(path_, "its folder: " + std::string(std::strerror(errno)) + "; make it, and let this user write there");
  if (::flock(folder.number(), LOCK_EX | LOCK_NB) != 0) return cannot(path_, "another process has locked its folder: " + std::string(std::strerror(errno)));
  const int type = type_of(socket);
  if (auto cleared = clear(type); !cleared) return cleared;
  ::fchmod(socket, mode_);  // Linux makes the file with these, less the umask: never more than it will have
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return cannot(path_, std::strerror(errno));
  struct stat about{};
  if (::lstat(path_.c_str(), &about) == 0) bound_ = about;
  if (::chmod(path_.c_str(), mode_) != 0) return cannot(path_, std::string("its permissions cannot be set: ") + std::strerror(errno));
  if (type == SOCK_STREAM && ::listen(socket, SOMAXCONN) != 0) return cannot(path_, std::strerror(errno));
  return {};
}

void SocketFile::remove() {
  if (!bound_) return;
  struct stat now{};
  if (::lstat(path_.c_str(), &now) == 0 && now.st_ino == bound_->st_ino && now.st_dev == bound_->st_dev) ::unlink(path_.c_str());
  bound_.reset();
}

std::string text_of(const ::ucred& credentials) { return "uid:" + std::to_string(credentials.uid) + "/pid:" + std::to_string(credentials.pid); }

}  // namespace rivulet::source
