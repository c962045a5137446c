// What Prometheus is told.
#include "agent/app/snapshot.h"
#include "tests/support/catch.h"

using namespace rivulet;
using namespace rivulet::app;

TEST_CASE("what a step leaves out or clamps is told by pipeline and step") {
  Snapshot now;
  now.steps = {{"p", "sample", 7, 0}, {"p", "clamp", 0, 3}};
  const std::string text = metrics_text(now);
  CHECK_THAT(text, ContainsSubstring("rivulet_step_dropped_total{pipeline=\"p\",step=\"sample\"} 7\n"));
  CHECK_THAT(text, ContainsSubstring("rivulet_step_clamped_total{pipeline=\"p\",step=\"clamp\"} 3\n"));
}
