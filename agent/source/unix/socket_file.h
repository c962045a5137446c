// SocketFile: the name of a unix-domain socket in the file system.
//
// A file that a dead process left is replaced; a living listener's, or what is no socket, never is. From looking at it until the new socket
// listens the folder is locked (flock), so that of two agents that start at once one has it and the other is told. The permissions
// hold from the first moment on. Thread: io. Errors: what stands in the way, and what to do. Lifetime: remove() (also at the end) takes the
// file away, unless somebody else has put another one there meanwhile.
#pragma once
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>

#include "agent/base/result.h"

namespace rivulet::source {

class SocketFile {
 public:
  SocketFile(std::string path, std::uint32_t mode) : path_(std::move(path)), mode_(mode) {}
  ~SocketFile() { remove(); }
  SocketFile(const SocketFile&) = delete;
  SocketFile& operator=(const SocketFile&) = delete;

  // Binds `socket` (AF_UNIX, new); a stream socket listens afterwards.
  result<void> bind(int socket);
  void remove();
  const std::string& path() const { return path_; }

 private:
  result<void> clear(int type) const;

  const std::string path_;
  const std::uint32_t mode_;
  std::optional<struct stat> bound_;
};

// "uid:1000/pid:4711", as the kernel vouches for it.
std::string text_of(const ::ucred& credentials);

}  // namespace rivulet::source
