// Room: what the store takes on the disk: pages in use, the log and its checkpoints, the ballast, giving pages back.
//
// Ballast: a file that is given back to a disk that others filled, so that a checkpoint finds the pages that it must write
// before any can be freed. It is for checkpoints and for what makes room, never for growth by epochs: while it is gone, epochs may
// fill free pages of the file but not make it grow, or its room would be used up by what came in and the store be wedged for good.
// The order is: checkpoint, else ballast and checkpoint, delete in small batches, checkpoint (delete first wedged on ext4).
// Thread: store. Lifetime: within its Connection; stays where it is (SQLite keeps its address). Errors: want of room is not an error of
// checkpoint() or shrink(), an I/O error is.
#pragma once
#include <cstdint>
#include <string>

#include "store/limits.h"
#include "store/sqlite.h"

namespace rivulet::store {

class Room {
 public:
  Room(Connection& connection, std::string directory, const Limits& limits);
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;

  result<void> prepare();  // once: listens to the log's size, makes the ballast
  const Limits& limits() const { return limits_; }
  void set_limits(const Limits& limits);  // from now on; a file that is larger shrinks as it is emptied

  result<void> measure();  // after a commit
  std::uint64_t used_bytes() const { return used_bytes_; }
  std::uint64_t free_bytes() const { return free_bytes_; }  // in the file

  result<void> checkpoint_if_due();
  result<void> checkpoint();

  // Sets how far the file may grow: for epochs, or for the forwarder's changes (the emergency pages above the cap).
  result<void> allow_growth(bool emergency);
  // Pages in use above which nothing new is taken in.
  std::uint64_t outbox_max_bytes() const;

  bool release_ballast();  // true: there was one
  bool restore_ballast();  // if it is missing and the disk has twice its size free; true: it is there
  bool has_ballast() const { return has_ballast_; }

  bool wants_shrink() const;  // more than half of a file of some size is free pages
  result<void> shrink();      // one small step

 private:
  Connection& connection_;
  std::string ballast_;
  std::string directory_;
  Limits limits_;
  Statement page_count_, free_count_;
  int log_pages_ = 0;       // set by SQLite after each commit
  int checkpoint_at_ = 0;   // pages; moves up while a reader holds the log
  std::uint64_t used_bytes_ = 0, free_bytes_ = 0;
  std::uint64_t above_bytes_ = 0;  // the file when these limits came, less as it shrinks: more than the cap when they were lowered
  std::uint64_t allowed_pages_ = 0;
  bool has_ballast_ = false;
};

}  // namespace rivulet::store
