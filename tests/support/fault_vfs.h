// FaultDisk: a disk below SQLite that a test can fill, make fail, and cut the power of.
//
// An SQLite VFS over the default one. It remembers for each database file and log what was synced and every write after that.
// A power cut keeps the synced content and, of the writes after it, any subset of their 512-byte sectors: what a disk with a volatile
// cache may do. Survivable for a store: every fault here. Not modelled: a disk that lies about syncs (it is the negative
// control of the tests: synchronous=OFF), lost directory entries.
// Thread: any. Lifetime: outlives every connection that was opened through it.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

namespace rivulet::test {

class FaultDisk {
 public:
  explicit FaultDisk(std::string name);  // name: for store::Options::vfs
  ~FaultDisk();
  FaultDisk(const FaultDisk&) = delete;
  FaultDisk& operator=(const FaultDisk&) = delete;

  const std::string& name() const;

  void set_full(bool full);            // files cannot grow; what lies within them can be written
  void set_full_while(std::string path);  // as long as this file is there: no file can grow, no log's index be made
  void fail_syncs(int count);          // the next `count` syncs answer SQLITE_IOERR_FSYNC
  void hold_syncs(bool hold);          // a sync that begins waits until the disk is let go
  void cut_power_after(std::uint64_t operations);  // writes, syncs and truncations from now on; then all of them fail
  bool is_cut() const;

  // The machine starts again: every file holds what survived. Call when no connection is open.
  void restart(std::uint64_t seed);

  std::uint64_t syncs() const;
  bool holds_one() const;  // a sync waits now
  std::uint64_t written_bytes() const;

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace rivulet::test
