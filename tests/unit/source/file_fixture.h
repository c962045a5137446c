// A FileSource over a folder of its own, with a fake agent behind it.
#pragma once
#include <fcntl.h>
#include <unistd.h>
#include <sys/stat.h>

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "agent/source/file/file_source.h"
#include "tests/support/catch.h"
#include "tests/support/fake_intake.h"
#include "tests/support/run_until.h"
#include "tests/support/temp_folder.h"

namespace rivulet::test {

using Lines = std::vector<std::string>;

struct Follower {
  explicit Follower(const std::string& name, bool from_end = false) {
    config.path = folder / name;
    config.from_end = from_end;
    config.poll_ms = 2;
  }
  std::string path(std::string_view name) const { return folder / name; }
  void begin() {
    source = std::make_unique<source::FileSource>(io, config, "logs", *intake);
    source->start();
  }
  // Commits what was read and ends the process; the next begin() knows what was durable.
  void end() {
    intake->commit(*source);
    crash();
  }
  void crash() {
    source.reset();
    intake = intake->after_crash();
  }
  bool reads(std::size_t count) {
    return run_until(io, [&] { return intake->accepted.size() >= count; }) && intake->accepted.size() == count;
  }
  bool counts(const std::string& what, std::uint64_t at_least = 1) {
    return run_until(io, [&] { return intake->counts[what] >= at_least; });
  }
  // A marker line in `name` that comes after everything else that could come; true if it is all that came.
  bool only_marker(const std::string& name, const std::string& marker) {
    const auto before = intake->accepted.size();
    append(path(name), marker + "\n");
    return run_until(io, [&] { return intake->accepted.size() > before; }) && intake->accepted.size() == before + 1 &&
           intake->accepted.back().payload == marker;
  }
  Lines lines() const { return intake->payloads(); }
  void rename(const std::string& from, const std::string& to) { std::filesystem::rename(path(from), path(to)); }

  TempFolder folder;
  boost::asio::io_context io;
  config::FileSource config;
  std::unique_ptr<FakeIntake> intake = std::make_unique<FakeIntake>();
  std::unique_ptr<source::FileSource> source;
};

// A folder that is a link to one on the first or the second file system, as a mount point shows one or the other.
struct TwoFileSystems {
  TwoFileSystems(const TempFolder& folder, const std::string& name) : link_(folder / name), first_(folder / (name + "-first")) {
    std::filesystem::create_directory(first_);
    struct stat one {}, other {};
    differ = ::stat(first_.c_str(), &one) == 0 && ::mkdtemp(second_.data()) != nullptr && ::stat(second_.c_str(), &other) == 0 && one.st_dev != other.st_dev;
    show_first();
  }
  TwoFileSystems(const TwoFileSystems&) = delete;
  TwoFileSystems& operator=(const TwoFileSystems&) = delete;
  ~TwoFileSystems() {
    std::error_code ignored;
    std::filesystem::remove_all(second_, ignored);
  }
  void show_first() const { show(first_); }
  void show_second() const { show(second_); }
  bool differ = false;

 private:
  void show(const std::string& folder) const {
    std::filesystem::create_directory_symlink(folder, link_ + ".new");
    std::filesystem::rename(link_ + ".new", link_);
  }
  std::string link_, first_, second_ = "/dev/shm/rivulet-test-XXXXXX";
};

inline std::string numbered(int from, int to, const std::string& text = "line") {
  std::string lines;
  for (int i = from; i < to; ++i) lines += text + " " + std::to_string(i) + "\n";
  return lines;
}

inline void set_modified(const std::string& path, std::int64_t seconds) {
  const timespec times[2] = {{seconds, 0}, {seconds, 0}};
  if (::utimensat(AT_FDCWD, path.c_str(), times, 0) != 0) throw std::runtime_error("utimensat " + path);
}

}  // namespace rivulet::test
