#include "agent/source/file/batch_source.h"

#include <fcntl.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "agent/base/fault_point.h"
#include "agent/base/log.h"
#include "agent/source/file/batch_index.h"

namespace rivulet::source {

BatchSource::BatchSource(boost::asio::io_context& io, config::FileSource config, std::string name, Intake& intake)
    : config_(std::move(config)), name_(std::move(name)), intake_(intake), where_(config_.path, true), pace_(config_.poll_ms), timer_(io) {
  on_line_ = [this](std::string_view line, const std::optional<std::string_view>& first_line) {
    if (!intake_.can_accept()) return false;
    Frame frame{line, batches_.at(current_).path};
    frame.first_line = first_line;
    intake_.accept(frame);
    return true;
  };
}

void BatchSource::start() {
  load();
  poll();
  arm();
}

void BatchSource::stop() {
  stopped_ = true;
  timer_.cancel();
}

void BatchSource::load() {
  for (const auto& [key, value] : intake_.positions_at_start()) {
    if (!key.starts_with(batch_prefix)) continue;  // of the time when the source followed files
    auto batch = parse_batch(key, value);
    if (!batch) {
      log::error("{}: position {} is unreadable ({}); its file is read from the beginning, what it gave before comes again", name_, key, value);
      continue;
    }
    batch->missing = true;  // until it is seen
    next_serial_ = std::max(next_serial_, batch->serial + 1);
    batches_.emplace(batch->serial, std::move(*batch));
  }
}

void BatchSource::arm() {
  if (stopped_) return;
  timer_.expires_after(pace_.pause());
  timer_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (error || alive.expired()) return;
    poll();
    arm();
  });
}

void BatchSource::poll() {
  if (stopped_) return;
  ++polls_;
  const auto files_before = next_serial_;
  scan();
  pace_.looked(next_serial_ != files_before || current_ != 0);
  if (!no_room_) turn_later();
}

// --- which file is which ---

void BatchSource::scan() {
  const Listing listing = where_.list();
  if (listing.torn) return;
  std::string trouble = listing.problem;
  order_.clear();
  bool known_there = false;
  std::size_t without_room = 0;
  const BatchIndex index(batches_, listing, polls_);
  for (const Seen& seen : listing.files) {  // oldest first
    if (seen.size == 0) continue;
    if (Batch* same = index.unchanged(seen)) {
      known_there = true;
      same->missing = false;
      same->device = listing.device;
      same->seen_poll = polls_;
      wait_for_turn(*same);
      continue;
    }
    const auto head = read_head(seen);
    if (!head) continue;  // gone meanwhile, or may not be read: the listing will say more, or the next poll
    Batch* batch = index.known(seen, *head);
    known_there |= batch != nullptr;
    if (batch == nullptr) {
      if (batches_.size() >= max_files) {
        ++without_room;
        continue;
      }
      batch = &batches_[next_serial_];
      batch->serial = next_serial_++;
      batch->size = seen.size;
      batch->inode = seen.inode;
    }
    batch->head.set(*head);
    batch->head.forget_bytes();
    batch->device = listing.device;
    seen_again(*batch, seen);
    wait_for_turn(*batch);
  }
  if (listing.problem.empty())
    for (auto& [serial, batch] : batches_) {
      const bool gone = batch.seen_poll != polls_;
      if (gone && !batch.missing && batch.state == Batch::State::reading && !batch.cut_off && serial != current_) {
        log::warn("{}: {} is gone before all of it was read", name_, batch.path);
        if (known_there && batch.device == listing.device) intake_.count("file_lost");  // else it may come back with its file system
      }
      batch.missing = gone;
    }
  if (without_room > 0 && !make_room(without_room))
    trouble = "more than " + std::to_string(max_files) + " files match " + where_.path() + "; the newest ones are not read before others are removed";
  problem(trouble);
  if (known_there) retire(listing.device);
}

void BatchSource::seen_again(Batch& batch, const Seen& seen) {
  const bool moved = !batch.path.empty() && batch.path != seen.path;
  const bool changed = seen.size != batch.size || seen.inode != batch.inode || (batch.modified_ns != -1 && seen.modified_ns != batch.modified_ns);
  if (changed) batch.cut_off = false;
  if ((batch.state == Batch::State::damaged && changed) || (batch.state == Batch::State::done && seen.size > batch.size)) {
    log::info("{}: {} has changed, and is read on", name_, seen.path);
    batch.state = Batch::State::reading;
  }
  batch.missing = false;
  batch.seen_poll = polls_;
  batch.path = seen.path;
  batch.inode = seen.inode;
  batch.size = seen.size;
  batch.modified_ns = seen.modified_ns;
  if (moved && (batch.offset > 0 || batch.state != Batch::State::reading)) save(batch);
}

void BatchSource::wait_for_turn(const Batch& batch) {
  if (batch.state == Batch::State::reading && !batch.cut_off && batch.serial != current_) order_.push_back(batch.serial);
}

// For so many new files, at the next poll. False: no file is missing whose position could be forgotten.
bool BatchSource::make_room(std::size_t files) {
  std::vector<std::uint64_t> missing;
  for (const auto& [serial, batch] : batches_)
    if (batch.missing && serial != current_ && missing.size() < files) missing.push_back(serial);
  for (const std::uint64_t serial : missing) forget(serial);
  return !missing.empty();
}

// Files that are gone are remembered for a while, in case they come back; the oldest go first. Where nothing that is known is there, or
// another file system is, all that is missing may come back: a mount point is empty before the mount.
void BatchSource::retire(std::uint64_t device) {
  std::vector<std::uint64_t> gone;
  for (const auto& [serial, batch] : batches_)
    if (batch.missing && (batch.device == device || batch.device == 0) && serial != current_) gone.push_back(serial);
  for (std::size_t i = 0; i + max_retired < gone.size(); ++i) forget(gone[i]);
}

void BatchSource::forget(std::uint64_t serial) {
  intake_.erase_position(batch_key(serial));
  batches_.erase(serial);
}

// --- reading ---

void BatchSource::turn_later() {
  if (turning_ || stopped_) return;
  turning_ = true;
  boost::asio::post(timer_.get_executor(), [this, alive = std::weak_ptr(alive_)] {
    if (alive.expired()) return;
    turning_ = false;
    turn();
  });
}

void BatchSource::turn() {
  if (stopped_) return;
  if (!intake_.can_accept()) {
    no_room_ = true;
    return;
  }
  if (reader_ == nullptr && !open_next()) return;
  if (reader_ != nullptr) read();
  if (!no_room_) turn_later();
}

void BatchSource::on_room() {
  no_room_ = false;
  turn_later();
}

// False: there is nothing to read now.
bool BatchSource::open_next() {
  while (!order_.empty()) {
    const auto found = batches_.find(order_.front());
    order_.pop_front();
    if (found == batches_.end()) continue;
    Batch& batch = found->second;
    Descriptor file(::open(batch.path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    const auto head = file.is_open() ? read_head(file.get()) : std::nullopt;
    if (!head || batch.head.compare(*head) != Head::Match::same) {  // the next listing sees what became of it
      if (!head) problem("cannot read " + batch.path + ": " + std::strerror(errno));
      return true;
    }
    codec::Compression compression = codec::compression_of(*head);
    if (config_.compression == config::FileSource::Compression::gzip) compression = codec::Compression::gzip;
    if (config_.compression == config::FileSource::Compression::zstd) compression = codec::Compression::zstd;
    reader_ = std::make_unique<BatchReader>(std::move(file), compression, batch.offset, config_.max_line_bytes, config_.first_line_names);
    current_ = batch.serial;
    return true;
  }
  return false;
}

void BatchSource::read() {
  Batch& batch = batches_.at(current_);
  const auto outcome = reader_->step(on_line_);
  lines_ += outcome.lines;
  no_room_ = outcome.no_room;
  if (outcome.too_long > 0) {
    intake_.count("line_too_long", outcome.too_long);
    log::warn("{}: {}: {} lines longer than max_line ({} bytes) were left out", name_, batch.path, outcome.too_long, config_.max_line_bytes);
  }
  if (reader_->offset() != batch.offset) {
    batch.offset = reader_->offset();
    save(batch);
    fault_point("file.batch");
  }
  if (outcome.end != BatchReader::End::not_yet) finish_file(outcome);
}

void BatchSource::finish_file(const BatchReader::Outcome& outcome) {
  using End = BatchReader::End;
  Batch& batch = batches_.at(current_);
  reader_.reset();
  current_ = 0;
  switch (outcome.end) {
    case End::complete:
      batch.state = Batch::State::done;
      return save(batch);
    case End::cut_off:
      intake_.count("file_cut_off");
      log::warn("{}: {} ends in the middle, after {} decompressed bytes in whole lines; it is read on when it grows (files should be renamed into place when they are complete)", name_, batch.path, batch.offset);
      batch.cut_off = true;
      return;
    case End::damaged:
    case End::shorter:
      intake_.count("file_damaged");
      log::error("{}: {}: {}; its lines up to decompressed byte {} are taken, the rest is left out until the file is replaced by another", name_, batch.path,
                    outcome.end == End::damaged ? outcome.why : "it is shorter than what was read of it before", batch.offset);
      batch.state = Batch::State::damaged;
      return save(batch);
    default:
      intake_.count("read_failed");
      problem("cannot read " + batch.path + ": " + outcome.why);
  }
}

void BatchSource::problem(const std::string& text) {
  if (text == problem_) return;
  problem_ = text;
  if (!text.empty()) log::warn("{}: {}; trying again at each poll", name_, text);
}

bool BatchSource::in_trouble() const { return !problem_.empty(); }

std::string BatchSource::state() const {
  if (!problem_.empty()) return problem_;
  std::size_t done = 0, waiting = 0, bad = 0;
  for (const auto& [serial, batch] : batches_) {
    if (batch.missing) continue;
    if (batch.cut_off || batch.state == Batch::State::damaged) ++bad;
    else ++(batch.state == Batch::State::done ? done : waiting);
  }
  if (done + waiting + bad == 0) return "waiting for " + where_.path();
  return std::to_string(done) + " files read, " + std::to_string(waiting) + " to be read, " + std::to_string(lines_) + " lines" +
         (bad == 0 ? "" : ", " + std::to_string(bad) + " files damaged or cut off");
}

std::string describe_batch_guarantee(const config::FileSource&) {
  return "exactly once from each file, which must be complete when it appears (rename it into place): its position, in decompressed bytes, is committed with its "
         "lines. A file is known by its first 1 KiB on disk and its inode or its path: renamed or restored in place it is not read again, moved to another file system under "
         "another name it is. Of files that are gone the 32 newest are remembered, all of them while the folder is empty or of another file system. One that is cut off waits for more; of a damaged one the lines before the damage is noticed are taken, the rest is not (counted). Can be lost: lines "
         "longer than max_line (counted); a file that is removed before it was read.";
}

}  // namespace rivulet::source
