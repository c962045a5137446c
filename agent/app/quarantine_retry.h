// `rivulet quarantine retry`: records of the quarantine go on from where they failed, through the pipelines as they are configured now.
//
// An agent without its sources does it, on a store that no other uses: a record leaves the quarantine in the epoch that has its effects, or
// stays. What comes of it waits in the outbox for the next start. Blocks; the process's exit code.
#pragma once
#include "agent/app/commands.h"

namespace rivulet::app {

int retry_quarantined(const QuarantineOptions& options);

}  // namespace rivulet::app
