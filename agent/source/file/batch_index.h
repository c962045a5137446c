// BatchIndex: which of the known batches a listed file is, found without a look at all of them. Built once a listing.
//
// A file keeps its inode when it is renamed, and its path when it is restored or the file system numbers anew. Pure but for reading heads.
// Thread: any. Lifetime: the batches and the listing outlive it; a batch whose seen_poll is `poll` is taken, and no other file is it.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "agent/source/file/batch.h"
#include "agent/source/file/listing.h"

namespace rivulet::source {

class BatchIndex {
 public:
  BatchIndex(std::map<std::uint64_t, Batch>& batches, const Listing& listing, std::uint64_t poll);

  Batch* unchanged(const Seen& seen) const;                       // none: it has to be looked at
  Batch* known(const Seen& seen, const std::string& head) const;  // none: it is new

 private:
  template <class T>
  using Sorted = std::vector<std::pair<std::uint64_t, T*>>;
  bool renamed(const Batch& batch) const;

  const std::uint64_t poll_;
  Sorted<Batch> by_inode_, by_path_;  // by_path_: its hash; of one key in the order of serials
  Sorted<const Seen> listed_;         // by inode
};

}  // namespace rivulet::source
