#include "store/state_snapshot.h"

#include <utility>

#include "store/inspect.h"

namespace rivulet::store {
namespace {

constexpr std::size_t kNodeBytes = 160;  // of an overlay's row beside key and value, about

Error stopped() { return {ErrorCode::unavailable, "store: reading the state was ended"}; }

}  // namespace

result<std::unique_ptr<StateSnapshot>> StateSnapshot::open(const std::string& directory, Stop stop, std::size_t overlay_bytes) {
  auto connection = look_into(directory);
  if (!connection) return connection.error();
  if (auto begun = connection->execute("PRAGMA cache_size=-1024; PRAGMA mmap_size=0; PRAGMA cell_size_check=ON; BEGIN"); !begun) return begun.error();
  const auto tables = connection->integer("SELECT count(*) FROM sqlite_schema WHERE name = 'state_steps'");  // this first read says which commit it is
  if (!tables) return tables.error();
  std::unique_ptr<StateSnapshot> snapshot(new StateSnapshot(std::move(*connection), std::move(stop), overlay_bytes));
  snapshot->has_state_ = *tables != 0;
  return snapshot;
}

result<std::optional<StateSnapshot::Step>> StateSnapshot::step(const std::string& pipeline, const std::string& step) {
  if (!has_state_) return std::optional<Step>();
  auto find = connection_.prepare("SELECT id, definition FROM state_steps WHERE pipeline = ?1 AND step = ?2");
  if (!find) return find.error();
  find->bind(1, std::string_view(pipeline)).bind(2, std::string_view(step));
  auto row = find->step();
  if (!row) return row.error();
  if (!*row) return std::optional<Step>();
  return std::optional<Step>(Step{static_cast<std::uint32_t>(find->integer(0)), std::string(find->bytes(1))});
}

result<std::unique_ptr<StateSnapshot::Scan>> StateSnapshot::scan(std::uint32_t table, std::string from, std::string to) {
  std::unique_ptr<Scan> scan(new Scan(*this, table, std::move(from), std::move(to)));
  if (auto begun = scan->begin(); !begun) return begun.error();
  return scan;
}

result<StateSnapshot::Part> StateSnapshot::overlay(std::uint32_t table, const std::string& from) {
  if (const auto whole = whole_.find(table); whole != whole_.end()) return Part{whole->second, std::nullopt};
  auto rows = std::make_shared<Scan::Overlay>();
  Part part;
  std::size_t bytes = 0;
  const auto weight = [](const Scan::Overlay::value_type& row) { return kNodeBytes + row.first.size() + (row.second ? row.second->size() : 0); };
  const auto change = [&](std::uint32_t id, std::string_view key, std::optional<std::string_view> value) {
    if (id != table || key < from || (part.cut && key >= *part.cut)) return;
    auto found = rows->find(key);
    if (found == rows->end()) found = rows->emplace(key, std::nullopt).first;
    else bytes -= weight(*found);
    if (value) found->second.emplace(*value);
    else found->second.reset();
    bytes += weight(*found);
    while (bytes > overlay_bytes_ && rows->size() > 1) {  // the greatest keys wait for the next part
      const auto last = std::prev(rows->end());
      bytes -= weight(*last);
      part.cut = last->first;
      rows->erase(last);
    }
  };
  auto log = connection_.prepare("SELECT bytes FROM state_log ORDER BY id");
  if (!log) return log.error();
  for (;;) {
    if (stop_()) return stopped();
    auto row = log->step();
    if (!row) return row.error();
    if (!*row) break;
    auto body = codec_.body(log->bytes(0));
    if (!body) return Error{body.error().code, "state: a row of the log: " + body.error().message};
    if (auto read = read_changes(*body, change); !read) return read.error();
  }
  part.rows = rows;
  if (part.cut) long_.insert(table);
  else if (from.empty()) whole_[table] = part.rows;
  return part;
}

result<void> StateSnapshot::Scan::begin() {
  if (!snapshot_.has_state_) {
    file_done_ = true;
    overlay_ = std::make_shared<Overlay>();
    here_ = overlay_->end();
    return {};
  }
  auto rows = snapshot_.connection_.prepare(to_.empty() ? "SELECT key, value FROM state WHERE part = ?1 AND key >= ?2 ORDER BY key"
                                                        : "SELECT key, value FROM state WHERE part = ?1 AND key >= ?2 AND key < ?3 ORDER BY key");
  if (!rows) return rows.error();
  rows_ = std::move(*rows);
  rows_.bind(1, std::int64_t{table_}).bind_blob(2, from_);
  if (!to_.empty()) rows_.bind_blob(3, to_);
  if (snapshot_.long_.count(table_) == 0)  // where it fits, all lookups by key share one reading of the log
    if (auto part = snapshot_.overlay(table_, {}); !part) return part.error();
  return read_overlay();
}

result<void> StateSnapshot::Scan::read_overlay() {
  auto part = snapshot_.overlay(table_, from_);
  if (!part) return part.error();
  overlay_ = std::move(part->rows);
  cut_ = std::move(part->cut);
  here_ = overlay_->lower_bound(from_);
  return {};
}

result<bool> StateSnapshot::Scan::read_file() {
  if (in_file_ || file_done_) return in_file_;
  auto row = rows_.step();
  if (!row) return row.error();
  in_file_ = *row;
  file_done_ = !*row;
  return in_file_;
}

result<bool> StateSnapshot::Scan::next() {
  for (;;) {
    auto in_file = read_file();
    if (!in_file) return in_file.error();
    const std::string_view file_key = *in_file ? rows_.bytes(0) : std::string_view();
    if (here_ == overlay_->end() && cut_ && (!*in_file || file_key >= *cut_)) {
      from_ = *std::exchange(cut_, std::nullopt);
      if (to_.empty() || from_ < to_)
        if (auto read = read_overlay(); !read) return read.error();
      continue;
    }
    const bool in_log = here_ != overlay_->end() && (to_.empty() || here_->first < to_);
    if (in_log && (!*in_file || here_->first <= file_key)) {
      if (*in_file && here_->first == file_key) in_file_ = false;  // the log has it newer
      const auto found = here_++;
      if (!found->second) continue;
      key_ = found->first;
      value_ = *found->second;
      return true;
    }
    if (!*in_file) return false;
    key_ = file_key;
    value_ = rows_.bytes(1);
    in_file_ = false;
    return true;
  }
}

}  // namespace rivulet::store
