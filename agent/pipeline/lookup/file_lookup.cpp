// A table out of a file, in a SQLite file of our own that nobody else can open.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "agent/base/log.h"
#include "agent/pipeline/lookup/file_rows.h"
#include "agent/pipeline/lookup/lookup.h"
#include "store/sqlite.h"

namespace rivulet::pipeline {
namespace {

constexpr std::size_t kPartBytes = 64 << 10;  // about a millisecond of loading

class File {
 public:
  explicit File(const std::string& path) : number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~File() {
    if (number_ >= 0) ::close(number_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  bool is_open() const { return number_ >= 0; }
  ssize_t read(char* to, std::size_t bytes) const { return ::read(number_, to, bytes); }

 private:
  const int number_;
};

class FileLookup final : public Lookup {
 public:
  explicit FileLookup(const config::LookupTable& table) : table_(table), state_(table.path + " was not read yet") {}

  std::optional<TableRow> current(std::string_view key) override {
    trouble_.reset();
    if (!rows_) {
      trouble_ = Error{ErrorCode::unavailable, "table " + table_.name + ": " + state_};
      return std::nullopt;
    }
    rows_->find.reset();
    rows_->find.bind(1, key);
    const auto found = rows_->find.step();
    if (!found) {
      trouble_ = Error{found.error().code, "table " + table_.name + ": " + found.error().message};
      return std::nullopt;
    }
    if (!*found) return std::nullopt;
    return TableRow{rows_->find.bytes(0), 0, false, false};
  }
  std::optional<Error> trouble() const override { return trouble_; }
  bool ready() const override { return rows_ != nullptr; }
  std::string state() const override { return state_; }

  bool look(const std::string& folder) override {
    if (loading_) return go_on();
    const auto seen = look_at_file(table_.path);
    if (!seen) {
      refused_.reset();
      return failed(seen.error().message);
    }
    if (loaded_ == *seen || refused_ == *seen) return false;
    if (ready() && std::exchange(candidate_, *seen) != *seen) return false;  // it may still be written: once it has stood still
    return begin(*seen, folder.empty() ? std::string() : folder + "/lookup-" + table_.name + ".tmp");
  }

 private:
  struct Rows {
    store::Connection connection;
    store::Statement find;  // finalized before the connection
    std::uint64_t count = 0;
  };
  struct Loading {
    explicit Loading(const std::string& path) : file(path) {}
    FileSeen seen;
    File file;
    std::unique_ptr<Rows> rows = std::make_unique<Rows>();
    store::Statement insert;
    std::unique_ptr<FileRows> reader;
    std::uint64_t read_rows = 0;
  };

  bool begin(const FileSeen& seen, const std::string& place) {
    auto loading = std::make_unique<Loading>(table_.path);
    loading->seen = seen;
    if (!loading->file.is_open()) return failed(table_.path + " cannot be read: " + std::strerror(errno));
    if (seen.bytes > kMaxLookupFileBytes) return refuse(seen, table_.path + " has more than 256 MiB; a table this large belongs into a database (sqlite: {path, query, key})");
    if (auto made = make_rows(*loading, place); !made) return failed("its rows have no place: " + made.error().message);
    loading->reader = FileRows::make(table_.path, table_.key, [to = loading.get()](std::string_view key, std::string_view json) -> result<void> {
      ++to->read_rows;
      to->insert.bind(1, key).bind(2, json);
      return to->insert.run();
    });
    loading_ = std::move(loading);
    return true;
  }

  static result<void> make_rows(Loading& loading, const std::string& place) {
    Rows& rows = *loading.rows;
    if (!place.empty()) ::unlink(place.c_str());  // of an agent that was killed here
    auto opened = store::Connection::open(place, store::Connection::Mode::read_write, {});
    if (!opened) return opened.error();
    rows.connection = std::move(*opened);
    auto made = rows.connection.execute(
        "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-512; PRAGMA temp_store=FILE;"
        "CREATE TABLE rows(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID; BEGIN");
    if (!place.empty()) ::unlink(place.c_str());
    if (!made) return made;
    auto insert = rows.connection.prepare("INSERT OR REPLACE INTO rows VALUES(?1, ?2)");
    if (!insert) return insert.error();
    loading.insert = std::move(*insert);
    return {};
  }

  bool go_on() {
    static std::array<char, kPartBytes> part;  // of the io thread
    const ssize_t bytes = loading_->file.read(part.data(), part.size());
    if (bytes < 0) {
      const int why = errno;
      loading_.reset();
      return failed(table_.path + " cannot be read: " + std::strerror(why));
    }
    const auto fed = bytes > 0 ? loading_->reader->feed({part.data(), static_cast<std::size_t>(bytes)}) : loading_->reader->finish();
    const auto now = bytes > 0 && fed ? result<FileSeen>(loading_->seen) : look_at_file(table_.path);
    if (now && *now != loading_->seen) {
      log::info("table {}: {} changed while it was read, and is read again", table_.name, table_.path);
      loading_.reset();
      candidate_ = *now;
      return false;  // after a second
    }
    if (!fed) return refuse(loading_->seen, table_.path + ": " + fed.error().message);
    return bytes > 0 || finish();
  }

  bool finish() {
    Loading& loading = *loading_;
    auto count = loading.rows->connection.integer("SELECT count(*) FROM rows");
    auto find = loading.rows->connection.prepare("SELECT value FROM rows WHERE key = ?1");
    loading.insert = {};
    const auto done = loading.rows->connection.execute("COMMIT");
    if (!done || !count || !find) {
      loading_.reset();
      return failed("its rows have no place: " + (!done ? done.error() : !count ? count.error() : find.error()).message);
    }
    loading.rows->find = std::move(*find);
    loading.rows->count = static_cast<std::uint64_t>(*count);
    const std::uint64_t again = loading.read_rows - loading.rows->count;
    state_ = std::to_string(loading.rows->count) + " rows of " + table_.path;
    log::info("table {}: {}{}", table_.name, state_, again > 0 ? "; " + std::to_string(again) + " rows had a key that came again below, which counts" : "");
    loaded_ = loading.seen;
    refused_.reset();
    said_.clear();
    rows_ = std::move(loading.rows);
    loading_.reset();
    return false;
  }

  // This content is wrong, and is not tried again.
  bool refuse(const FileSeen& seen, const std::string& why) {
    refused_ = seen;
    loading_.reset();
    return failed(why);
  }
  // This may pass, and is tried again after a second.
  bool failed(const std::string& why) {
    if (said_ == why) return false;
    said_ = why;
    state_ = rows_ ? why + "; the " + std::to_string(rows_->count) + " rows loaded before stay" : why;
    log::error("table {}: {}{}", table_.name, state_, rows_ ? "" : "; sources wait for it");
    return false;
  }

  const config::LookupTable table_;
  std::unique_ptr<Rows> rows_;
  std::unique_ptr<Loading> loading_;
  std::optional<FileSeen> loaded_, refused_, candidate_;
  std::optional<Error> trouble_;
  std::string state_, said_;
};

}  // namespace

std::unique_ptr<Lookup> make_file_lookup(const config::LookupTable& table) { return std::make_unique<FileLookup>(table); }

}  // namespace rivulet::pipeline
