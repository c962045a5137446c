// FileWriter: records into a file that grows, exactly once, also after a crash.
//
// A stretch is written behind what is there and made durable (fdatasync), then acknowledged in the store together with the position
// (position.h): until then the store has the records, and what a crash left behind the position is cut away by open(). So at most one
// fdatasync an epoch and stream, and no record is in neither place.
// Rotation: the intention is stored, then x.json is renamed to x.000001.json and a new file begun; another format begins a new file, too.
// A file that was moved away (by logrotate, say) is left, and a new one begun at its path.
// The file must be a plain one with one name, no symbolic link, and locked by nobody (flock): nobody else may write it.
// Thread, lifetime, bounds, errors: writer.h. Its folder must be on a local disk; the guarantee is the disk's that fdatasync is true.
#pragma once
#include <memory>
#include <string>

#include "agent/base/clock.h"
#include "agent/config/output.h"
#include "agent/sink/file/position.h"
#include "agent/sink/format.h"
#include "agent/sink/writer.h"

namespace rivulet::sink {

class FileWriter final : public Writer {
 public:
  FileWriter(config::FileOutput settings, store::Store& store, const Clock& clock);
  ~FileWriter() override;
  bool ready() const override { return fd_ >= 0; }
  result<void> open() override;
  Delivery deliver(const Stretch& stretch, const std::atomic<bool>& stop) override;
  void close() override;
  std::string state() const override;

 private:
  result<void> open_file();
  result<void> check_file();
  result<void> go_on();         // at the stored position
  result<void> claim();         // a file that the store knows nothing of
  result<bool> is_ours() const;  // what lies before the position is what was written
  result<void> finish_renaming();
  result<void> rotate();
  result<void> prune();
  result<void> keep_position();  // durable
  result<void> make_ready();     // before a stretch: still the file at the path, and not due to be rotated
  bool due() const;
  result<void> write(const std::string& bytes);
  void advance(const std::string& written);
  Error failed(const std::string& what) const;

  const config::FileOutput settings_;
  store::Store& store_;
  const Clock& clock_;
  Format format_;
  int fd_ = -1;
  std::uint64_t inode_ = 0;
  Position position_;
  std::string tail_;    // the file's last bytes before the position
  std::string buffer_;  // reused
  bool torn_ = false;   // a line that somebody left without its end comes before ours
};

}  // namespace rivulet::sink
