// ConfigChange: what a reload has to do to get from one configuration to the next, and what it cannot do.
//
// A source goes on as it is when everything that it is made from is the same; its decoding, key and timestamp belong to the pipelines and may
// change. Files of TLS count by their FileStamps, so that a renewed certificate is taken: remember them when the configuration is taken.
// Thread: any (pure, but for FileStamps::of). Lifetime: plain data.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "agent/config/config.h"

namespace rivulet::app {

// Inode, size and time of every file of TLS that a configuration names; a file that is not there has an empty one.
using FileStamps = std::map<std::string, std::string>;
FileStamps stamps_of(const config::Config& config);

struct Taken {  // a configuration, and the files as they were when it was taken
  const config::Config& config;
  const FileStamps& stamps;
};

// Settings that differ and are read at the start only: "agent.id". Empty: a reload can do it.
std::vector<std::string> needs_restart(const config::Config& before, const config::Config& after);

bool keeps_source(const Taken& before, const Taken& after, const config::Source& source);  // of `after`
// Kafka's settings, the memory for a transaction, or what must share one (changelogs) may differ.
bool keeps_forwarder(const Taken& before, const Taken& after);

}  // namespace rivulet::app
