#include "agent/app/process.h"

#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

namespace rivulet::app {

std::uint64_t resident_bytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  unsigned long all = 0, resident = 0;
  const int read = std::fscanf(file, "%lu %lu", &all, &resident);
  std::fclose(file);
  return read == 2 ? static_cast<std::uint64_t>(resident) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

double cpu_seconds() {
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void keep_memory_small() {
#ifdef __GLIBC__
  ::mallopt(M_ARENA_MAX, 2);               // io and everybody else; the default is eight a core, each with its own leftovers
  ::mallopt(M_MMAP_THRESHOLD, 256 << 10);  // fixed: by itself it grows to 32 MiB and large buffers would stay in the heap
  ::mallopt(M_TRIM_THRESHOLD, 512 << 10);
  ::mallopt(M_TOP_PAD, 64 << 10);
#endif
}

void forget_start_up_code() {
  std::FILE* maps = std::fopen("/proc/self/maps", "re");
  if (maps == nullptr) return;
  char line[1024];
  while (std::fgets(line, sizeof line, maps) != nullptr) {
    unsigned long begin = 0, end = 0, inode = 0;
    char rights[5] = {};
    if (std::sscanf(line, "%lx-%lx %4s %*x %*s %lu", &begin, &end, rights, &inode) != 4 || inode == 0) continue;
    // Code only: it was never written, so what is dropped here is read again from the file. Data may hold relocations.
    if (std::strcmp(rights, "r-xp") == 0) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
  std::fclose(maps);
}

}  // namespace rivulet::app
