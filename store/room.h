// Room: what the store takes on the disk: pages in use, the log and its checkpoints, the ballast, giving pages back.
//
// Ballast: a file that is given back to a disk that others filled, so that a checkpoint and a trim find the pages that they need
// to write before they can free any. The order is: ballast, checkpoint, delete in small batches, checkpoint (delete first
// wedged for good on ext4).
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

  result<void> measure();  // after a commit
  std::uint64_t used_bytes() const { return used_bytes_; }

  result<void> checkpoint_if_due();
  result<void> checkpoint();

  // The forwarder's changes may use the emergency pages above the cap.
  result<void> open_emergency(bool open);

  bool release_ballast();  // true: there was one
  void restore_ballast();  // if it is missing and the disk has four times its size free

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
  bool emergency_open_ = false;
};

}  // namespace rivulet::store
