// Lookup: a table for joins that is filled from elsewhere: a CSV or JSON file, or a query on somebody's SQLite database.
//
// look() is to be called about once a second, and again at once while it answers true: a file is loaded a part at a time, so that records go
// on meanwhile, and replaces the table when it is whole. What cannot be loaded leaves the table as it was; state() says why.
// Thread: io. Lifetime: within its Topology. Bounds: a file of kMaxFileBytes, rows of 1 MiB, half a MiB of memory; the rows are on disk.
// Errors: a row that cannot be read is trouble(): the record that asked cannot be joined.
#pragma once
#include <memory>
#include <string>

#include "agent/config/config.h"
#include "agent/pipeline/table/table_view.h"

namespace rivulet::pipeline {

inline constexpr std::size_t kMaxLookupFileBytes = 256 << 20;

class Lookup : public TableView {
 public:
  static std::unique_ptr<Lookup> make(const config::LookupTable& table);

  // True: there is more to do, now. The rows of a file are kept in `folder`, in a file without a name; empty: in SQLite's own folder for such.
  virtual bool look(const std::string& folder) = 0;
  virtual bool ready() const = 0;
  virtual std::string state() const = 0;
  virtual void end_epoch() {}
  std::optional<TableRow> as_of(std::string_view key, Timestamp) final { return current(key); }
};

std::unique_ptr<Lookup> make_file_lookup(const config::LookupTable& table);
std::unique_ptr<Lookup> make_database_lookup(const config::LookupTable& table);

// Which file is at a path, and whether it is the same as before.
struct FileSeen {
  std::uint64_t device = 0, inode = 0, bytes = 0;
  std::int64_t seconds = 0, nanoseconds = 0;  // of the last change
  bool operator==(const FileSeen&) const = default;
};
result<FileSeen> look_at_file(const std::string& path);

}  // namespace rivulet::pipeline
