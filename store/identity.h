// The file `identity` beside the store: every incarnation this agent's store ever had, oldest first, one UUID a line.
//
// It lets the successor of a set-aside store adopt its predecessor. Written whole: temporary file, fsync, rename, fsync of the folder.
#pragma once
#include <string>
#include <vector>

#include "agent/base/ids.h"
#include "agent/base/result.h"

namespace rivulet::store {

class IdentityFile {
 public:
  explicit IdentityFile(std::string directory) : directory_(std::move(directory)) {}
  result<void> read();  // an absent file is an empty history; lines that are no UUID are passed over
  result<void> add(const Uuid& incarnation);  // durable when it returns; nothing happens when it is there
  // Older ones only: a store that was put back from a backup must not take its successors for its past.
  std::vector<Uuid> before(const Uuid& incarnation) const;

 private:
  std::string directory_;
  std::vector<Uuid> known_;
};

}  // namespace rivulet::store
