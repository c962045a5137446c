#include "agent/source/file/poll_pace.h"

#include "tests/support/catch.h"

using rivulet::source::PollPace;

TEST_CASE("files that are quiet for a minute are looked at once a second, and at their own pace again from the first change on") {
  PollPace pace(250);
  for (int look = 0; look < 239; ++look) pace.looked(false);
  CHECK(pace.pause().count() == 250);
  pace.looked(false);
  CHECK(pace.pause().count() == 1000);
  pace.looked(false);
  CHECK(pace.pause().count() == 1000);
  pace.looked(true);
  CHECK(pace.pause().count() == 250);
}

TEST_CASE("a slower pace than once a second stays as it is") {
  PollPace pace(5'000);
  for (int look = 0; look < 100; ++look) pace.looked(false);
  CHECK(pace.pause().count() == 5'000);
}
