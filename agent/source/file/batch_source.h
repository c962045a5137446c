// BatchSource: files that are complete when they appear (`compression:` gzip, zstd or auto), each read once from its beginning to its end.
//
// One file at a time, the oldest first. A position row for each file (batch.h) says how far, and that it is done; it is forgotten with the file.
// A file is known by its first bytes on disk and its inode or its path; one that grew is read on, in decompressed bytes.
// One that is damaged is left where the damage was found, and reported; one that ends in the middle waits for more. Neither keeps others from being read.
// Bounds: max_files, one reader (batch.h), max_retired positions of files that are gone (max_files while the folder is not the one that they were
// in: empty, or of another file system). Thread: io. Lifetime: the io_context and the Intake outlive it.
// Counts: line_too_long, file_damaged, file_cut_off, file_lost, read_failed.
#pragma once
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "agent/config/source.h"
#include "agent/source/file/batch.h"
#include "agent/source/file/listing.h"
#include "agent/source/file/poll_pace.h"
#include "agent/source/source.h"

namespace rivulet::source {

class BatchSource final : public Source {
 public:
  static constexpr std::size_t max_files = 10'000;
  static constexpr std::size_t max_retired = 32;

  BatchSource(boost::asio::io_context& io, config::FileSource config, std::string name, Intake& intake);

  void start() override;
  void stop() override;
  void on_durable(EpochNumber) override {}
  void on_room() override;
  std::string state() const override;
  bool in_trouble() const override;

 private:
  void load();
  void arm();
  void poll();
  void scan();
  void wait_for_turn(const Batch& batch);
  void seen_again(Batch& batch, const Seen& seen);
  bool make_room(std::size_t files);
  void retire(std::uint64_t device);
  void forget(std::uint64_t serial);
  void turn_later();
  void turn();
  bool open_next();
  void read();
  void finish_file(const BatchReader::Outcome& outcome);
  void save(const Batch& batch) { intake_.set_position(batch_key(batch.serial), batch.position()); }
  void problem(const std::string& text);

  const config::FileSource config_;
  const std::string name_;
  Intake& intake_;
  Where where_;
  PollPace pace_;
  boost::asio::steady_timer timer_;
  std::map<std::uint64_t, Batch> batches_;
  std::deque<std::uint64_t> order_;  // serials of what is to be read before the next listing, the oldest file first
  std::unique_ptr<BatchReader> reader_;
  std::uint64_t current_ = 0;  // serial of what reader_ reads; 0: none
  BatchReader::OnLine on_line_;
  std::uint64_t next_serial_ = 1, polls_ = 0, lines_ = 0;
  std::string problem_;
  bool turning_ = false, no_room_ = false, stopped_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

std::string describe_batch_guarantee(const config::FileSource& config);

}  // namespace rivulet::source
