#include "agent/source/file/file_source.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "agent/base/fault_point.h"
#include "agent/base/log.h"
#include "agent/source/file/batch_source.h"

namespace rivulet::source {
namespace {

constexpr std::uint64_t list_every_polls = 20;  // also when nothing seems to have changed: a folder's time has coarse ticks

}  // namespace

FileSource::FileSource(boost::asio::io_context& io, config::FileSource config, std::string name, Intake& intake)
    : config_(std::move(config)), name_(std::move(name)), intake_(intake), where_(config_.path), reader_(config_.max_line_bytes),
      pace_(config_.poll_ms), timer_(io) {
  on_line_ = [this](std::string_view line) {
    if (!intake_.can_accept()) return false;
    Frame frame{line, reading_->path};
    if (names_) {
      if (reading_->offset < names_->end) return true;  // where the line begins
      frame.first_line = names_->text;
    }
    intake_.accept(frame);
    return true;
  };
}

void FileSource::start() {
  load();
  poll();
  arm();
}

void FileSource::stop() {
  stopped_ = true;
  timer_.cancel();
}

void FileSource::load() {
  const auto& positions = intake_.positions_at_start();
  first_start_ = positions.empty();
  for (const auto& [key, value] : positions) {
    if (key == started_key() || is_head_key(key) || key.starts_with("batch:")) continue;
    auto tail = parse_position(key, value);
    if (!tail) {
      log::error("{}: position {} is unreadable ({}); its file is read from the beginning, what it gave before comes again",
                    name_, key, value);
      continue;
    }
    next_serial_ = std::max(next_serial_, tail->serial + 1);
    if (const auto head = positions.find(head_key(tail->serial)); head != positions.end() && tail->head.restore(head->second)) tail->stored_head = head->second.size();
    tails_[tail->serial] = std::make_unique<Tail>(std::move(*tail));
  }
  for (auto& [serial, tail] : tails_) tail->predecessor = std::exchange(newest_[tail->origin], serial);
}

void FileSource::arm() {
  if (stopped_) return;
  timer_.expires_after(pace_.pause());
  timer_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (error || alive.expired()) return;
    poll();
    arm();
  });
}

void FileSource::poll() {
  if (stopped_) return;
  ++polls_;
  bool changed = std::exchange(scan_wanted_, false) || where_.folder_modified_ns() != folder_modified_ns_;
  for (auto& [serial, tail] : tails_) changed |= look_at(*tail);
  if (changed || polls_ % list_every_polls == 0) scan();
  for (const auto& [serial, tail] : tails_) changed |= tail->quiet_polls == 0;
  pace_.looked(changed);
  retire();
  if (!no_room_) turn_later();
}

// Takes over the file's size; says whether something about it does not fit any more.
bool FileSource::look_at(Tail& tail) {
  if (tail.missing || tail.packed) return false;
  struct stat about {};
  const bool open = tail.file.is_open();
  if ((open ? ::fstat(tail.file.get(), &about) : ::stat(tail.path.c_str(), &about)) != 0) return true;
  if (!open && about.st_ino != tail.inode) return true;
  const auto size = static_cast<std::uint64_t>(about.st_size);
  const auto modified_ns = std::int64_t{about.st_mtim.tv_sec} * 1'000'000'000 + about.st_mtim.tv_nsec;
  if (size < tail.offset || size < tail.searched_to) return true;
  const bool changed = size != tail.size || modified_ns != tail.modified_ns;
  tail.quiet_polls = changed || tail.has_data() ? 0 : tail.quiet_polls + 1;
  tail.check_head |= changed;
  tail.size = size;
  tail.modified_ns = modified_ns;
  return false;
}

// --- reading ---

void FileSource::turn_later() {
  if (turning_ || stopped_) return;
  turning_ = true;
  boost::asio::post(timer_.get_executor(), [this, alive = std::weak_ptr(alive_)] {
    if (alive.expired()) return;
    turning_ = false;
    turn();
  });
}

void FileSource::turn() {
  if (stopped_) return;
  if (!intake_.can_accept()) {
    no_room_ = true;
    return;
  }
  Tail* tail = next();
  if (tail == nullptr) return;
  read(*tail);
  if (!no_room_) turn_later();
}

void FileSource::on_room() {
  no_room_ = false;
  turn_later();
}

bool FileSource::readable(const Tail& tail) const { return tail.has_data() && tail.failed_poll != polls_; }

bool FileSource::blocked(const Tail& tail) const {
  const auto before = tails_.find(tail.predecessor);
  return before != tails_.end() && (readable(*before->second) || blocked(*before->second));
}

Tail* FileSource::next() {
  const auto usable = [&](const auto& entry) { return readable(*entry.second) && entry.second->moved_poll != polls_ && !blocked(*entry.second); };
  auto found = std::find_if(tails_.upper_bound(last_served_), tails_.end(), usable);
  if (found == tails_.end()) found = std::find_if(tails_.begin(), tails_.end(), usable);
  if (found == tails_.end()) return nullptr;
  last_served_ = found->first;
  return found->second.get();
}

bool FileSource::open(Tail& tail) {
  tail.last_read = ++turns_;
  if (tail.file.is_open()) return true;
  Descriptor file(::open(tail.path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat about {};
  if (!file.is_open() || ::fstat(file.get(), &about) != 0) {
    if (errno == ENOENT) return moved(tail);
    failed(tail, "cannot open " + tail.path + ": " + std::strerror(errno));
    return false;
  }
  if (about.st_ino != tail.inode) return moved(tail);
  std::size_t open_files = 0;
  Tail* oldest = nullptr;
  for (auto& [serial, each] : tails_) {
    if (!each->file.is_open()) continue;
    ++open_files;
    if (oldest == nullptr || each->last_read < oldest->last_read) oldest = each.get();
  }
  if (open_files >= max_open) oldest->file.close();
  tail.file = std::move(file);
  return true;
}

void FileSource::read(Tail& tail) {
  if (tail.packed) return read_packed(tail);
  if (!open(tail)) return;
  if (tail.check_head) {
    const auto head = read_head(tail.file.get());
    if (head && tail.head.length() > 0 && tail.head.compare(*head) != Head::Match::same) {
      tail.file.close();  // written anew in place
      moved(tail);
      return;
    }
    if (head && tail.head.bytes().empty()) tail.head.set(std::string_view(*head).substr(0, tail.head.length()));  // of a version that did not store them
    tail.check_head = false;
  }
  if (config_.first_line_names) {  // read again for each chunk: the file is the one place that knows
    names_ = read_first_line(tail.file.get());
    if (!names_) {
      tail.searched_to = std::max(tail.searched_to, tail.size);
      return;
    }
  }
  reading_ = &tail;
  const std::uint64_t before = tail.offset;
  const auto outcome = reader_.read(tail, on_line_);
  if (outcome.error != 0) {
    intake_.count("read_failed");
    failed(tail, "cannot read " + tail.path + ": " + std::strerror(outcome.error));
    tail.file.close();
    return;
  }
  tail.problem.clear();
  lines_ += outcome.lines;
  no_room_ = outcome.no_room;
  if (outcome.too_long > 0) {
    intake_.count("line_too_long", outcome.too_long);
    log::warn("{}: {}: {} lines longer than max_line ({} bytes) were left out, before byte {}", name_, tail.path,
                 outcome.too_long, config_.max_line_bytes, tail.offset);
  }
  if (outcome.hole_bytes > 0) {
    intake_.count("hole_bytes", outcome.hole_bytes);
    log::warn("{}: {}: {} NUL bytes before byte {} were left out", name_, tail.path, outcome.hole_bytes, tail.offset);
  }
  if (tail.offset == before) return;
  if (tail.head.length() < Head::max_bytes) {
    if (const auto head = read_head(tail.file.get())) {
      tail.head.set(std::string_view(*head).substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(tail.offset, Head::max_bytes))));
    }
  }
  save(tail);
  fault_point("file.read");
}

void FileSource::save(Tail& tail) {
  if (tail.offset == 0) return;
  intake_.set_position(position_key(tail.serial), tail.position());
  const auto head = tail.head.bytes();
  if (head.empty() || head.size() == tail.stored_head) return;
  intake_.set_position(head_key(tail.serial), head);
  tail.stored_head = head.size();
}

void FileSource::failed(Tail& tail, std::string why) {
  tail.failed_poll = polls_;
  if (why == tail.problem) return;
  tail.problem = std::move(why);
  log::warn("{}: {}; trying again at each poll", name_, tail.problem);
}

// Renamed, deleted or written anew since the folder was listed. What became of it only a whole listing says. Always false.
bool FileSource::moved(Tail& tail) {
  scan_wanted_ = true;
  (problem_.empty() ? tail.moved_poll : tail.failed_poll) = polls_;
  return false;
}

void FileSource::folder_problem(const std::string& text) {
  if (text == problem_) return;
  problem_ = text;
  if (!text.empty()) log::warn("{}: {}; trying again at each poll", name_, text);
}

bool FileSource::in_trouble() const {
  return !problem_.empty() || std::any_of(tails_.begin(), tails_.end(), [](const auto& each) { return !each.second->missing && !each.second->problem.empty(); });
}

std::string FileSource::state() const {
  if (!problem_.empty()) return problem_;
  std::size_t wanted = 0;
  std::uint64_t behind = 0;
  for (const auto& [serial, tail] : tails_) {
    if (!tail->problem.empty()) return tail->problem;
    wanted += tail->wanted && !tail->missing ? 1 : 0;
    behind += tail->has_data() && tail->size > tail->offset ? tail->size - tail->offset : 0;
  }
  if (wanted == 0) return "waiting for " + where_.path();
  return "following " + std::to_string(wanted) + " files, " + std::to_string(lines_) + " lines, " + std::to_string(behind) +
         " bytes behind";
}

std::string describe_guarantee(const config::FileSource& config) {
  if (config.compression != config::FileSource::Compression::none) return describe_batch_guarantee(config);
  std::string text =
      "exactly once from the file: its position is committed with its lines. A file is known by its first bytes (up to 1 KiB) "
      "and its inode: it may be renamed, also while the agent is down, and is finished before its successor. A file that lost "
      "its end in a power cut goes on at its new end. One that was compressed (gzip, zstd) beside it while the agent was down is "
      "read on in there. Of files that are gone or rotated away the 32 newest are remembered, all of them while their folder is empty or of another file system. Can be lost: lines that were not read when a file is deleted or moved out of its folder, or truncated without a copy beside it (copytruncate: also what is written between the copy "
      "and the truncation); lines longer than max_line (counted). Can come twice: a file whose first 1 KiB is "
      "changed in place.";
  if (config.path.find_first_of("*?[") == std::string::npos) {
    text += " Rotated more than once while the agent is down: found when named as the path with a number or date after it; "
            "otherwise use a glob.";
  } else {
    text += " Copies made by copytruncate must not match the glob, or be made within 5 s of the truncation.";
  }
  return text;
}

}  // namespace rivulet::source
