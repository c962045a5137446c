#include "agent/app/clock_trust.h"

#include <cerrno>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"

using namespace rivulet;
using namespace rivulet::test;

namespace {

int set_by_a_service(timex*) { return TIME_OK; }
int never_set(timex* state) {
  state->status = STA_UNSYNC;
  return TIME_ERROR;
}
int not_set_since_long(timex* state) {
  state->status = STA_PLL | STA_UNSYNC;
  return TIME_OK;
}
int refused(timex*) {  // what a seccomp filter answers
  errno = EPERM;
  return -1;
}

}  // namespace

TEST_CASE("a clock that is behind the last commit of the store is not trusted") {
  TempFolder folder;
  overwrite(folder / "rivulet.db", "written now");
  const ManualClock in_1970(5'000);
  const SystemClock now;
  CHECK_FALSE(app::ClockTrust(folder.path().string(), in_1970, {set_by_a_service, folder / "none"}).plausible());
  CHECK(app::ClockTrust(folder.path().string(), now, {set_by_a_service, folder / "none"}).plausible());
}

TEST_CASE("before anything was committed only the kernel's word counts, that the clock was set") {
  TempFolder folder;
  overwrite(folder / "synchronized", "");
  const ManualClock in_1970(5'000);
  CHECK(app::ClockTrust(folder.path().string(), in_1970, {set_by_a_service, folder / "none"}).plausible());
  CHECK_FALSE(app::ClockTrust(folder.path().string(), in_1970, {never_set, folder / "synchronized"}).plausible());
  CHECK_FALSE(app::ClockTrust(folder.path().string(), in_1970, {not_set_since_long, folder / "synchronized"}).plausible());
}

TEST_CASE("a clock is not trusted where the kernel may not be asked, but for the mark of systemd-timesyncd") {
  TempFolder folder;
  const ManualClock in_1970(5'000);
  const app::ClockTrust trust(folder.path().string(), in_1970, {refused, folder / "synchronized"});
  CHECK_FALSE(trust.plausible());
  overwrite(folder / "synchronized", "");
  CHECK(trust.plausible());
}
