#include "agent/pipeline/lookup/lookup.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace rivulet::pipeline {

std::unique_ptr<Lookup> Lookup::make(const config::LookupTable& table) {
  return table.kind == config::LookupTable::Kind::file ? make_file_lookup(table) : make_database_lookup(table);
}

result<FileSeen> look_at_file(const std::string& path) {
  struct stat found {};
  if (::stat(path.c_str(), &found) != 0) return Error{ErrorCode::io, path + " cannot be read: " + std::strerror(errno)};
  if (!S_ISREG(found.st_mode)) return Error{ErrorCode::invalid, path + " is no file"};
  return FileSeen{static_cast<std::uint64_t>(found.st_dev), static_cast<std::uint64_t>(found.st_ino), static_cast<std::uint64_t>(found.st_size),
                  static_cast<std::int64_t>(found.st_mtim.tv_sec), static_cast<std::int64_t>(found.st_mtim.tv_nsec)};
}

}  // namespace rivulet::pipeline
