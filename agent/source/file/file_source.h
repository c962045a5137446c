// FileSource: follows a file, or the files of a glob, over rotation, truncation, restarts and reboots.
//
// Each file that is read is a Tail with a position row of its own (tail.h). A poll looks at the open files and at the folder's
// time; when a name, an inode or a size does not fit any more, the folder is listed and matched anew (matching.h). What was
// renamed is finished before its successor is begun. A line counts when its newline is there.
// Bounds: max_tails files and 2 KiB for each, max_open descriptors, max_retired positions of files that are rotated away or gone (max_tails while the
// folder is not the one that they were in: empty, or of another file system), one line buffer. One chunk of one file a turn, round robin, so that a large file starves nobody. Thread: io. Lifetime: the io_context
// and the Intake outlive it. Counts: line_too_long, tail_lost, truncated, bytes_lost, hole_bytes, read_failed, compressed_lost.
#pragma once
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <string>

#include "agent/config/source.h"
#include "agent/source/file/batch.h"
#include "agent/source/file/listing.h"
#include "agent/source/file/matching.h"
#include "agent/source/file/tail.h"
#include "agent/source/first_line.h"
#include "agent/source/file/poll_pace.h"
#include "agent/source/source.h"

namespace rivulet::source {

class FileSource final : public Source {
 public:
  static constexpr std::size_t max_tails = 4096;
  static constexpr std::size_t max_open = 64;
  static constexpr std::size_t max_retired = 32;

  FileSource(boost::asio::io_context& io, config::FileSource config, std::string name, Intake& intake);

  void start() override;
  void stop() override;
  void on_durable(EpochNumber) override {}
  void on_room() override;
  std::string state() const override;
  bool in_trouble() const override;

 private:
  using Tails = std::map<std::uint64_t, std::unique_ptr<Tail>>;

  void load();
  void arm();
  void poll();
  bool look_at(Tail& tail);  // true: the folder has to be listed
  void scan();
  void apply(const Matching::Pair& pair);
  void lose(Tail& tail, const Listing& listing);
  bool go_on_packed(Tail& tail, const Listing& listing);  // packed.cpp
  void read_packed(Tail& tail);
  void begin(const Seen& seen, const std::string& origin);
  struct Newest {
    std::string origin;
    std::int64_t modified_ns;
    std::uint64_t number;  // of app.log.1: of files of one time the higher number is the older one
  };
  void begin_unseen(const Newest& newest, const Listing& listing);  // packed.cpp
  std::string origin_of(const Seen& seen, const Listing& listing) const;
  bool maybe_copy(const Seen& seen);
  void start_at_end(Tail& tail);
  bool folder_is_same(const Tail& tail) const { return known_there_ && (tail.device == device_ || tail.device == 0); }  // as when it was seen: what is missing is gone
  void tail_lost(Tail& tail, const Seen& seen);
  void forget(std::uint64_t serial);
  bool make_room();
  void retire();

  void turn_later();
  void turn();
  Tail* next();
  bool blocked(const Tail& tail) const;
  bool readable(const Tail& tail) const;
  bool open(Tail& tail);
  void read(Tail& tail);
  void save(Tail& tail);
  void failed(Tail& tail, std::string why);
  bool moved(Tail& tail);
  void folder_problem(const std::string& text);
  static std::string started_key() { return "started"; }  // position of a source with `start: end` that has started once

  config::FileSource config_;
  std::string name_;
  Intake& intake_;
  Where where_;
  LineReader reader_;
  LineReader::OnLine on_line_;
  PollPace pace_;
  boost::asio::steady_timer timer_;
  Tails tails_;
  std::map<std::string, std::uint64_t> newest_;  // origin -> serial of its newest tail
  std::map<std::uint64_t, std::uint64_t> held_;  // inode of a file that may be a copy -> poll from which it is read
  const Tail* reading_ = nullptr;
  std::optional<FirstLineOfFile> names_;  // of the tail that is being read, with first_line_names
  std::uint64_t next_serial_ = 1;
  std::uint64_t polls_ = 0;
  std::uint64_t turns_ = 0;
  std::uint64_t last_served_ = 0;  // serial
  std::int64_t folder_modified_ns_ = -2;
  std::uint64_t device_ = 0;  // of the folder, when it was listed last
  bool known_there_ = false;  // and whether a file of tails_ was there
  std::uint64_t lines_ = 0;
  std::string problem_;
  bool first_start_ = false;  // no position of this source is known: `start: end` holds for what is found now
  bool first_scan_ = true;
  bool scan_wanted_ = true;
  bool turning_ = false;
  bool no_room_ = false;
  bool stopped_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

std::string describe_guarantee(const config::FileSource& config);

}  // namespace rivulet::source
