// Matching: which file of a folder is which tail, after anything may have happened to names, inodes and sizes.
//
// Newer tails choose first (an inode that was used again belongs to the newer one), in this order:
//   1. same path, same inode, same head;
//   2. same inode under another name, same head: it was renamed. Shorter only with 64 bytes in common: a new file may have a deleted one's inode;
//   3. same path, another inode, same head: reboot, restored file, editor. Shorter only with 64 bytes in common;
//   4. any other file with the same head that is as long as the position and has a line end there: renamed or copied before
//      it was truncated, or moved over a file system that numbers anew. Where one of 1 to 3 fits but is shorter than the position, such a copy goes first.
// A file that cannot be read but has the tail's inode keeps it. Pure but for reading heads. Thread: any.
#pragma once
#include <vector>

#include "agent/source/file/listing.h"
#include "agent/source/file/tail.h"

namespace rivulet::source {

struct Matching {
  struct Pair {
    Tail* tail;
    const Seen* seen;
    bool shorter;  // the file ends before the position: its tail was lost
  };
  std::vector<Pair> pairs;
  std::vector<Tail*> lost;         // tails without a file
  std::vector<const Seen*> fresh;  // wanted files without a tail
};

Matching match(const std::vector<Tail*>& tails, const Listing& listing);

}  // namespace rivulet::source
