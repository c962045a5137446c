#include "agent/sink/file/rotated.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "agent/base/words.h"

namespace rivulet::sink {
namespace {

constexpr std::size_t kDigits = 6;  // more when there are more

}  // namespace

std::string rotated_name(const std::string& path, std::uint64_t number) {
  const std::filesystem::path file(path);
  return (file.parent_path() / fmt::format("{}.{:06}{}", file.stem().string(), number, file.extension().string())).string();
}

result<std::vector<std::uint64_t>> rotated_numbers(const std::string& path) {
  const std::filesystem::path file(path);
  const std::string begin = file.stem().string() + ".", end = file.extension().string();
  std::vector<std::uint64_t> numbers;
  std::error_code error;
  for (auto entry = std::filesystem::directory_iterator(file.parent_path(), error); !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.size() < begin.size() + kDigits + end.size() || name.rfind(begin, 0) != 0 || name.compare(name.size() - end.size(), end.size(), end) != 0) continue;
    std::uint64_t number = 0;
    if (!whole_number(std::string_view(name).substr(begin.size(), name.size() - begin.size() - end.size()), number) || rotated_name(path, number) != entry->path().string()) continue;
    numbers.push_back(number);
  }
  if (error) return Error{ErrorCode::io, fmt::format("cannot read the folder {}: {}", file.parent_path().string(), error.message())};
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

result<std::uint64_t> remove_rotated(const std::string& path, std::uint32_t keep) {
  auto numbers = rotated_numbers(path);
  if (!numbers) return numbers.error();
  const std::size_t gone = numbers->size() - std::min<std::size_t>(numbers->size(), keep);
  for (std::size_t i = 0; i < gone; ++i) {
    const std::string name = rotated_name(path, (*numbers)[i]);
    if (::unlink(name.c_str()) != 0 && errno != ENOENT) return Error{ErrorCode::io, fmt::format("cannot delete {}: {}", name, std::strerror(errno))};
  }
  return static_cast<std::uint64_t>(gone);
}

result<void> sync_folder(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool done = fd >= 0 && ::fsync(fd) == 0;
  const int why = errno;
  if (fd >= 0) ::close(fd);
  if (!done) return Error{ErrorCode::io, fmt::format("cannot make changes in the folder {} durable: {}", folder, std::strerror(why))};
  return {};
}

}  // namespace rivulet::sink
