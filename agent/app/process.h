// What the process itself uses, and how its memory is kept small.
#pragma once
#include <cstdint>

namespace rivulet::app {

std::uint64_t resident_bytes();  // 0: unknown
double cpu_seconds();            // user and system, all threads

// To be called first in main(). Standard input, output and error that are closed become /dev/null: else the next file that is opened has
// their number, and a source or output that means them reads and writes it.
void open_standard_files();

// To be called early in main(): glibc then gives freed memory back to the system instead of keeping it in arenas.
void keep_memory_small();

// The code, constants and linker's tables of the program and its libraries leave the resident set; what is still needed
// comes back from the page cache within microseconds. Linking, reading the configuration, making the schema and starting
// OpenSSL and librdkafka takes 7 MiB of them that are not needed again; an agent that is idle needs few of the rest. Thread: any; nothing that can be written is touched.
void forget_code_pages();

}  // namespace rivulet::app
