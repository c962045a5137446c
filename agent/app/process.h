// What the process itself uses, and how its memory is kept small.
#pragma once
#include <cstdint>

namespace rivulet::app {

std::uint64_t resident_bytes();  // 0: unknown
double cpu_seconds();            // user and system, all threads

// To be called first in main(): glibc then gives freed memory back to the system instead of keeping it in arenas.
void keep_memory_small();

}  // namespace rivulet::app
