// Rotated files: x.json was renamed to x.000001.json, x.000002.json and so on. The number orders them, because a gateway's clock may be wrong.
//
// Only names of exactly this form are counted or deleted. Thread: any. Errors: the folder cannot be read, a file cannot be deleted.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "agent/base/result.h"

namespace rivulet::sink {

std::string rotated_name(const std::string& path, std::uint64_t number);

// The numbers that are there, in order.
result<std::vector<std::uint64_t>> rotated_numbers(const std::string& path);

// Deletes all but the `keep` highest; answers how many went.
result<std::uint64_t> remove_rotated(const std::string& path, std::uint32_t keep);

// What was made or renamed in the folder of `path` survives a power cut.
result<void> sync_folder(const std::string& path);

}  // namespace rivulet::sink
