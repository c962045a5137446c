// FileSource's look at the folder: which file is which, what is new, what is gone.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <utility>

#include "agent/base/fault_point.h"
#include "agent/base/log.h"
#include "agent/source/file/file_source.h"

namespace rivulet::source {
namespace {

// A new file that begins like one we read may be logrotate's copy, a moment before it truncates the original. It waits so long.
constexpr std::uint64_t copy_hold_polls = 20;
constexpr unsigned quiet_polls = 20;  // an open file that was deleted or moved away is let go after so many without growth
constexpr std::size_t telling_bytes = 16;

}  // namespace

void FileSource::scan() {
  const Listing listing = where_.list();
  if (listing.torn) {
    scan_wanted_ = true;
    return;
  }
  folder_modified_ns_ = listing.folder_modified_ns;
  folder_problem(listing.problem);

  std::vector<Tail*> tails;
  for (auto& [serial, tail] : tails_)
    if (!tail->packed) tails.push_back(tail.get());
  const Matching matching = match(tails, listing);
  device_ = listing.device;
  known_there_ = !matching.pairs.empty();
  const Tail* newest = nullptr;
  bool path_taken = where_.is_glob();
  for (const auto& pair : matching.pairs) {
    apply(pair);
    path_taken |= pair.tail->wanted;
    if (newest == nullptr || newest->serial < pair.tail->serial) newest = pair.tail;
  }
  for (const auto& [serial, tail] : tails_)  // one that was compressed is no pair
    if (tail->compressed && (newest == nullptr || newest->serial < serial)) newest = tail.get();
  if (!path_taken && newest != nullptr) begin_unseen({where_.path(), newest->modified_ns, newest->compressed ? UINT64_MAX : rotated(newest->path).number}, listing);
  if (listing.problem.empty()) {
    for (Tail* tail : matching.lost) lose(*tail, listing);
  }
  for (const Seen* seen : matching.fresh) {
    if (!make_room()) {
      folder_problem("more than " + std::to_string(max_tails) + " files match " + where_.path() + "; the newest ones are not read");
      break;
    }
    if (!maybe_copy(*seen)) begin(*seen, origin_of(*seen, listing));
  }
  if (first_scan_ && (listing.problem.empty() || listing.no_folder || !where_.is_glob())) {
    if (first_start_ && config_.from_end) intake_.set_position(started_key(), "1");
    first_scan_ = false;
  }
}

// app.log.1 was written as app.log if there is, or was, an app.log.
std::string FileSource::origin_of(const Seen& seen, const Listing& listing) const {
  const std::string base(rotated(seen.path).base);
  const bool there = newest_.contains(base) || std::any_of(listing.files.begin(), listing.files.end(),
                                                          [&](const Seen& each) { return each.wanted && each.path == base; });
  return there ? base : seen.path;
}

// What is known of the file from now on.
void FileSource::apply(const Matching::Pair& pair) {
  Tail& tail = *pair.tail;
  const Seen& seen = *pair.seen;
  const bool other_file = tail.inode != seen.inode;
  const bool renamed = tail.path != seen.path;
  if (renamed) log::info("{}: {} is now {}", name_, tail.path, seen.path);
  if (other_file) tail.file.close();
  tail.path = seen.path;
  tail.inode = seen.inode;
  tail.device = device_;
  tail.wanted = seen.wanted;
  held_.erase(seen.inode);
  tail.missing = false;
  tail.check_head |= tail.size != seen.size || tail.modified_ns != seen.modified_ns;
  tail.size = seen.size;
  tail.modified_ns = seen.modified_ns;
  if (tail.failed_poll == polls_) tail.failed_poll = 0;
  if (pair.shorter) {
    tail_lost(tail, seen);
  } else if (tail.size < tail.searched_to) {  // an unfinished line was taken back
    tail.searched_to = tail.offset;
    tail.too_long = tail.hole = false;
  }
  if (renamed || other_file) {
    fault_point("file.renamed");
    save(tail);
  }
}

void FileSource::tail_lost(Tail& tail, const Seen& seen) {
  log::warn("{}: {} is {} bytes long, shorter than the {} that were read, and begins the same: it lost its end and is "
               "read on from there; nothing is read twice",
               name_, tail.path, seen.size, tail.offset);
  intake_.count("tail_lost");
  tail.offset = tail.searched_to = seen.size;
  tail.too_long = tail.hole = false;
  if (const auto head = read_head(seen)) {
    tail.head.set(std::string_view(*head).substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(seen.size, Head::max_bytes))));
  }
  save(tail);
}

// No file in the folder is this one any more.
void FileSource::lose(Tail& tail, const Listing& listing) {
  if (tail.missing || go_on_packed(tail, listing)) return;  // a missing one's path and inode may be others' by now
  const bool written_anew = std::any_of(listing.files.begin(), listing.files.end(), [&](const Seen& seen) {
    return seen.path == tail.path && seen.inode == tail.inode;
  });
  if (written_anew) {
    intake_.count("truncated");
    if (tail.size > tail.offset) {
      log::warn("{}: {} was truncated before its last {} bytes were read, and no copy of it was found", name_, tail.path,
                   tail.size - tail.offset);
      intake_.count("bytes_lost", tail.size - tail.offset);
    } else {
      log::info("{}: {} was truncated; it is read from its beginning", name_, tail.path);
    }
    return forget(tail.serial);
  }
  if (!tail.file.is_open()) {
    if (tail.size > tail.offset) {
      log::warn("{}: {} is gone before its last {} bytes were read", name_, tail.path, tail.size - tail.offset);
      if (folder_is_same(tail)) intake_.count("bytes_lost", tail.size - tail.offset);  // else it may come back with its file system
    } else {
      log::info("{}: {} is gone", name_, tail.path);
    }
    tail.missing = true;
    tail.head.forget_bytes();
    if (tail.offset == 0) forget(tail.serial);
    return;
  }
  if (tail.has_data() || tail.quiet_polls < quiet_polls) return;  // still read through the open descriptor
  struct stat about {};
  const bool deleted = ::fstat(tail.file.get(), &about) == 0 && about.st_nlink == 0;
  tail.file.close();
  tail.head.forget_bytes();
  tail.missing = true;
  if (deleted || tail.offset == 0) forget(tail.serial);
}

void FileSource::begin(const Seen& seen, const std::string& origin) {
  auto tail = std::make_unique<Tail>();
  tail->serial = next_serial_++;
  tail->path = seen.path;
  tail->inode = seen.inode;
  tail->device = device_;
  tail->size = seen.size;
  tail->modified_ns = seen.modified_ns;
  tail->wanted = seen.wanted;
  tail->origin = origin;
  tail->predecessor = std::exchange(newest_[origin], tail->serial);
  if (first_scan_ && first_start_ && config_.from_end) start_at_end(*tail);
  tails_[tail->serial] = std::move(tail);
}

bool FileSource::maybe_copy(const Seen& seen) {
  if (first_scan_ && first_start_) return false;
  if (const auto held = held_.find(seen.inode); held != held_.end()) {
    if (polls_ < held->second) return true;
    held_.erase(held);
    return false;
  }
  const auto head = read_head(seen);
  if (!head) return false;
  const bool alike = std::any_of(tails_.begin(), tails_.end(), [&](const auto& entry) {
    const Tail& tail = *entry.second;
    return !tail.missing && tail.inode != seen.inode && tail.head.length() >= telling_bytes && seen.size >= tail.offset &&
           tail.head.compare(*head) == Head::Match::same;
  });
  if (!alike || held_.size() >= max_retired) return false;
  held_[seen.inode] = polls_ + copy_hold_polls;
  return true;
}

void FileSource::start_at_end(Tail& tail) {
  const Descriptor file(::open(tail.path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!file.is_open()) return;
  tail.offset = tail.searched_to = last_line_end(file.get(), tail.size, config_.max_line_bytes);
  if (const auto head = read_head(file.get())) {
    tail.head.set(std::string_view(*head).substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(tail.offset, Head::max_bytes))));
  }
  save(tail);
}

void FileSource::forget(std::uint64_t serial) {
  const auto gone = tails_.find(serial);
  if (gone->second->offset > 0) {
    intake_.erase_position(position_key(serial));
    intake_.erase_position(head_key(serial));
  }
  // Its successor waits for its predecessor from now on.
  for (auto& [other, tail] : tails_) {
    if (tail->predecessor == serial) tail->predecessor = gone->second->predecessor;
  }
  if (const auto newest = newest_.find(gone->second->origin); newest != newest_.end() && newest->second == serial) {
    newest->second = gone->second->predecessor;
    if (newest->second == 0) newest_.erase(newest);
  }
  tails_.erase(gone);
}

// For one more. False: no file is missing whose position could be forgotten.
bool FileSource::make_room() {
  if (tails_.size() < max_tails) return true;
  const auto missing = std::find_if(tails_.begin(), tails_.end(), [](const auto& entry) { return entry.second->missing; });
  if (missing == tails_.end()) return false;
  forget(missing->first);
  return true;
}

// Rotated and missing files are remembered in case they are moved again or come back; the oldest go first. Where nothing that
// is known is there, or another file system is, all that is missing may come back: a mount point is empty before the mount.
void FileSource::retire() {
  std::vector<std::uint64_t> retired;
  bool waiting = false;
  for (const auto& [serial, tail] : tails_) {
    const bool gone = tail->missing && folder_is_same(*tail);
    if (gone || (!tail->missing && !tail->wanted && !tail->has_data())) retired.push_back(serial);
    // A descriptor of a file that is not in the folder any more is let go by a listing, not by the folder's time.
    waiting |= tail->file.is_open() && tail->quiet_polls == quiet_polls;
  }
  scan_wanted_ |= waiting || std::any_of(held_.begin(), held_.end(), [&](const auto& held) { return polls_ + 1 >= held.second; });
  for (std::size_t i = 0; i + max_retired < retired.size(); ++i) forget(retired[i]);
}

}  // namespace rivulet::source
