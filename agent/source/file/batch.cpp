#include "agent/source/file/batch.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/base/words.h"

namespace rivulet::source {
std::string Batch::position() const { return fmt::format("1 {} {} {} {} {} {}", static_cast<char>(state), offset, size, inode, head.text(), path); }

std::string batch_key(std::uint64_t serial) { return std::string(batch_prefix) + std::to_string(serial); }

std::optional<Batch> parse_batch(std::string_view key, std::string_view value) {
  if (!key.starts_with(batch_prefix)) return {};
  Batch batch;
  if (!whole_number(key.substr(batch_prefix.size()), batch.serial) || next_word(value) != "1") return {};
  const std::string_view state = next_word(value);
  if (state != "r" && state != "d" && state != "x") return {};
  batch.state = static_cast<Batch::State>(state.front());
  if (!whole_number(next_word(value), batch.offset) || !whole_number(next_word(value), batch.size) || !whole_number(next_word(value), batch.inode)) return {};
  const auto head = Head::parse(next_word(value));
  if (!head || value.empty()) return {};
  batch.head = *head;
  batch.path = value;
  return batch;
}

BatchReader::BatchReader(Descriptor file, codec::Compression compression, std::uint64_t offset, std::uint64_t max_line_bytes, bool first_line_names)
    : file_(std::move(file)), compressed_(compression != codec::Compression::none), decompressor_(codec::Decompressor::make(compression)), offset_(offset), first_line_(first_line_names),
      passed_(Framer::Kind::newline, FirstLine::max_bytes), framer_(Framer::Kind::newline, max_line_bytes, Framer::TooLong::skip), names_wanted_(first_line_names) {}

BatchReader::Outcome BatchReader::step(const OnLine& on_line) {
  Outcome outcome;
  const auto each = [&](std::string_view line) { return take(line, on_line, outcome); };
  if (held_) {
    held_ = framer_.resume(each) == Framer::Status::stopped;
    settle(outcome);
    if (held_) return outcome;
  }
  if (waiting_.empty() && !at_end_) {
    const auto got = ::pread(file_.get(), in_.data(), in_.size(), static_cast<off_t>(read_bytes_));
    if (got < 0) {
      outcome.end = End::unreadable;
      outcome.why = std::strerror(errno);
      return outcome;
    }
    at_end_ = got == 0;
    read_bytes_ += static_cast<std::uint64_t>(got);
    waiting_ = {in_.data(), static_cast<std::size_t>(got)};
  }
  const auto made = decompressor_->run(waiting_, out_);
  if (!made) {
    outcome.end = End::damaged;
    outcome.why = made.error().message;
    return outcome;
  }
  waiting_.remove_prefix(made->used);
  if (made->made > 0) hand_over({out_.data(), made->made}, on_line, outcome);
  else if (at_end_ && waiting_.empty()) end(on_line, outcome);
  return outcome;
}

void BatchReader::hand_over(std::string_view bytes, const OnLine& on_line, Outcome& outcome) {
  if (made_bytes_ < offset_) {
    const std::string_view before = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), offset_ - made_bytes_)));
    made_bytes_ += before.size();
    bytes.remove_prefix(before.size());
    if (names_wanted_ && !first_line_.text()) {
      const auto found = passed_.feed(before, [&](std::string_view line) {
        first_line_.takes(line);
        return first_line_.text() ? Framer::Verdict::taken_and_stop : Framer::Verdict::taken;
      });
      if (found == Framer::Status::too_long) first_line_.missed();
    }
    if (bytes.empty()) return;
  }
  made_bytes_ += bytes.size();
  held_ = framer_.feed(bytes, [&](std::string_view line) { return take(line, on_line, outcome); }) == Framer::Status::stopped;
  settle(outcome);
}

Framer::Verdict BatchReader::take(std::string_view line, const OnLine& on_line, Outcome& outcome) {
  if (const auto skipped = framer_.take_skipped(); skipped > 0) {
    outcome.too_long += skipped;
    first_line_.missed();
  }
  if (first_line_.takes(line)) return Framer::Verdict::taken;
  if (!on_line(line, first_line_.text())) {
    outcome.no_room = true;
    return Framer::Verdict::refused;
  }
  ++outcome.lines;
  return Framer::Verdict::taken;
}

// Where the last line that was taken or left out ends.
void BatchReader::settle(Outcome& outcome) {
  if (const auto skipped = framer_.take_skipped(); skipped > 0) {
    outcome.too_long += skipped;
    first_line_.missed();
  }
  offset_ = made_bytes_ - framer_.unfinished_bytes();
}

void BatchReader::end(const OnLine& on_line, Outcome& outcome) {
  if (!decompressor_->at_end()) {
    outcome.end = End::cut_off;
    return;
  }
  if (made_bytes_ < offset_) {
    outcome.end = End::shorter;
    return;
  }
  // Its checksum was right, so this is the last line, although no newline ends it. Of a file that is not compressed nobody can tell.
  if (compressed_ && framer_.skipping()) {
    ++outcome.too_long;
    offset_ = made_bytes_;
  } else if (compressed_ && !framer_.rest().empty()) {
    std::string_view line = framer_.rest();
    if (line.back() == '\r') line.remove_suffix(1);
    if (take(line, on_line, outcome) == Framer::Verdict::refused) return;  // comes here again
    offset_ = made_bytes_;
  }
  outcome.end = End::complete;
}

}  // namespace rivulet::source
