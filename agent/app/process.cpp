#include "agent/app/process.h"

#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>

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

void open_standard_files() {
  int fd = 0;
  while ((fd = ::open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO) {  // the lowest number that is free
  }
  if (fd >= 0) ::close(fd);
}

void keep_memory_small() {
#ifdef __GLIBC__
  ::mallopt(M_ARENA_MAX, 2);               // io and everybody else; the default is eight a core, each with its own leftovers
  // librdkafka makes and destroys a zstd context of 1.4 MB for each batch: given back to the system it comes again as pages to be cleared, a tenth of
  // what a record costs. What is larger goes back. Both are fixed: by themselves they grow to 32 and 64 MiB, and large buffers would stay in the heap.
  ::mallopt(M_MMAP_THRESHOLD, 1536 << 10);
  ::mallopt(M_TRIM_THRESHOLD, 1536 << 10);
  ::mallopt(M_TOP_PAD, 64 << 10);
#endif
}

void forget_code_pages() {
  const auto forget = [](dl_phdr_info* object, std::size_t, void*) {
    static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    for (int i = 0; i < object->dlpi_phnum; ++i) {
      const auto& segment = object->dlpi_phdr[i];
      if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;  // what may be written holds relocations
      const std::uintptr_t begin = (object->dlpi_addr + segment.p_vaddr) & ~(page - 1), end = (object->dlpi_addr + segment.p_vaddr + segment.p_filesz) & ~(page - 1);
      if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
    }
    return 0;
  };
  ::dl_iterate_phdr(forget, nullptr);
}

}  // namespace rivulet::app
