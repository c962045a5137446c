// Named points where a test can kill the process, to prove that each step survives, or hang a thread, to prove that it is noticed.
//
// RIVULET_KILL_AT="name" or "name:n" in the environment: SIGKILL to ourselves when that point is passed for the nth time
// (default 1). RIVULET_HANG_AT, the same: the thread that passes it waits for ever. RIVULET_BREAK="name,name" names protocol steps that are broken on purpose (negative controls).
// All are read once, at the first use; without them a point costs one load and a branch. Thread: any.
#pragma once
#include <string_view>

namespace rivulet {

void fault_point(std::string_view name);
bool broken_on_purpose(std::string_view name);

}  // namespace rivulet
