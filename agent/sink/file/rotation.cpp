// FileWriter's part in rotation: intention stored, renamed, a new file begun.
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "agent/base/fault_point.h"
#include "agent/base/log.h"
#include "agent/sink/file/file_writer.h"
#include "agent/sink/file/rotated.h"

namespace rivulet::sink {

// The file with the position's inode gets the position's number, unless that happened already.
result<void> FileWriter::finish_renaming() {
  const std::string target = rotated_name(settings_.path, position_.number);
  struct stat here {}, there {};
  const bool is_here = ::lstat(settings_.path.c_str(), &here) == 0 && here.st_ino == position_.inode;
  const bool is_there = ::lstat(target.c_str(), &there) == 0;
  if (is_here && is_there) return Error{ErrorCode::conflict, fmt::format("{} is to be renamed to {}, which somebody made meanwhile; move that away", settings_.path, target)};
  if (is_here && ::rename(settings_.path.c_str(), target.c_str()) != 0) return failed("rename");
  fault_point("sink.renamed");
  position_.offset = 0;
  position_.format.clear();
  return sync_folder(settings_.path);
}

result<void> FileWriter::rotate() {
  const auto numbers = rotated_numbers(settings_.path);
  if (!numbers) return numbers.error();
  if (position_.offset > 0) {
    position_.number = std::max(position_.number, numbers->empty() ? 0 : numbers->back()) + 1;
    position_.renaming = true;
    position_.inode = inode_;
    if (auto kept = keep_position(); !kept) return kept;  // also what rides: all that is in the file is acknowledged
    fault_point("sink.renaming");
    if (auto renamed = finish_renaming(); !renamed) return renamed;
    log::info("sink: {} was renamed to {}", settings_.path, rotated_name(settings_.path, position_.number));
    close();
    if (auto opened = open_file(); !opened) return opened;
  }
  if (auto claimed = claim(); !claimed) return claimed;
  return prune();
}

result<void> FileWriter::prune() {
  if (settings_.keep == 0) return {};
  const auto gone = remove_rotated(settings_.path, settings_.keep);
  if (!gone) return gone.error();
  if (*gone > 0) log::info("sink: {}: {} rotated files beyond the {} that are kept were deleted", settings_.path, *gone, settings_.keep);
  return {};
}

}  // namespace rivulet::sink
