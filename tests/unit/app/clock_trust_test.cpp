#include "agent/app/clock_trust.h"

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"

using namespace rivulet;
using namespace rivulet::test;

TEST_CASE("a clock that is behind the last commit of the store is not trusted") {
  TempFolder folder;
  overwrite(folder / "rivulet.db", "written now");
  const ManualClock in_1970(5'000);
  CHECK_FALSE(app::ClockTrust(folder.path().string(), in_1970).plausible());
}

TEST_CASE("before anything was committed only the kernel's word counts, that it was synchronised") {
  TempFolder folder;
  const ManualClock in_1970(5'000);
  const SystemClock now;
  CHECK(app::ClockTrust(folder.path().string(), in_1970).plausible() == app::ClockTrust(folder.path().string(), now).plausible());
}
