#include "agent/sink/file/file_writer.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/base/fault_point.h"
#include "agent/base/log.h"
#include "agent/sink/file/rotated.h"

namespace rivulet::sink {
namespace {

constexpr std::size_t kKeptBuffer = 512 * 1024;

std::uint64_t hash_of(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace

FileWriter::FileWriter(config::FileOutput settings, store::Store& store, const Clock& clock)
    : settings_(std::move(settings)), store_(store), clock_(clock), format_(settings_) {}

FileWriter::~FileWriter() { close(); }

void FileWriter::close() {
  if (fd_ >= 0) ::close(fd_);  // with it goes the lock
  fd_ = -1;
}

Error FileWriter::failed(const std::string& what) const {
  const int why = errno;
  const bool full = why == ENOSPC || why == EDQUOT || why == EFBIG;
  return {full ? ErrorCode::full : ErrorCode::io, fmt::format("cannot {} {}: {}{}", what, settings_.path, std::strerror(why), full ? "; make room there, or set rotate with keep" : "")};
}

std::string FileWriter::state() const { return fmt::format("{} bytes in {}", position_.offset, settings_.path); }

// What is in memory may be ahead of the store after trouble, so the position is read again.
result<void> FileWriter::open() {
  close();
  const auto fact = store_.fact(position_fact(settings_.path));
  if (!fact) return fact.error();
  const auto known = *fact ? decode_position(**fact) : std::nullopt;
  if (*fact && !known) return Error{ErrorCode::corrupt, fmt::format("what the store knows of {} cannot be read; move the file away and give the output another path", settings_.path)};
  position_ = known.value_or(Position());
  torn_ = false;
  tail_.clear();
  auto done = known && position_.renaming ? finish_renaming() : result<void>();
  if (done) done = open_file();
  if (done) done = known && !position_.renaming ? go_on() : claim();
  if (done && position_.format != format_.description()) done = rotate();
  if (!done) close();
  return done;
}

result<void> FileWriter::open_file() {
  fd_ = ::open(settings_.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0640);
  if (fd_ < 0 && errno == ELOOP) return Error{ErrorCode::invalid, fmt::format("{} is a symbolic link; give the path that it points to", settings_.path)};
  if (fd_ < 0) return failed("open");
  return check_file();
}

result<void> FileWriter::check_file() {
  struct stat info {};
  if (::fstat(fd_, &info) != 0) return failed("look at");
  if (!S_ISREG(info.st_mode)) return Error{ErrorCode::invalid, fmt::format("{} is no plain file; give another path", settings_.path)};
  if (info.st_nlink > 1) return Error{ErrorCode::invalid, fmt::format("{} has another name, too (a hard link), so that others could be written through it; give another path", settings_.path)};
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) return Error{ErrorCode::conflict, fmt::format("{} is locked by another program, or another output of this one", settings_.path)};
  inode_ = info.st_ino;
  return {};
}

result<bool> FileWriter::is_ours() const {
  struct stat info {};
  if (::fstat(fd_, &info) != 0) return failed("look at");
  if (static_cast<std::uint64_t>(info.st_size) < position_.offset) return false;
  if (position_.tail_bytes == 0) return inode_ == position_.inode;
  std::string tail(position_.tail_bytes, '\0');
  const auto got = ::pread(fd_, tail.data(), tail.size(), static_cast<off_t>(position_.offset - tail.size()));
  if (got < 0) return failed("read");
  return static_cast<std::size_t>(got) == tail.size() && hash_of(tail) == position_.tail_hash;
}

result<void> FileWriter::go_on() {
  const auto ours = is_ours();
  if (!ours) return ours.error();
  struct stat info {};
  if (::fstat(fd_, &info) != 0) return failed("look at");
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (!*ours) {
    if (size == 0) log::info("sink: {} was moved away or emptied; a new file begins", settings_.path);
    else log::warn("sink: {} is not the file that was written before (it was replaced or changed by others)", settings_.path);
    return claim();
  }
  if (size > position_.offset && !broken_on_purpose("sink.no_truncate")) {
    if (::ftruncate(fd_, static_cast<off_t>(position_.offset)) != 0) return failed("cut");
    log::info("sink: {}: {} bytes of records that were not yet acknowledged are cut away and written again", settings_.path, size - position_.offset);
  }
  if (broken_on_purpose("sink.no_truncate")) position_.offset = size;  // the negative control
  position_.inode = inode_;
  tail_.resize(position_.tail_bytes);
  const auto got = ::pread(fd_, tail_.data(), tail_.size(), static_cast<off_t>(position_.offset - tail_.size()));
  if (got != static_cast<ssize_t>(tail_.size())) return failed("read");
  torn_ = !tail_.empty() && tail_.back() != '\n';  // what was claimed; ours end where a line does
  return {};
}

// What is there stays as it is, and ours goes behind it; unless it is no text, or CSV with other columns.
result<void> FileWriter::claim() {
  struct stat info {};
  if (::fstat(fd_, &info) != 0) return failed("look at");
  const std::string header = format_.header();
  const auto numbers = rotated_numbers(settings_.path);
  if (!numbers) return numbers.error();
  position_.offset = static_cast<std::uint64_t>(info.st_size);
  position_.inode = inode_;
  position_.begun_ms = clock_.wall_ms();
  position_.number = std::max(position_.number, numbers->empty() ? 0 : numbers->back());
  position_.renaming = false;
  position_.format = format_.description();
  tail_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kTailBytes, position_.offset)));
  if (::pread(fd_, tail_.data(), tail_.size(), static_cast<off_t>(position_.offset - tail_.size())) != static_cast<ssize_t>(tail_.size())) return failed("read");
  if (tail_.find('\0') != std::string::npos) return Error{ErrorCode::invalid, fmt::format("{} is there already and holds no text; move it away or give another path", settings_.path)};
  torn_ = !tail_.empty() && tail_.back() != '\n';
  if (!header.empty() && position_.offset > 0) {
    std::string first(header.size(), '\0');
    const auto got = ::pread(fd_, first.data(), first.size(), 0);
    if (got < 0) return failed("read");
    if (first != header) position_.format.clear();  // open() has it renamed
  }
  if (position_.offset > 0) log::warn("sink: {} is there already with {} bytes that this store knows nothing of; records go on {}", settings_.path, position_.offset,
                                         position_.format.empty() ? "in a new file, because its columns are others" : "behind them");
  if (auto done = sync_folder(settings_.path); !done) return done;
  return keep_position();
}

bool FileWriter::due() const {
  if (position_.offset == 0) return false;
  if (settings_.rotate_bytes > 0 && position_.offset >= settings_.rotate_bytes) return true;
  const std::int64_t age_ms = clock_.wall_ms() - position_.begun_ms;
  return settings_.rotate_ms > 0 && age_ms >= settings_.rotate_ms;
}

result<void> FileWriter::make_ready() {
  struct stat here {}, there {};
  if (::fstat(fd_, &here) != 0) return failed("look at");
  const bool moved = ::lstat(settings_.path.c_str(), &there) != 0 || there.st_ino != here.st_ino || there.st_dev != here.st_dev;
  if (moved || static_cast<std::uint64_t>(here.st_size) != position_.offset)
    if (auto again = open(); !again) return again;
  return due() ? rotate() : result<void>();
}

void FileWriter::advance(const std::string& written) {
  position_.offset += written.size();
  tail_.append(written, written.size() - std::min(written.size(), kTailBytes));
  if (tail_.size() > kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
  torn_ = false;
}

result<void> FileWriter::write(const std::string& bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const auto count = ::pwrite(fd_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(position_.offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return failed("write");
    done += static_cast<std::size_t>(count);
  }
  if (::fdatasync(fd_) != 0) return failed("make durable what is written to");
  return {};
}

Delivery FileWriter::deliver(const Stretch& stretch, const std::atomic<bool>&) {
  Delivery delivery;
  if (auto ready = make_ready(); !ready) {
    delivery.trouble = ready.error();
    return delivery;
  }
  buffer_.clear();
  if (torn_) buffer_ += '\n';
  if (position_.offset == 0) buffer_ += format_.header();
  const auto full = [&] { return settings_.rotate_bytes > 0 && position_.offset + buffer_.size() >= settings_.rotate_bytes; };
  for (const store::Pack& pack : stretch.packs) {
    if (pack.gap) delivery.up_to = pack.last;
    for (std::size_t i = 0; i < pack.records.size() && (delivery.records == 0 || !full()); ++i) {
      format_.append(buffer_, pack.records[i]);
      ++delivery.records;
      delivery.up_to = pack.first + i;
    }
    if (delivery.up_to < pack.last) break;
  }
  delivery.bytes = buffer_.size();
  if (delivery.records > 0) {
    fault_point("sink.write");
    if (auto written = write(buffer_); !written) {
      delivery = {};
      delivery.trouble = written.error();
      return delivery;
    }
    advance(buffer_);
    fault_point("sink.written");
  }
  position_.tail_bytes = static_cast<std::uint32_t>(tail_.size());
  position_.tail_hash = hash_of(tail_);
  delivery.facts.emplace_back(position_fact(settings_.path), encode(position_));
  if (buffer_.capacity() > kKeptBuffer) buffer_ = std::string();
  return delivery;
}

result<void> FileWriter::keep_position() {
  position_.tail_bytes = static_cast<std::uint32_t>(tail_.size());
  position_.tail_hash = hash_of(tail_);
  store::ForwardChange change;
  change.facts.emplace_back(position_fact(settings_.path), encode(position_));
  return store_.change(std::move(change));
}

}  // namespace rivulet::sink
