// check(condition, "what must hold"): a broken invariant of ours is a bug and ends the process at once.
// Never for input: hostile input gets a result<T> and a message.
#pragma once

namespace rivulet {

[[noreturn]] void check_failed(const char* what, const char* file, int line);

}  // namespace rivulet

#define RV_CHECK(condition, what) \
  do {                            \
    if (!(condition)) [[unlikely]] ::rivulet::check_failed(what, __FILE__, __LINE__); \
  } while (false)
