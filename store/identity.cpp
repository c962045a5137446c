#include "store/identity.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

namespace rivulet::store {
namespace {

Error failed(const std::string& what, const std::string& path) {
  return {ErrorCode::io, "store: cannot " + what + " " + path + ": " + std::strerror(errno)};
}

result<void> sync_path(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
  if (fd < 0) return failed("open", path);
  const int synced = ::fsync(fd);
  ::close(fd);
  if (synced != 0) return failed("fsync", path);
  return {};
}

}  // namespace

result<void> IdentityFile::read() {
  std::ifstream file(directory_ + "/identity");
  std::string line;
  while (std::getline(file, line))
    if (const auto id = Uuid::parse(line)) known_.push_back(*id);
  return {};
}

result<void> IdentityFile::add(const Uuid& incarnation) {
  if (std::find(known_.begin(), known_.end(), incarnation) != known_.end()) return {};
  known_.push_back(incarnation);
  const std::string path = directory_ + "/identity";
  const std::string temporary = path + ".new";
  {
    std::ofstream file(temporary, std::ios::trunc);
    for (const Uuid& id : known_) file << id.text() << '\n';
    file.flush();
    if (!file) return failed("write", temporary);
  }
  if (auto synced = sync_path(temporary, O_RDWR); !synced) return synced;
  if (std::rename(temporary.c_str(), path.c_str()) != 0) return failed("rename", temporary);
  return sync_path(directory_, O_RDONLY | O_DIRECTORY);
}

std::vector<Uuid> IdentityFile::before(const Uuid& incarnation) const {
  return {known_.begin(), std::find(known_.begin(), known_.end(), incarnation)};
}

}  // namespace rivulet::store
