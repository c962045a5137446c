#include "tests/support/fault_vfs.h"

#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <new>
#include <random>
#include <sstream>
#include <vector>

namespace rivulet::test {
namespace {

constexpr std::size_t kSectorBytes = 512;

struct Change {
  std::size_t offset = 0;
  std::string bytes;
  bool truncates = false;  // to `offset`
};

struct Track {
  std::string synced;
  std::vector<Change> after;  // not yet synced, in order
};

void apply(std::string& content, const Change& change) {
  if (change.truncates) {
    content.resize(std::min(content.size(), change.offset));
    return;
  }
  if (content.size() < change.offset + change.bytes.size()) content.resize(change.offset + change.bytes.size(), '\0');
  content.replace(change.offset, change.bytes.size(), change.bytes);
}

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

}  // namespace

struct FaultDisk::State {
  std::string name;
  sqlite3_vfs vfs{};
  sqlite3_vfs* real = nullptr;
  mutable std::mutex mutex;
  std::map<std::string, Track> files;
  bool full = false, cut = false, held = false;
  std::string full_while;  // empty: not
  int holding = 0;
  std::condition_variable let_go;
  int syncs_to_fail = 0;
  std::uint64_t operations_left = UINT64_MAX, syncs = 0, written = 0;

  // Call locked.
  bool full_for_a_file() {
    if (!full_while.empty() && ::access(full_while.c_str(), F_OK) != 0) full_while.clear();
    return !full_while.empty();
  }
  // One more write, sync or truncation. Call locked.
  bool has_power() {
    if (operations_left > 0 && operations_left != UINT64_MAX) --operations_left;
    if (operations_left == 0) cut = true;
    return !cut;
  }
};

namespace {

struct File {
  sqlite3_file base;
  FaultDisk::State* disk;
  char path[512];  // empty: not tracked
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

File* of(sqlite3_file* file) { return reinterpret_cast<File*>(file); }
FaultDisk::State* of(sqlite3_vfs* vfs) { return static_cast<FaultDisk::State*>(vfs->pAppData); }

int close(sqlite3_file* file) { return of(file)->real()->pMethods->xClose(of(file)->real()); }
int read(sqlite3_file* file, void* to, int size, sqlite3_int64 at) { return of(file)->real()->pMethods->xRead(of(file)->real(), to, size, at); }

int write(sqlite3_file* file, const void* from, int size, sqlite3_int64 at) {
  File* self = of(file);
  if (self->path[0] != '\0') {
    const std::lock_guard guard(self->disk->mutex);
    if (!self->disk->has_power()) return SQLITE_IOERR_WRITE;
    sqlite3_int64 now = 0;
    self->real()->pMethods->xFileSize(self->real(), &now);
    if ((self->disk->full || self->disk->full_for_a_file()) && at + size > now) return SQLITE_FULL;
    self->disk->written += static_cast<std::uint64_t>(size);
    self->disk->files[self->path].after.push_back({static_cast<std::size_t>(at), std::string(static_cast<const char*>(from), static_cast<std::size_t>(size)), false});
  }
  return self->real()->pMethods->xWrite(self->real(), from, size, at);
}

int truncate(sqlite3_file* file, sqlite3_int64 size) {
  File* self = of(file);
  if (self->path[0] != '\0') {
    const std::lock_guard guard(self->disk->mutex);
    if (!self->disk->has_power()) return SQLITE_IOERR_TRUNCATE;
    self->disk->files[self->path].after.push_back({static_cast<std::size_t>(size), {}, true});
  }
  return self->real()->pMethods->xTruncate(self->real(), size);
}

int sync(sqlite3_file* file, int) {
  File* self = of(file);
  if (self->path[0] == '\0') return SQLITE_OK;
  std::unique_lock guard(self->disk->mutex);
  ++self->disk->holding;
  self->disk->let_go.wait(guard, [&] { return !self->disk->held; });
  --self->disk->holding;
  if (!self->disk->has_power()) return SQLITE_IOERR_FSYNC;
  if (self->disk->syncs_to_fail > 0) {
    --self->disk->syncs_to_fail;
    return SQLITE_IOERR_FSYNC;
  }
  ++self->disk->syncs;
  Track& track = self->disk->files[self->path];
  for (const Change& change : track.after) apply(track.synced, change);
  track.after.clear();
  return SQLITE_OK;  // the real file needs no sync: a power cut is what restart() writes
}

int file_size(sqlite3_file* file, sqlite3_int64* size) { return of(file)->real()->pMethods->xFileSize(of(file)->real(), size); }
int lock(sqlite3_file* file, int level) { return of(file)->real()->pMethods->xLock(of(file)->real(), level); }
int unlock(sqlite3_file* file, int level) { return of(file)->real()->pMethods->xUnlock(of(file)->real(), level); }
int check_reserved(sqlite3_file* file, int* out) { return of(file)->real()->pMethods->xCheckReservedLock(of(file)->real(), out); }
int control(sqlite3_file* file, int operation, void* argument) {
  if (operation == SQLITE_FCNTL_CHUNK_SIZE || operation == SQLITE_FCNTL_SIZE_HINT) return SQLITE_OK;  // all growth goes through write()
  return of(file)->real()->pMethods->xFileControl(of(file)->real(), operation, argument);
}
int sector_size(sqlite3_file* file) { return of(file)->real()->pMethods->xSectorSize(of(file)->real()); }
int characteristics(sqlite3_file* file) { return of(file)->real()->pMethods->xDeviceCharacteristics(of(file)->real()); }
int shm_map(sqlite3_file* file, int page, int size, int extend, void volatile** to) {
  File* self = of(file);
  {
    const std::lock_guard guard(self->disk->mutex);
    if (extend != 0 && self->disk->full_for_a_file()) {
      errno = ENOSPC;
      return SQLITE_IOERR_SHMSIZE;
    }
  }
  return self->real()->pMethods->xShmMap(self->real(), page, size, extend, to);
}
int shm_lock(sqlite3_file* file, int offset, int count, int flags) { return of(file)->real()->pMethods->xShmLock(of(file)->real(), offset, count, flags); }
void shm_barrier(sqlite3_file* file) { of(file)->real()->pMethods->xShmBarrier(of(file)->real()); }
int shm_unmap(sqlite3_file* file, int remove) { return of(file)->real()->pMethods->xShmUnmap(of(file)->real(), remove); }

const sqlite3_io_methods kMethods = {2, close, read, write, truncate, sync, file_size, lock, unlock, check_reserved, control,
                                     sector_size, characteristics, shm_map, shm_lock, shm_barrier, shm_unmap, nullptr, nullptr};

int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  FaultDisk::State* disk = of(vfs);
  File* self = of(file);
  self->base.pMethods = nullptr;
  self->disk = disk;
  self->path[0] = '\0';
  const int code = disk->real->xOpen(disk->real, name, self->real(), flags, out_flags);
  if (code != SQLITE_OK) return code;
  self->base.pMethods = &kMethods;
  if (name == nullptr || (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL)) == 0) return SQLITE_OK;
  std::strncpy(self->path, name, sizeof self->path - 1);
  self->path[sizeof self->path - 1] = '\0';
  const std::lock_guard guard(disk->mutex);
  if (disk->files.find(self->path) == disk->files.end()) disk->files[self->path].synced = read_all(self->path);
  return SQLITE_OK;
}

int remove(sqlite3_vfs* vfs, const char* name, int sync_directory) {
  FaultDisk::State* disk = of(vfs);
  {
    const std::lock_guard guard(disk->mutex);
    if (disk->cut) return SQLITE_IOERR_DELETE;
    disk->files.erase(name);
  }
  return disk->real->xDelete(disk->real, name, sync_directory);
}

}  // namespace

FaultDisk::FaultDisk(std::string name) : state_(std::make_unique<State>()) {
  state_->name = std::move(name);
  state_->real = sqlite3_vfs_find(nullptr);
  state_->vfs = *state_->real;  // what is not replaced below only uses its arguments
  state_->vfs.zName = state_->name.c_str();
  state_->vfs.pNext = nullptr;
  state_->vfs.pAppData = state_.get();
  state_->vfs.szOsFile = static_cast<int>(sizeof(File)) + state_->real->szOsFile;
  state_->vfs.xOpen = open;
  state_->vfs.xDelete = remove;
  state_->vfs.xAccess = [](sqlite3_vfs* vfs, const char* path, int flags, int* out) { return of(vfs)->real->xAccess(of(vfs)->real, path, flags, out); };
  state_->vfs.xFullPathname = [](sqlite3_vfs* vfs, const char* path, int size, char* out) { return of(vfs)->real->xFullPathname(of(vfs)->real, path, size, out); };
  sqlite3_vfs_register(&state_->vfs, 0);
}

FaultDisk::~FaultDisk() { sqlite3_vfs_unregister(&state_->vfs); }

const std::string& FaultDisk::name() const { return state_->name; }

void FaultDisk::set_full(bool full) {
  const std::lock_guard guard(state_->mutex);
  state_->full = full;
}
void FaultDisk::set_full_while(std::string path) {
  const std::lock_guard guard(state_->mutex);
  state_->full_while = std::move(path);
}
void FaultDisk::fail_syncs(int count) {
  const std::lock_guard guard(state_->mutex);
  state_->syncs_to_fail = count;
}
void FaultDisk::cut_power_after(std::uint64_t operations) {
  const std::lock_guard guard(state_->mutex);
  state_->operations_left = operations;
}
bool FaultDisk::is_cut() const {
  const std::lock_guard guard(state_->mutex);
  return state_->cut;
}
void FaultDisk::hold_syncs(bool hold) {
  const std::lock_guard guard(state_->mutex);
  state_->held = hold;
  state_->let_go.notify_all();
}

bool FaultDisk::holds_one() const {
  const std::lock_guard guard(state_->mutex);
  return state_->held && state_->holding > 0;
}

std::uint64_t FaultDisk::syncs() const {
  const std::lock_guard guard(state_->mutex);
  return state_->syncs;
}
std::uint64_t FaultDisk::written_bytes() const {
  const std::lock_guard guard(state_->mutex);
  return state_->written;
}

void FaultDisk::restart(std::uint64_t seed) {
  const std::lock_guard guard(state_->mutex);
  std::mt19937_64 random(seed);
  const auto survives = [&](std::uint64_t of_four) { return random() % 4 < of_four; };
  const std::uint64_t luck = random() % 5;  // of four sectors that were not synced, so many survive: none ... all
  for (auto& [path, track] : state_->files) {
    for (const Change& change : track.after) {
      if (change.truncates) {
        if (survives(luck)) apply(track.synced, change);
        continue;
      }
      for (std::size_t at = 0; at < change.bytes.size(); at += kSectorBytes)
        if (survives(luck)) apply(track.synced, {change.offset + at, change.bytes.substr(at, kSectorBytes), false});
    }
    track.after.clear();
    std::ofstream(path, std::ios::binary | std::ios::trunc) << track.synced;
    ::unlink((path + "-shm").c_str());
  }
  state_->files.clear();
  state_->cut = state_->full = false;
  state_->operations_left = UINT64_MAX;
  state_->syncs_to_fail = 0;
}

}  // namespace rivulet::test
