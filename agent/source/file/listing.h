// Listing: the regular files of one folder, and which of them the configured path means.
//
// The path's last component may be a glob (* ? [...]). Compressed files (.gz .xz .zst .bz2 .lz4 .zip) match only a
// glob that ends like them: `app.log*` would otherwise read app.log.2.gz as text. One file under two names is listed once.
// Log rotation renames while we read: a folder that changes is listed until a list holds all that the one before it held, and what is read of a listed file
// later is read of that very file, never of the one that has its name by then.
// Thread: any. Bound: max_entries; more are not looked at, and `problem` says so.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rivulet::source {

struct Seen {
  std::string path;
  std::uint64_t inode = 0;
  std::uint64_t device = 0;  // only to tell two files apart within one listing
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
  bool wanted = false;        // the configured path means it
  bool rotated_name = false;  // of a plain path: what log rotation makes of it
};

struct Listing {
  std::vector<Seen> files;  // oldest first
  std::string problem;      // not empty: the folder could not be read whole; files that are missing may well be there
  bool no_folder = false;
  std::uint64_t device = 0;  // of the folder
  bool torn = false;  // to be given up: files were renamed at each of max_readings, one of them may be missing
  std::int64_t folder_modified_ns = 0;
};

class Where {
 public:
  static constexpr std::size_t max_entries = 20'000;
  static constexpr int max_readings = 5;
  static constexpr unsigned max_torn = 20;  // in a row; then a torn listing is better than none
  // compressed_too: files that are named like compressed ones are as good as any, and others than the wanted ones are not listed.
  explicit Where(std::string path, bool compressed_too = false);

  Listing list();
  bool wants(std::string_view name) const;
  std::int64_t folder_modified_ns() const;  // -1: cannot be asked
  bool is_glob() const { return glob_; }
  const std::string& path() const { return path_; }

 private:
  Listing settled() const;
  Listing read() const;
  std::string path_, folder_, name_;
  bool glob_, compressed_too_;
  unsigned torn_in_a_row_ = 0;
};

std::string_view name_of(std::string_view path);  // its last component

// Of the file that was listed. Nothing (false) when it cannot be read, or when its name is another file's by now.
std::optional<std::string> read_head(const Seen& seen);  // its first min(size, 1 KiB) bytes
bool newline_before(const Seen& seen, std::uint64_t offset);

// app.log.1 of app.log.1.gz; none: the name does not end like a compressed file's.
std::optional<std::string_view> without_compressed_suffix(std::string_view path);

// What log rotation makes of a name: the name and a suffix of digits or a date: app.log.1, app.log-20240131.
struct Rotated {
  std::string_view base;     // the whole path when it has no such suffix
  std::uint64_t number = 0;  // 2 for app.log.2: of files of one time the higher number is the older one; 0: a date, or none
};
Rotated rotated(std::string_view path);

}  // namespace rivulet::source
