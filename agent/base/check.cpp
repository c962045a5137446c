#include "agent/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace rivulet {

void check_failed(const char* what, const char* file, int line) {
  std::fprintf(stderr, "rivulet: bug: %s does not hold (%s:%d); the process ends, its state is on disk\n", what, file, line);
  std::fflush(stderr);
  std::abort();
}

}  // namespace rivulet
