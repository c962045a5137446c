// What the process itself uses, and how its memory is kept small.
#pragma once
#include <cstdint>

namespace rivulet::app {

std::uint64_t resident_bytes();  // 0: unknown
double cpu_seconds();            // user and system, all threads

// To be called first in main(): glibc then gives freed memory back to the system instead of keeping it in arenas.
void keep_memory_small();

// Pages of code leave the resident set; what still runs comes back from the page cache within microseconds. Reading the
// configuration, making the schema and starting OpenSSL and librdkafka takes 4 MiB of code that is not needed again.
void forget_start_up_code();

}  // namespace rivulet::app
