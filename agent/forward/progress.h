// The progress record's value: JSON, so that an operator can read the topic with any tool.
//
//   {"v":1,"incarnation":"<uuid>","transaction":17,"streams":{"1":4711,"3":12},"changelogs":{"<topic>":2}}
//
// "changelogs" (only with changelogs): the partition of each that is this agent's.
//
// Thread: any. decode answers nothing for a value that is not ours or hostile; a higher "v" is still read as far as
// these fields go, since a newer rivulet keeps them.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/forward/prepared.h"

namespace rivulet::forward {

struct Progress {
  Uuid incarnation;
  std::uint64_t transaction = 0;
  ChangelogPartitions changelogs;
};

std::string encode_progress(const Uuid& incarnation, std::uint64_t transaction, const std::vector<Rows>& streams, const ChangelogPartitions& changelogs = {});
std::optional<Progress> decode_progress(std::string_view json);

// Which partition of the progress topic an agent uses; asked once, then the answer is stored.
std::int32_t choose_partition(std::string_view agent_id, std::int32_t partitions);

}  // namespace rivulet::forward
