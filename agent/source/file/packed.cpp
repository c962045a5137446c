// FileSource and log rotation that compresses: a file that was compressed while nobody held it open is read on in there.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "agent/base/log.h"
#include "agent/source/file/file_source.h"

namespace rivulet::source {
namespace {

constexpr std::size_t telling_bytes = 16;
constexpr std::size_t max_looked_into = 64;  // of an origin, and so many are held open; a year of weeks, two months of days

// What a compressed file begins with, decompressed: min(size, 1 KiB) bytes; nothing when it cannot be told.
std::optional<std::string> packed_head(int file, codec::Compression compression) {
  const auto decompressor = codec::Decompressor::make(compression);
  std::string in(Head::max_bytes * 16, '\0'), head(Head::max_bytes, '\0');
  std::size_t made = 0;
  for (off_t at = 0; made < head.size();) {
    const auto got = ::pread(file, in.data(), in.size(), at);
    if (got <= 0) break;
    at += got;
    std::string_view left(in.data(), static_cast<std::size_t>(got));
    for (;;) {
      const auto step = decompressor->run(left, std::span(head).subspan(made));
      if (!step) return {};
      made += step->made;
      left.remove_prefix(step->used);
      if (made == head.size() || (left.empty() && step->made == 0)) break;
    }
  }
  head.resize(made);
  return head;
}

struct Packed {
  const Seen* seen = nullptr;
  Descriptor file;
  codec::Compression compression = codec::Compression::none;
  std::string head;
};

std::optional<Packed> look_into(const Seen& seen) {
  Packed packed;
  packed.seen = &seen;
  packed.file = Descriptor(::open(seen.path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!packed.file.is_open()) return {};
  const auto first = read_head(packed.file.get());
  packed.compression = first ? codec::compression_of(*first) : codec::Compression::none;
  if (packed.compression == codec::Compression::none) return {};
  auto head = packed_head(packed.file.get(), packed.compression);
  if (!head) return {};
  packed.head = std::move(*head);
  return packed;
}

// Whether it says of itself that it holds so many bytes, which makes it needless to decompress them all.
bool says_it_holds(const Packed& packed, std::uint64_t bytes) {
  const auto first = read_head(packed.file.get());
  char last[4];
  if (!first || packed.seen->size < sizeof last || ::pread(packed.file.get(), last, sizeof last, static_cast<off_t>(packed.seen->size - sizeof last)) != sizeof last) return false;
  return codec::states_size(packed.compression, *first, {last, sizeof last}, bytes);
}

}  // namespace

// True: the lost file is there in compressed form, and `tail` goes on in it, or was read to its end.
bool FileSource::go_on_packed(Tail& tail, const Listing& listing) {
  if (tail.missing || tail.packed || tail.file.is_open() || tail.head.length() < telling_bytes) return false;
  std::vector<const Seen*> looked_into;  // oldest first
  for (const Seen& seen : listing.files)
    if (const auto plain = without_compressed_suffix(seen.path); plain && (*plain == tail.path || seen.path == tail.path || rotated(*plain).base == tail.origin)) looked_into.push_back(&seen);
  if (looked_into.size() > max_looked_into) looked_into.erase(looked_into.begin(), looked_into.end() - max_looked_into);
  std::optional<Packed> found;
  for (auto seen = looked_into.rbegin(); seen != looked_into.rend() && !found; ++seen) {
    auto packed = look_into(**seen);
    if (packed && tail.head.compare(packed->head) == Head::Match::same) found = std::move(packed);
  }
  if (!found) return false;
  tail.compressed = true;
  tail.modified_ns = found->seen->modified_ns;
  if (says_it_holds(*found, tail.offset)) {
    tail.missing = true;
  } else {
    log::info("{}: {} was compressed to {}; what follows byte {} is read there", name_, tail.path, found->seen->path, tail.offset);
    tail.path = found->seen->path;
    tail.inode = found->seen->inode;
    tail.packed = std::make_shared<PackedFile>(PackedFile{std::move(found->file), found->compression, nullptr});
  }
  begin_unseen({tail.origin, tail.modified_ns, rotated(*without_compressed_suffix(found->seen->path)).number}, listing);
  return true;
}

// What was written under that name after the newest file that we know, and then renamed, perhaps compressed, since the last look. Oldest first.
void FileSource::begin_unseen(const Newest& newest, const Listing& listing) {
  for (const Seen& seen : listing.files) {
    const auto plain = without_compressed_suffix(seen.path);
    const Rotated name = rotated(plain ? *plain : std::string_view(seen.path));
    if (name.base != newest.origin || (!plain && !seen.rotated_name)) continue;  // of a glob, plain files are found anyway
    if (seen.modified_ns < newest.modified_ns || (seen.modified_ns == newest.modified_ns && name.number >= newest.number)) continue;
    if (!plain) {
      const bool known = std::any_of(tails_.begin(), tails_.end(), [&](const auto& entry) { return entry.second->inode == seen.inode && entry.second->path == seen.path && !entry.second->missing; });
      if (known) continue;
      log::info("{}: {} was written and renamed unseen; it is read from its beginning", name_, seen.path);
      begin(seen, newest.origin);
      continue;
    }
    auto packed = look_into(seen);
    if (!packed) continue;
    const bool known = std::any_of(tails_.begin(), tails_.end(), [&](const auto& entry) {
      const Tail& other = *entry.second;
      return (other.packed && other.inode == seen.inode) || (other.head.length() >= telling_bytes && other.head.compare(packed->head) == Head::Match::same);
    });
    if (known || packed->head.empty()) continue;
    log::info("{}: {} was written, renamed and compressed unseen; it is read from its beginning", name_, seen.path);
    begin(seen, newest.origin);
    Tail& fresh = *tails_.rbegin()->second;
    fresh.wanted = false;
    fresh.compressed = true;
    fresh.packed_head = packed->head;
    fresh.packed = std::make_shared<PackedFile>(PackedFile{std::move(packed->file), packed->compression, nullptr});
  }
}

void FileSource::read_packed(Tail& tail) {
  auto& reader = tail.packed->reader;
  if (reader == nullptr) reader = std::make_unique<BatchReader>(std::move(tail.packed->file), tail.packed->compression, tail.offset, config_.max_line_bytes, config_.first_line_names);
  const auto outcome = reader->step([&](std::string_view line, const std::optional<std::string_view>& first_line) {
    if (!intake_.can_accept()) return false;
    Frame frame{line, tail.path};
    frame.first_line = first_line;
    intake_.accept(frame);
    return true;
  });
  lines_ += outcome.lines;
  no_room_ = outcome.no_room;
  if (outcome.too_long > 0) intake_.count("line_too_long", outcome.too_long);
  if (reader->offset() != tail.offset) {
    tail.offset = tail.searched_to = tail.size = reader->offset();
    if (tail.head.length() == 0 || (!tail.packed_head.empty() && tail.head.length() < tail.packed_head.size()))
      tail.head.set(std::string_view(tail.packed_head).substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(tail.offset, Head::max_bytes))));
    save(tail);
  }
  if (outcome.end == BatchReader::End::not_yet) return;
  if (outcome.end != BatchReader::End::complete) {
    intake_.count("compressed_lost");
    log::warn("{}: the compressed form of {} cannot be read after decompressed byte {}{}{}; what follows is lost", name_, tail.path, tail.offset, outcome.why.empty() ? "" : ": ", outcome.why);
  }
  tail.packed.reset();
  tail.packed_head.clear();
  tail.head.forget_bytes();
  tail.missing = true;
  if (tail.offset == 0) forget(tail.serial);
}

}  // namespace rivulet::source
