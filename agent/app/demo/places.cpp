#include "agent/app/demo/places.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

namespace rivulet::app {
namespace fs = std::filesystem;

result<std::string> find_demo_config() {
  std::error_code error;
  std::vector<fs::path> places;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    places.push_back(program.parent_path().parent_path() / "share/rivulet/demo.yaml");
    fs::path above = program.parent_path();
    for (int levels = 0; levels < 4 && above.has_relative_path(); ++levels, above = above.parent_path()) places.push_back(above / "config/demo.yaml");
  }
  places.push_back(fs::current_path(error) / "config/demo.yaml");
  for (const fs::path& place : places)
    if (fs::is_regular_file(place, error)) return place.string();
  return Error{ErrorCode::not_found, "demo: no demo.yaml beside the program, in the source tree above it or in ./config; name one with --config"};
}

result<TemporaryFolder> TemporaryFolder::make(const std::string& prefix) {
  std::error_code error;
  const fs::path parent = fs::temp_directory_path(error);
  std::string path = ((error ? fs::path("/tmp") : parent) / (prefix + "XXXXXX")).string();
  if (::mkdtemp(path.data()) == nullptr) return Error{ErrorCode::io, "cannot make a folder like " + path + ": " + std::strerror(errno)};
  return TemporaryFolder(std::move(path));
}

TemporaryFolder::TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

}  // namespace rivulet::app
