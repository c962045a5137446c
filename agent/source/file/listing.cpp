#include "agent/source/file/listing.h"

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>

#include "agent/base/clock.h"
#include "agent/base/words.h"
#include "agent/source/file/tail.h"

namespace rivulet::source {
namespace {

constexpr std::int64_t tick_ns = 20'000'000;  // a folder's time moves in steps: HZ=100 gives 10 ms

constexpr std::array<std::string_view, 6> compressed{".gz", ".xz", ".zst", ".bz2", ".lz4", ".zip"};

std::string_view compressed_suffix(std::string_view name) {
  for (const auto suffix : compressed) {
    if (name.ends_with(suffix)) return suffix;
  }
  return {};
}

std::int64_t nanoseconds(const timespec& time) { return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

std::set<std::pair<std::string_view, std::uint64_t>> names(const Listing& listing) {
  std::set<std::pair<std::string_view, std::uint64_t>> names;
  for (const auto& seen : listing.files) names.emplace(seen.path, seen.inode);
  return names;
}

Descriptor open_listed(const Seen& seen) {
  Descriptor file(::open(seen.path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat about {};
  if (file.is_open() && (::fstat(file.get(), &about) != 0 || about.st_ino != seen.inode)) file.close();
  return file;
}

}  // namespace

std::optional<std::string> read_head(const Seen& seen) {
  const Descriptor file = open_listed(seen);
  return file.is_open() ? read_head(file.get()) : std::nullopt;
}

bool newline_before(const Seen& seen, std::uint64_t offset) {
  const Descriptor file = open_listed(seen);
  char last = 0;
  return file.is_open() && offset > 0 && ::pread(file.get(), &last, 1, static_cast<off_t>(offset - 1)) == 1 && last == '\n';
}

std::string_view name_of(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

Where::Where(std::string path, bool compressed_too) : path_(std::move(path)), name_(name_of(path_)), compressed_too_(compressed_too) {
  folder_ = path_.substr(0, path_.size() - name_.size());
  if (folder_.empty()) folder_ = "./";
  path_ = folder_ + name_;
  glob_ = name_.find_first_of("*?[") != std::string::npos;
}

bool Where::wants(std::string_view name) const {
  if (!glob_) return name == name_;
  if (::fnmatch(name_.c_str(), std::string(name).c_str(), FNM_PERIOD) != 0) return false;
  if (compressed_too_) return true;
  const auto suffix = compressed_suffix(name);
  return suffix.empty() || std::string_view(name_).ends_with(suffix);
}

std::optional<std::string_view> without_compressed_suffix(std::string_view path) {
  const auto suffix = compressed_suffix(path);
  if (suffix.empty()) return {};
  return path.substr(0, path.size() - suffix.size());
}

Rotated rotated(std::string_view path) {
  const auto run = path.find_last_not_of("0123456789.-_:T") + 1;  // npos + 1 is 0
  const auto separator = path.find_first_of(".-_", run);
  if (separator == std::string_view::npos || separator == 0 || path[separator - 1] == '/') return {path, 0};
  const std::string_view suffix = path.substr(separator + 1);
  if (suffix.find_first_of("0123456789") == std::string_view::npos) return {path, 0};
  std::uint64_t number = 0;
  const bool counts = whole_number(suffix, number) && suffix.size() <= 4;
  return {path.substr(0, separator), counts ? number : 0};
}

std::int64_t Where::folder_modified_ns() const {
  struct stat about {};
  return ::stat(folder_.c_str(), &about) == 0 ? nanoseconds(about.st_mtim) : -1;
}

Listing Where::list() {
  Listing listing = settled();
  torn_in_a_row_ = listing.torn ? torn_in_a_row_ + 1 : 0;
  if (torn_in_a_row_ % max_torn == 0) listing.torn = false;
  return listing;
}

Listing Where::settled() const {
  const std::int64_t begun_ns = SystemClock().wall_ms() * 1'000'000;  // the file system's clock, whatever the agent's is
  Listing listing = read();
  const bool quiet = listing.folder_modified_ns < begun_ns - tick_ns && folder_modified_ns() == listing.folder_modified_ns;
  if (quiet || !listing.problem.empty()) return listing;
  for (int readings = 1; readings < max_readings; ++readings) {
    Listing again = read();
    if (!again.problem.empty()) return again;
    const auto now = names(again), before = names(listing);
    const bool agree = std::includes(now.begin(), now.end(), before.begin(), before.end());
    listing = std::move(again);
    listing.torn = !agree;
    if (agree) break;
  }
  return listing;
}

Listing Where::read() const {
  Listing listing;
  listing.folder_modified_ns = folder_modified_ns();  // before reading it: what changes meanwhile is seen next time
  const std::unique_ptr<DIR, CloseFolder> folder(::opendir(folder_.c_str()));
  if (!folder) {
    listing.no_folder = errno == ENOENT || errno == ENOTDIR;
    listing.problem = "cannot read folder " + folder_ + ": " + std::strerror(errno);
    // A folder may be passed through without being listed: a plain path still works.
    struct stat about {};
    if (!glob_ && ::stat(path_.c_str(), &about) == 0 && S_ISREG(about.st_mode)) {
      listing.files.push_back({path_, about.st_ino, about.st_dev, static_cast<std::uint64_t>(about.st_size),
                               nanoseconds(about.st_mtim), true, false});
    }
    return listing;
  }
  struct stat itself {};
  if (::fstat(::dirfd(folder.get()), &itself) == 0) listing.device = itself.st_dev;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(folder.get());
    if (entry == nullptr && errno != 0) {  // what it did not come to may be there, and older
      listing.problem = "cannot read folder " + folder_ + " to its end: " + std::strerror(errno);
      listing.files.clear();
      return listing;
    }
    if (entry == nullptr) break;
    if (entry->d_type != DT_REG && entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN) continue;
    if (compressed_too_ && !wants(entry->d_name)) continue;
    struct stat about {};
    if (::fstatat(::dirfd(folder.get()), entry->d_name, &about, 0) != 0) {
      if (errno == EIO || errno == ESTALE || errno == ETIMEDOUT) listing.problem = "cannot look at " + folder_ + entry->d_name + ": " + std::strerror(errno);
      continue;
    }
    if (!S_ISREG(about.st_mode)) continue;
    if (listing.files.size() >= max_entries) {
      listing.problem = "folder " + folder_ + " holds more than " + std::to_string(max_entries) + " files; the rest is not looked at";
      break;
    }
    listing.files.push_back({folder_ + entry->d_name, about.st_ino, about.st_dev, static_cast<std::uint64_t>(about.st_size),
                             nanoseconds(about.st_mtim), wants(entry->d_name), false});
    listing.files.back().rotated_name = !glob_ && !listing.files.back().wanted && rotated(listing.files.back().path).base == path_;
  }
  auto& files = listing.files;
  // Wanted names first, so that of two names for one file the wanted one stays.
  std::sort(files.begin(), files.end(), [](const Seen& a, const Seen& b) {
    return a.wanted != b.wanted ? a.wanted : a.path < b.path;
  });
  std::set<std::pair<std::uint64_t, std::uint64_t>> known;
  std::erase_if(files, [&](const Seen& file) { return !known.emplace(file.device, file.inode).second; });
  std::stable_sort(files.begin(), files.end(), [](const Seen& a, const Seen& b) {
    return a.modified_ns != b.modified_ns ? a.modified_ns < b.modified_ns : rotated(a.path).number > rotated(b.path).number;
  });
  return listing;
}

}  // namespace rivulet::source
